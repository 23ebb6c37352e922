import EventModel
import Testing
import Workbench

struct LaneTableTests {
    let start = Timestamp(milliseconds: 1_000)

    func key(_ sequence: Int64, _ deliveryClass: DeliveryClass) -> DeliveryKey {
        DeliveryKey(sequence: sequence, slot: 3, deliveryClass: deliveryClass)
    }

    @Test func `a delivery key gives back what was put in`() {
        let key = DeliveryKey(sequence: 4_711, slot: 1_023, deliveryClass: .lifecycle)
        #expect(key.sequence == 4_711)
        #expect(key.slot == 1_023)
        #expect(key.deliveryClass == .lifecycle)
    }

    @Test func `a newer password takes the place of a waiting one`() {
        var table = LaneTable()
        let got1 = table.enqueue(key(1, .credential), subject: 7, kind: .passwordUpdated, now: start)
        #expect(got1 == nil)
        let ended = table.enqueue(key(2, .credential), subject: 7, kind: .passwordUpdated, now: start)
        #expect(ended == key(1, .credential))
        let got2 = table.nextKey()
        #expect(got2 == key(2, .credential))
        let got3 = table.nextKey()
        #expect(got3 == nil)
        #expect(table.waitingCount == 0)
        #expect(table.inFlightCount == 1)
    }

    @Test func `a password in flight is waited for, and not tried again when a newer one waits`() throws {
        var table = LaneTable()
        _ = table.enqueue(key(1, .credential), subject: 7, kind: .passwordUpdated, now: start)
        let first = try table.taken()
        _ = table.enqueue(key(2, .credential), subject: 7, kind: .passwordUpdated, now: start)
        let got4 = table.nextKey()
        #expect(got4 == nil)
        let waits = table.wait(first, due: start + 60_000, now: start)
        #expect(!waits)
        let got5 = table.nextKey()
        #expect(got5 == key(2, .credential))
    }

    @Test func `subjects and classes do not wait for each other`() {
        var table = LaneTable()
        _ = table.enqueue(key(1, .credential), subject: 7, kind: .passwordUpdated, now: start)
        _ = table.enqueue(key(2, .profile), subject: 7, kind: .profileUpdated, now: start)
        _ = table.enqueue(key(3, .credential), subject: 8, kind: .passwordUpdated, now: start)
        var sent: Set<DeliveryKey> = []
        while let ticket = table.next() { sent.insert(ticket.key) }
        #expect(sent == [key(1, .credential), key(2, .profile), key(3, .credential)])
    }

    @Test func `lifecycle is a barrier in both directions`() throws {
        var table = LaneTable()
        _ = table.enqueue(key(1, .credential), subject: 7, kind: .passwordUpdated, now: start)
        _ = table.enqueue(key(2, .lifecycle), subject: 7, kind: .userRenamed, now: start)
        _ = table.enqueue(key(3, .profile), subject: 7, kind: .profileUpdated, now: start)
        let first = try table.taken()
        #expect(first.key == key(1, .credential))
        let got6 = table.nextKey()
        #expect(got6 == nil)
        table.finish(first, now: start)
        let second = try table.taken()
        #expect(second.key == key(2, .lifecycle))
        let got7 = table.nextKey()
        #expect(got7 == nil)
        table.finish(second, now: start)
        let got8 = table.nextKey()
        #expect(got8 == key(3, .profile))
    }

    @Test func `a delivery that waits for an absent account steps behind the create`() throws {
        var table = LaneTable()
        _ = table.enqueue(key(1, .credential), subject: 7, kind: .passwordUpdated, now: start)
        let password = try table.taken()
        _ = table.wait(password, due: start + 60_000, for: .account, now: start)
        _ = table.enqueue(key(2, .lifecycle), subject: 7, kind: .userCreated, now: start)
        let create = try table.taken()
        #expect(create.key == key(2, .lifecycle))
        table.finish(create, now: start)
        let got9 = table.nextKey()
        #expect(got9 == key(1, .credential))
    }

    @Test(arguments: [true, false])
    func `a renaming that waits for an absent account steps behind the create, too`(_ isFirst: Bool) throws {
        var table = LaneTable()
        _ = table.enqueue(key(1, .lifecycle), subject: 7, kind: .userRenamed, now: start)
        let renaming = try table.taken()
        if isFirst { _ = table.enqueue(key(2, .lifecycle), subject: 7, kind: .userCreated, now: start) }
        let waits = table.wait(renaming, due: start + 60_000, for: .account, now: start)
        #expect(waits)
        if !isFirst { _ = table.enqueue(key(2, .lifecycle), subject: 7, kind: .userCreated, now: start) }
        var order: [Int64] = []
        while let ticket = table.next() {
            order.append(ticket.key.sequence)
            table.finish(ticket, now: start)
        }
        #expect(order == [2, 1])
    }

