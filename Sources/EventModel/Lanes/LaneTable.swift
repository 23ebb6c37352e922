/// The deliveries of one provider that have not ended, in the order in which they may be sent.
///
/// A subject's deliveries stand in one queue. Of that queue may be sent at a moment
///
/// - one delivery of a class at a time, the first of its class;
/// - a lifecycle delivery only when nothing stands before it, and nothing behind a lifecycle delivery;
/// - except that what waits for an absent account steps behind a waiting `user.created`.
///
/// A newer credential or profile takes the place of an older one that waits. Notifications stand in no queue: they wait
/// for nobody. Queues of different subjects go in parallel. Credentials are taken before lifecycle and profile
/// deliveries, those before notifications, but one turn in eight goes the other way round, so that nothing starves.
///
/// A plain value, made for a million waiting deliveries: 48 bytes each and a slot in a hash table, no object, no task.
public struct LaneTable: Sendable {
    /// What a delivery that was put back waits for.
    public enum Patience: UInt8, Sendable {
        /// A time.
        case time
        /// An account that was not there.
        case account
    }

    /// Where a delivery stands in the table, from ``next()`` until it is finished or retried.
    public struct Ticket: Hashable, Sendable {
        let index: UInt32
        public let key: DeliveryKey
        /// The subject's number in the journal; 0 for a notification about nobody.
        public let subject: Int64
        public let kind: EventKind
        /// Attempts made so far, this one included.
        public let attempt: Int
    }

    private enum Stage: UInt8 {
        case free
        /// Behind another one, or not due yet.
        case waiting
        /// In a ring, to be sent.
        case ready
        case inFlight
        /// Ended while it stood in a ring; the place is free when the ring comes round to it.
        case gone
    }

    private struct Entry {
        var key = DeliveryKey(rawValue: 0)
        var subject: Int64 = 0
        var due = Timestamp(milliseconds: 0)
        var next = LaneTable.none
        var previous = LaneTable.none
        var attempt: UInt16 = 0
        var kind = EventKind.event
        var stage = Stage.free
        var patience = Patience.time

        var deliveryClass: DeliveryClass { key.deliveryClass }
    }

    private struct Queue {
        var head: UInt32
        var tail: UInt32
    }

    private static let none = UInt32.max
    private var entries: [Entry] = []
    private var free: [UInt32] = []
    private var queues: [Int64: Queue] = [:]
    /// Where notifications are, which stand in no queue.
    private var notifications: [DeliveryKey: UInt32] = [:]
    private var rings = [Ring<UInt32>(), Ring<UInt32>(), Ring<UInt32>()]
    private var heap = DueHeap()
    private var turn = 0

    /// Deliveries that have not ended and are not in flight.
    public private(set) var waitingCount = 0
    public private(set) var inFlightCount = 0

    public init() {}

    /// When the next waiting delivery is due; `nil` if none waits for a time.
    public var nextDue: Timestamp? { heap.first?.due }

    /// Whether a delivery could be sent now.
    public var hasReady: Bool { rings.contains { !$0.isEmpty } }

    /// Puts a delivery at the end of its subject's queue. Of two waiting ones of the same state the newer stays.
    ///
    /// - Parameters:
    ///   - subject: the subject's number in the journal; 0 if there is none.
    ///   - attempt: attempts already made.
    ///   - due: not to be sent before; from the journal after a restart.
    /// - Returns: the older one of the same state, if any: it has ended.
    public mutating func enqueue(
        _ key: DeliveryKey, subject: Int64, kind: EventKind, attempt: Int = 0,
        due: Timestamp = Timestamp(milliseconds: 0), now: Timestamp
    ) -> DeliveryKey? {
        let other = key.deliveryClass.isState ? waiting(key.deliveryClass, of: subject) : nil
        if let other, entries[Int(other)].key > key { return key }
        let index = allocate()
        entries[Int(index)] = Entry(
            key: key, subject: subject, due: due, attempt: UInt16(clamping: attempt), kind: kind, stage: .waiting)
        waitingCount += 1
        if due > now { heap.insert(.init(due: due, index: index, key: key)) }
        guard key.deliveryClass != .notification else {
            notifications[key] = index
            if due <= now { makeReady(index) }
            return nil
        }
        let ended = other.map { entries[Int($0)].key }
        link(index)
        if let other { remove(other) }
        if kind == .userCreated { stepBehind(index) }
        refresh(subject, now: now)
        return ended
    }

