internal import Glibc

/// What waits for the writer: filled by any thread under a short lock, emptied by the writer with one exchange.
///
/// A thread that brings something signals only if the writer sleeps and has asked to be woken for it.
final class Inbox: @unchecked Sendable {  // every field is touched under the lock
    struct PendingEvent {
        let record: EventRecord
        let group: (any CommitGroup)?
        let token: UInt64
    }

    struct PendingBarrier {
        let ticket: Ticket
        let group: any CommitGroup
        let token: UInt64
    }

    /// What one exchange takes out.
    struct Batch {
        var events: [PendingEvent] = []
        var barriers: [PendingBarrier] = []
        var changes: [JournalChanges] = []
        /// The ticket of the first event.
        var firstTicket: UInt64 = 0
    }

    enum Work {
        case commit(Batch, CommitPolicy.Durability)
        case checkpoint(emptying: Bool)
        case stop
    }

    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let wakeUp = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    private let eventLimit: Int
    private let byteLimit: Int
    private var batch = Batch()
    private var bytes = 0
    private var waiting = CommitPolicy.Waiting()
    private var nextTicket: UInt64 = 0
    private var refusal: SubmitRefusal?
    /// How many rows of changes wake the writer; `nil` while it is awake.
    private var wakeAt: Int?
    private var wakeUps = 0

    init(eventLimit: Int, byteLimit: Int) {
        self.eventLimit = eventLimit
        self.byteLimit = byteLimit
        pthread_mutex_init(lock, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(wakeUp, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(wakeUp)
        pthread_mutex_destroy(lock)
        wakeUp.deallocate()
        lock.deallocate()
    }

    /// Takes all the events or none.
    func submit(
        _ records: [EventRecord], _ group: (any CommitGroup)?, _ token: UInt64
    ) throws(SubmitRefusal) -> Ticket {
        let size = records.reduce(0) { $0 + $1.body.count + ($1.secret?.count ?? 0) }
        return try locked { () throws(SubmitRefusal) in
            if let refusal { throw refusal }
            // A single submission larger than the limits may pass while nothing else waits.
            guard batch.events.isEmpty || batch.events.count + records.count <= eventLimit,
                bytes == 0 || bytes + size <= byteLimit
            else { throw .tooManyWaiting }
            for (index, record) in records.enumerated() {
                // The last one answers for all: they are committed in order.
                let waiter = index == records.count - 1 ? group : nil
                batch.events.append(PendingEvent(record: record, group: waiter, token: token))
            }
            bytes += size
            nextTicket += UInt64(records.count)
            waiting.events = batch.events.count
            signal(ifChanges: .max)
            return Ticket(number: nextTicket - 1)
        }
    }

    func submit(barrier ticket: Ticket, _ group: any CommitGroup, _ token: UInt64) throws(SubmitRefusal) {
        try locked { () throws(SubmitRefusal) in
            if refusal == .closed { throw .closed }
            batch.barriers.append(PendingBarrier(ticket: ticket, group: group, token: token))
            waiting.barriers += 1
            signal(ifChanges: .max)
        }
    }

    func submit(_ changes: JournalChanges) throws(SubmitRefusal) {
        try locked { () throws(SubmitRefusal) in
            if refusal == .closed { throw .closed }
            if batch.changes.isEmpty { waiting.changesSince = monotonicNow() }
            batch.changes.append(changes)
            waiting.changes += max(1, changes.weight)
            signal(ifChanges: waiting.changes)
        }
    }

    /// Puts changes back that could not be written: they count before all that came since.
    func putBack(_ changes: [JournalChanges]) {
        locked {
            batch.changes = changes + batch.changes
            waiting.changes = batch.changes.reduce(0) { $0 + max(1, $1.weight) }
        }
    }

    /// From now on new events are refused, or accepted again.
    func setFull(_ isFull: Bool) {
        locked {
            if refusal != .closed { refusal = isFull ? .full : nil }
        }
    }

    /// Refuses everything from now on; what waits is still written.
    func close() {
        locked {
            refusal = .closed
            waiting.isClosing = true
            signal(ifChanges: .max)
        }
    }

    /// Refuses everything from now on, and gives what waits to who must answer it.
    func abandon() -> Batch {
        locked {
            refusal = .closed
            return exchange()
        }
    }

    /// How often the writer was woken before its time.
    var wakeUpCount: Int { locked { wakeUps } }

    /// Sleeps until the policy finds something to do. Only the writer calls this.
    func next(_ policy: borrowing CommitPolicy) -> Work {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        while true {
            switch policy.next(waiting, at: monotonicNow()) {
            case .commit(let durability): return .commit(exchange(), durability)
            case .checkpoint(let emptying): return .checkpoint(emptying: emptying)
            case .stop: return .stop
            case .wait(let moment, let changes): sleep(until: moment, orChanges: changes)
            }
        }
    }

    private func sleep(until moment: Int64?, orChanges changes: Int) {
        wakeAt = changes
        defer { wakeAt = nil }
        guard let moment else {
            pthread_cond_wait(wakeUp, lock)
            return
        }
        var time = timespec(tv_sec: Int(moment / 1_000_000_000), tv_nsec: Int(moment % 1_000_000_000))
        pthread_cond_timedwait(wakeUp, lock, &time)
    }

    private func signal(ifChanges changes: Int) {
        guard let wakeAt, changes >= wakeAt else { return }
        self.wakeAt = nil  // one signal is enough
        wakeUps += 1
        pthread_cond_signal(wakeUp)
    }

    private func exchange() -> Batch {
        var taken = Batch()
        swap(&taken, &batch)
        taken.firstTicket = nextTicket - UInt64(taken.events.count)
        bytes = 0
        waiting = CommitPolicy.Waiting(isClosing: waiting.isClosing)
        return taken
    }

    private func locked<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        return try body()
    }
}

/// Nanoseconds since some moment before the process; they never go back.
func monotonicNow() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}