    @Test func `a create that waits already lets the password step behind it`() throws {
        var table = LaneTable()
        _ = table.enqueue(key(1, .credential), subject: 7, kind: .passwordUpdated, now: start)
        let password = try table.taken()
        _ = table.enqueue(key(2, .lifecycle), subject: 7, kind: .userCreated, now: start)
        _ = table.wait(password, due: start + 60_000, for: .account, now: start)
        let got10 = table.nextKey()
        #expect(got10 == key(2, .lifecycle))
    }

    @Test func `a delivery that was put back is due at its time and keeps its attempts`() throws {
        var table = LaneTable()
        _ = table.enqueue(key(1, .credential), subject: 7, kind: .passwordUpdated, now: start)
        let first = try table.taken()
        #expect(first.attempt == 1)
        _ = table.wait(first, due: start + 500, now: start)
        let got11 = table.nextKey()
        #expect(got11 == nil)
        #expect(table.nextDue == start + 500)
        table.wake(now: start + 499)
        let got12 = table.nextKey()
        #expect(got12 == nil)
        table.wake(now: start + 500)
        let got13 = try table.taken().attempt
        #expect(got13 == 2)
    }

    @Test func `an attempt that was none is not counted`() throws {
        var table = LaneTable()
        _ = table.enqueue(key(1, .notification), subject: 0, kind: .loginFailed, now: start)
        let first = try table.taken()
        _ = table.wait(first, due: start, attemptCounts: false, now: start)
        let got14 = try table.taken().attempt
        #expect(got14 == 1)
    }

    @Test func `a trial is of a subject that is not suspect, then of one with fewer attempts, else of any`() throws {
        var random = SplitMix(state: 1)
        var table = LaneTable()
        for (subject, attempt) in [(1, 0), (2, 3), (3, 1)] {
            _ = table.enqueue(
                key(Int64(subject), .credential), subject: Int64(subject), kind: .passwordUpdated, attempt: attempt,
                now: start)
        }
        _ = table.enqueue(key(4, .notification), subject: 4, kind: .logout, attempt: 2, now: start)
        var tried: [Int64] = []
        while let ticket = table.nextTrial(suspecting: { $0 == 1 }, using: &random) { tried.append(ticket.subject) }
        #expect(tried == [3, 4, 2, 1])
        #expect(table.inFlightCount == 4 && table.waitingCount == 0 && !table.hasReady)
    }

    @Test func `of equals a trial takes any, each once`() throws {
        var random = SplitMix(state: 1)
        var firsts: Set<Int64> = []
        for _ in 0..<50 {
            var table = LaneTable()
            for subject in 1...9 {
                _ = table.enqueue(
                    key(Int64(subject), .credential), subject: Int64(subject), kind: .passwordUpdated, now: start)
            }
            let dropped = table.drop(key(5, .credential), subject: 5, now: start)
            #expect(dropped)
            var tried: [Int64] = []
            while let ticket = table.nextTrial(suspecting: { _ in false }, using: &random) {
                tried.append(ticket.subject)
            }
            #expect(tried.sorted() == [1, 2, 3, 4, 6, 7, 8, 9])
            firsts.insert(tried[0])
        }
        #expect(firsts.count > 4)
    }

    @Test func `one that is hurried to a moment goes then, or at its own time if that is sooner`() throws {
        var table = LaneTable()
        for (subject, due) in [(1, start + 60_000), (2, start + 1_000)] {
            let key = key(Int64(subject), .credential)
            _ = table.enqueue(key, subject: Int64(subject), kind: .passwordUpdated, due: due, now: start)
            let found = table.hurry(key, subject: Int64(subject), to: start + 2_000, now: start)
            #expect(found)
        }
        for (moment, subject) in [(start + 1_000, 2), (start + 2_000, 1)] as [(Timestamp, Int64)] {
            table.wake(now: moment + -1)
            let early = table.next()
            #expect(early == nil)
            table.wake(now: moment)
            let due = try table.taken().subject
            #expect(due == subject)
        }
    }

    @Test func `credentials go first, and notifications are not starved`() {
        var table = LaneTable()
        for sequence in 1...100 {
            _ = table.enqueue(key(Int64(sequence), .notification), subject: 0, kind: .loginFailed, now: start)
        }
        for sequence in 101...200 {
            let key = key(Int64(sequence), .credential)
            _ = table.enqueue(key, subject: Int64(sequence), kind: .passwordUpdated, now: start)
        }
        let firstEighty = (0..<80).compactMap { _ in table.next()?.key.deliveryClass }
        #expect(firstEighty.count { $0 == .credential } == 70)
        #expect(firstEighty.count { $0 == .notification } == 10)
    }