    /// Takes the next delivery that may be sent; it is in flight from now on.
    public mutating func next() -> Ticket? {
        turn &+= 1
        let order = turn % 8 == 7 ? [2, 1, 0] : turn % 4 == 3 ? [1, 0, 2] : [0, 1, 2]
        for ring in order {
            while let index = rings[ring].popFirst() {
                guard entries[Int(index)].stage != .gone else {
                    release(index)
                    continue
                }
                return launch(index)
            }
        }
        return nil
    }

    /// Takes one of those that may be sent, to learn from it whether any can succeed: rather one of a subject that is not
    /// suspect, then rather one with fewer attempts, and among equals any. Whatever order they came in, the ones that fail
    /// by themselves are hit no more often than their share.
    ///
    /// It looks at 1,024 of each class at most; so among many suspects a single other may be missed.
    public mutating func nextTrial(
        suspecting isSuspect: (Int64) -> Bool, using generator: inout some RandomNumberGenerator
    ) -> Ticket? {
        var best: (ring: Int, offset: Int, rank: Int)?
        search: for ring in rings.indices where !rings[ring].isEmpty {
            let count = rings[ring].count
            let start = Int.random(in: 0..<count, using: &generator)
            for step in 0..<min(count, Self.trialCandidates) {
                let offset = (start + step) % count
                guard let index = rings[ring][offset], entries[Int(index)].stage == .ready else { continue }
                let entry = entries[Int(index)]
                let rank = Int(entry.attempt) + (isSuspect(entry.subject) ? Int(UInt16.max) + 1 : 0)
                if best.map({ rank < $0.rank }) ?? true { best = (ring, offset, rank) }
                if rank == 0 { break search }
            }
        }
        // What was not looked at, if all that was looked at has ended.
        guard let best, let index = rings[best.ring].remove(at: best.offset) else { return next() }
        return launch(index)
    }

    /// So many deliveries of each class are looked at for a trial.
    private static let trialCandidates = 1_024

    private mutating func launch(_ index: UInt32) -> Ticket {
        entries[Int(index)].stage = .inFlight
        entries[Int(index)].attempt = UInt16(clamping: Int(entries[Int(index)].attempt) + 1)
        waitingCount -= 1
        inFlightCount += 1
        return ticket(index)
    }

    /// A delivery in flight has ended; those behind it may go.
    public mutating func finish(_ ticket: Ticket, now: Timestamp) {
        guard holds(ticket) else { return }
        remove(ticket.index)
        refresh(ticket.subject, now: now)
    }

    /// A delivery in flight goes back to wait; or ends, if something waits behind it that makes it pointless: a newer
    /// delivery of the same state, or another creation behind a creation.
    ///
    /// - Parameters:
    ///   - due: when it is tried again.
    ///   - attemptCounts: `false` if it was not really tried.
    ///   - patience: what it waits for.
    /// - Returns: `true` if it waits, `false` if it was superseded.
    public mutating func wait(
        _ ticket: Ticket, due: Timestamp, attemptCounts: Bool = true, for patience: Patience = .time, now: Timestamp
    ) -> Bool {
        guard holds(ticket) else { return false }
        guard !newerWaits(behind: ticket) else {
            finish(ticket, now: now)
            return false
        }
        let index = ticket.index
        inFlightCount -= 1
        waitingCount += 1
        entries[Int(index)].stage = .waiting
        entries[Int(index)].due = due
        entries[Int(index)].patience = patience
        if !attemptCounts { entries[Int(index)].attempt -= 1 }
        if due > now { heap.insert(.init(due: due, index: index, key: ticket.key)) }
        guard ticket.key.deliveryClass != .notification else {
            if due <= now { makeReady(index) }
            return true
        }
        if patience == .account, let create = create(behind: ticket.key, of: ticket.subject) { stepBehind(create) }
        refresh(ticket.subject, now: now)
        return true
    }

    /// Whether something waits behind a delivery in flight that makes it pointless to put it back.
    public func newerWaits(behind ticket: Ticket) -> Bool {
        guard ticket.key.deliveryClass != .notification else { return false }
        return first(of: ticket.subject) {
            guard $0.key > ticket.key, $0.deliveryClass == ticket.key.deliveryClass else { return false }
            return $0.deliveryClass.isState || $0.kind == .userCreated && ticket.kind == .userCreated
        } != nil
    }

    /// Makes those ready whose time has come.
    public mutating func wake(now: Timestamp) {
        while let item = heap.first, item.due <= now {
            _ = heap.popFirst()
            rouse(item, now: now)
        }
    }