    @Test func `of orphans a subject's states end, by class, and old ones; each provider's are counted`() {
        var orphans = OrphanTable()
        let credential = DeliveryKey(sequence: 1, slot: 1, deliveryClass: .credential)
        let other = DeliveryKey(sequence: 1, slot: 2, deliveryClass: .credential)
        for key in [credential, other, key(2, .profile), key(3, .lifecycle), key(4, .notification)] {
            orphans.insert(key, subject: 7)
        }
        orphans.insert(key(5, .credential), subject: 8)
        #expect(orphans.counts == [1: 1, 2: 1, 3: 4])
        #expect(orphans.end([.credential], of: 7) == [credential, other])
        #expect(orphans.end([.credential], of: 7).isEmpty)
        #expect(orphans.end([.credential, .profile, .lifecycle], of: 7) == [key(2, .profile)])
        #expect(orphans.counts == [3: 3])
        #expect(orphans.expire(through: 4) == [key(3, .lifecycle), key(4, .notification)])
        let isThere = orphans.remove(key(5, .credential))
        let isThereStill = orphans.remove(key(5, .credential))
        #expect(isThere && !isThereStill && orphans.isEmpty && orphans.counts.isEmpty)
    }

    @Test func `a dropped delivery frees those behind it`() throws {
        var table = LaneTable()
        _ = table.enqueue(key(1, .lifecycle), subject: 7, kind: .userRenamed, now: start)
        _ = table.enqueue(key(2, .credential), subject: 7, kind: .passwordUpdated, now: start)
        let got15 = table.drop(key(1, .lifecycle), subject: 7, now: start)
        #expect(got15)
        let got16 = table.drop(key(1, .lifecycle), subject: 7, now: start)
        #expect(!got16)
        let got17 = table.nextKey()
        #expect(got17 == key(2, .credential))
    }

    /// Random schedules against rules that are checked from outside: one per class and subject in flight, lifecycle
    /// alone, in order, every delivery ends exactly once.
    @Test(arguments: 0..<200)
    func `no schedule breaks the order or loses a delivery`(_ seed: UInt64) {
        var random = SplitMix(state: seed)
        var table = LaneTable()
        var now = start
        var flying: [LaneTable.Ticket] = []
        var open: Set<DeliveryKey> = []
        var lastFinished: [String: Int64] = [:]
        var sequence: Int64 = 0
        for step in 0..<600 {
            let isDraining = step >= 400
            switch Int.random(in: isDraining ? 5...9 : 0...9, using: &random) {
            case 0...4:
                sequence += 1
                let deliveryClass = DeliveryClass.allCases.randomElement(using: &random) ?? .profile
                let kind: EventKind =
                    switch deliveryClass {
                    case .credential: .passwordUpdated
                    case .profile: .profileUpdated
                    case .lifecycle: Bool.random(using: &random) ? .userCreated : .userRenamed
                    case .notification: .logout
                    }
                let key = key(sequence, deliveryClass)
                let subject = Int64.random(in: 1...4, using: &random)
                open.insert(key)
                if let ended = table.enqueue(key, subject: subject, kind: kind, now: now) {
                    #expect(ended.deliveryClass == deliveryClass && ended < key)
                    #expect(open.remove(ended) != nil)
                }
            case 5, 6:
                guard let ticket = table.next() else { break }
                let others = flying.filter { $0.subject == ticket.subject && $0.key.deliveryClass != .notification }
                if ticket.key.deliveryClass != .notification {
                    #expect(!others.contains { $0.key.deliveryClass == ticket.key.deliveryClass })
                    #expect(!others.contains { $0.key.deliveryClass == .lifecycle })
                    if ticket.key.deliveryClass == .lifecycle { #expect(others.isEmpty) }
                    let lane = "\(ticket.subject) \(ticket.key.deliveryClass)"
                    #expect(lastFinished[lane, default: 0] < ticket.key.sequence)
                }
                flying.append(ticket)
            case 7, 8:
                guard let index = flying.indices.randomElement(using: &random) else { break }
                let ticket = flying.remove(at: index)
                lastFinished["\(ticket.subject) \(ticket.key.deliveryClass)"] = ticket.key.sequence
                open.remove(ticket.key)
                table.finish(ticket, now: now)
            default:
                guard let index = flying.indices.randomElement(using: &random) else { break }
                let ticket = flying.remove(at: index)
                let forAccount = ticket.key.deliveryClass.isState && Bool.random(using: &random)
                let due = now + Int64.random(in: 0...20, using: &random)
                if !table.wait(ticket, due: due, for: forAccount ? .account : .time, now: now) {
                    open.remove(ticket.key)
                }
            }
            now = now + 1
            table.wake(now: now)
            #expect(table.waitingCount + table.inFlightCount == open.count)
            #expect(table.inFlightCount == flying.count)
        }
        for ticket in flying { table.finish(ticket, now: now); open.remove(ticket.key) }
        table.wake(now: now + 1_000)
        while let ticket = table.next() {
            table.finish(ticket, now: now + 1_000)
            open.remove(ticket.key)
            table.wake(now: now + 1_000)
        }
        #expect(open.isEmpty)
        #expect(table.waitingCount == 0)
    }
}

private struct NothingReady: Error {}

extension LaneTable {
    fileprivate mutating func taken() throws -> Ticket {
        guard let ticket = next() else { throw NothingReady() }
        return ticket
    }

    fileprivate mutating func nextKey() -> DeliveryKey? {
        next()?.key
    }
}