    /// Takes out every delivery of the events up to a number that is not in flight: they are too old. Looks at every
    /// delivery there is.
    ///
    /// - Parameter isSpared: tells which of them stay all the same.
    /// - Returns: their keys.
    public mutating func expire(
        through sequence: Int64, now: Timestamp, unless isSpared: (DeliveryKey) -> Bool = { _ in false }
    ) -> [DeliveryKey] {
        var expired: [DeliveryKey] = []
        for index in entries.indices where entries[index].key.sequence <= sequence {
            let entry = entries[index]
            guard entry.stage == .waiting || entry.stage == .ready, !isSpared(entry.key) else { continue }
            expired.append(entry.key)
            remove(UInt32(index))
            if entry.deliveryClass != .notification { refresh(entry.subject, now: now) }
        }
        return expired.sorted()
    }

    /// Takes a waiting delivery out, whatever its turn.
    ///
    /// - Returns: whether it was waiting here.
    public mutating func drop(_ key: DeliveryKey, subject: Int64, now: Timestamp) -> Bool {
        guard let index = find(key, subject: subject), entries[Int(index)].stage != .inFlight else { return false }
        remove(index)
        refresh(subject, now: now)
        return true
    }

    /// Makes a waiting delivery due at once, or at a moment if that comes sooner than its time.
    ///
    /// - Returns: whether it was waiting here.
    public mutating func hurry(
        _ key: DeliveryKey, subject: Int64, to due: Timestamp? = nil, now: Timestamp
    ) -> Bool {
        guard let index = find(key, subject: subject), entries[Int(index)].stage == .waiting else { return false }
        let sooner = due ?? now
        guard sooner > now else {
            entries[Int(index)].due = now
            rouse(.init(due: now, index: index, key: key), now: now)
            return true
        }
        guard entries[Int(index)].due > sooner else { return true }
        entries[Int(index)].due = sooner
        heap.insert(.init(due: sooner, index: index, key: key))
        return true
    }

    /// Takes out every waiting delivery of a class of one subject.
    ///
    /// - Returns: their keys.
    public mutating func dropAll(_ deliveryClass: DeliveryClass, of subject: Int64, now: Timestamp) -> [DeliveryKey] {
        var dropped: [DeliveryKey] = []
        while let index = waiting(deliveryClass, of: subject) {
            dropped.append(entries[Int(index)].key)
            remove(index)
        }
        refresh(subject, now: now)
        return dropped
    }

    /// What has not ended of a subject's credentials, profiles and lifecycle, in its order.
    public func keys(of subject: Int64) -> [DeliveryKey] {
        guard let queue = queues[subject] else { return [] }
        var keys: [DeliveryKey] = []
        var index = queue.head
        while index != Self.none {
            keys.append(entries[Int(index)].key)
            index = entries[Int(index)].next
        }
        return keys
    }

    /// A look at a delivery that has not ended.
    ///
    /// - Returns: what happened, attempts made, when it is due, whether it is in flight; `nil` if it is not here.
    public func look(
        _ key: DeliveryKey, subject: Int64
    ) -> (kind: EventKind, attempt: Int, due: Timestamp, isInFlight: Bool)? {
        guard let index = find(key, subject: subject) else { return nil }
        let entry = entries[Int(index)]
        return (entry.kind, Int(entry.attempt), entry.due, entry.stage == .inFlight)
    }
}

// The queue of a subject
extension LaneTable {
    private mutating func link(_ index: UInt32) {
        let subject = entries[Int(index)].subject
        if var queue = queues[subject] {
            entries[Int(index)].previous = queue.tail
            entries[Int(index)].next = Self.none
            entries[Int(queue.tail)].next = index
            queue.tail = index
            queues[subject] = queue
        } else {
            entries[Int(index)].previous = Self.none
            entries[Int(index)].next = Self.none
            queues[subject] = Queue(head: index, tail: index)
        }
    }

    private mutating func unlink(_ index: UInt32) {
        let entry = entries[Int(index)]
        guard var queue = queues[entry.subject] else { return }
        if entry.previous == Self.none {
            queue.head = entry.next
        } else {
            entries[Int(entry.previous)].next = entry.next
        }
        if entry.next == Self.none {
            queue.tail = entry.previous
        } else {
            entries[Int(entry.next)].previous = entry.previous
        }
        queues[entry.subject] = queue.head == Self.none ? nil : queue
    }

    /// What waits for an account goes right behind the delivery that may create it, in its order: what came after the
    /// create stays after them.
    private mutating func stepBehind(_ create: UInt32) {
        guard let queue = queues[entries[Int(create)].subject] else { return }
        var last = create
        var index = queue.head
        while index != create, index != Self.none {
            let entry = entries[Int(index)]
            if entry.patience == .account, entry.stage == .waiting {
                unlink(index)
                link(index, behind: last)
                last = index
                entries[Int(index)].patience = .time
                entries[Int(index)].due = Timestamp(milliseconds: 0)
            }
            index = entry.next
        }
    }

    private mutating func link(_ index: UInt32, behind other: UInt32) {
        let next = entries[Int(other)].next
        guard next != Self.none else { return link(index) }
        entries[Int(index)].previous = other
        entries[Int(index)].next = next
        entries[Int(other)].next = index
        entries[Int(next)].previous = index
    }

    /// Makes ready what nothing blocks any more.
    private mutating func refresh(_ subject: Int64, now: Timestamp) {
        guard let queue = queues[subject] else { return }
        var index = queue.head
        var before: UInt8 = 0
        while index != Self.none {
            let entry = entries[Int(index)]
            let own: UInt8 = 1 << entry.deliveryClass.rawValue
            let lifecycle: UInt8 = 1 << DeliveryClass.lifecycle.rawValue
            let blocking = entry.deliveryClass == .lifecycle ? UInt8.max : own | lifecycle
            if before & blocking == 0, entry.stage == .waiting, entry.due <= now { makeReady(index) }
            guard entry.deliveryClass != .lifecycle else { return }  // nothing behind it may go
            before |= own
            index = entry.next
        }
    }

    private func waiting(_ deliveryClass: DeliveryClass, of subject: Int64) -> UInt32? {
        first(of: subject) {
            $0.deliveryClass == deliveryClass && ($0.stage == .waiting || $0.stage == .ready)
        }
    }

    private func create(behind key: DeliveryKey, of subject: Int64) -> UInt32? {
        first(of: subject) { $0.kind == .userCreated && $0.deliveryClass == .lifecycle && $0.key > key }
    }

    private func first(of subject: Int64, where matches: (Entry) -> Bool) -> UInt32? {
        guard let queue = queues[subject] else { return nil }
        var index = queue.head
        while index != Self.none {
            if matches(entries[Int(index)]) { return index }
            index = entries[Int(index)].next
        }
        return nil
    }

    private func find(_ key: DeliveryKey, subject: Int64) -> UInt32? {
        key.deliveryClass == .notification ? notifications[key] : first(of: subject) { $0.key == key }
    }
}

// The places of the table
extension LaneTable {
    private mutating func allocate() -> UInt32 {
        if let index = free.popLast() { return index }
        entries.append(Entry())
        return UInt32(entries.count - 1)
    }

    private mutating func release(_ index: UInt32) {
        entries[Int(index)] = Entry()
        free.append(index)
    }

    private mutating func remove(_ index: UInt32) {
        let entry = entries[Int(index)]
        if entry.deliveryClass == .notification {
            notifications[entry.key] = nil
        } else {
            unlink(index)
        }
        if entry.stage == .inFlight { inFlightCount -= 1 } else { waitingCount -= 1 }
        if entry.stage == .ready {
            entries[Int(index)].stage = .gone
        } else {
            release(index)
        }
    }

    private mutating func makeReady(_ index: UInt32) {
        entries[Int(index)].stage = .ready
        switch entries[Int(index)].deliveryClass {
        case .credential: rings[0].append(index)
        case .lifecycle, .profile: rings[1].append(index)
        case .notification: rings[2].append(index)
        }
    }

    private mutating func rouse(_ item: DueHeap.Item, now: Timestamp) {
        let entry = entries[Int(item.index)]
        guard entry.key == item.key, entry.stage == .waiting, entry.due == item.due else { return }
        if entry.deliveryClass == .notification {
            makeReady(item.index)
        } else {
            refresh(entry.subject, now: now)
        }
    }

    private func holds(_ ticket: Ticket) -> Bool {
        Int(ticket.index) < entries.count && entries[Int(ticket.index)].key == ticket.key
            && entries[Int(ticket.index)].stage == .inFlight
    }

    private func ticket(_ index: UInt32) -> Ticket {
        let entry = entries[Int(index)]
        return Ticket(
            index: index, key: entry.key, subject: entry.subject, kind: entry.kind, attempt: Int(entry.attempt))
    }
}
