internal import Threads

/// What waits for the writer: filled by any thread under a short lock, emptied by the writer with one exchange.
///
/// A thread that brings something signals only if the writer sleeps and has asked to be woken for it.
final class Inbox: Sendable {
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

    private struct State {
        var batch = Batch()
        var bytes = 0
        var waiting = CommitPolicy.Waiting()
        var nextTicket: UInt64 = 0
        var refusal: SubmitRefusal?
        /// How many rows of changes wake the writer; `nil` while it is awake.
        var wakeAt: Int?
        var wakeUps = 0
    }

    private let eventLimit: Int
    private let byteLimit: Int
    private let monitor = Monitor(State())

    init(eventLimit: Int, byteLimit: Int) {
        self.eventLimit = eventLimit
        self.byteLimit = byteLimit
    }

    /// Takes all the events or none.
    func submit(
        _ records: [EventRecord], _ group: (any CommitGroup)?, _ token: UInt64
    ) throws(SubmitRefusal) -> Ticket {
        let size = records.reduce(0) { $0 + $1.body.count + ($1.secret?.count ?? 0) }
        return try monitor.withLock { state throws(SubmitRefusal) in
            if let refusal = state.refusal { throw refusal }
            // A single submission larger than the limits may pass while nothing else waits.
            guard state.batch.events.isEmpty || state.batch.events.count + records.count <= eventLimit,
                state.bytes == 0 || state.bytes + size <= byteLimit
            else { throw .tooManyWaiting }
            for (index, record) in records.enumerated() {
                // The last one answers for all: they are committed in order.
                let waiter = index == records.count - 1 ? group : nil
                state.batch.events.append(PendingEvent(record: record, group: waiter, token: token))
            }
            state.bytes += size
            state.nextTicket += UInt64(records.count)
            state.waiting.events = state.batch.events.count
            signal(&state, ifChanges: .max)
            return Ticket(number: state.nextTicket - 1)
        }
    }

    func submit(barrier ticket: Ticket, _ group: any CommitGroup, _ token: UInt64) throws(SubmitRefusal) {
        try monitor.withLock { state throws(SubmitRefusal) in
            if state.refusal == .closed { throw .closed }
            state.batch.barriers.append(PendingBarrier(ticket: ticket, group: group, token: token))
            state.waiting.barriers += 1
            signal(&state, ifChanges: .max)
        }
    }

    func submit(_ changes: JournalChanges) throws(SubmitRefusal) {
        try monitor.withLock { state throws(SubmitRefusal) in
            if state.refusal == .closed { throw .closed }
            if state.batch.changes.isEmpty { state.waiting.changesSince = monotonicNow() }
            state.batch.changes.append(changes)
            state.waiting.changes += max(1, changes.weight)
            signal(&state, ifChanges: state.waiting.changes)
        }
    }

    /// Puts changes back that could not be written: they count before all that came since.
    func putBack(_ changes: [JournalChanges]) {
        monitor.withLock { state in
            state.batch.changes = changes + state.batch.changes
            state.waiting.changes = state.batch.changes.reduce(0) { $0 + max(1, $1.weight) }
        }
    }

    /// From now on new events are refused, or accepted again.
    func setFull(_ isFull: Bool) {
        monitor.withLock { state in
            if state.refusal != .closed { state.refusal = isFull ? .full : nil }
        }
    }

    /// Refuses everything from now on; what waits is still written.
    func close() {
        monitor.withLock { state in
            state.refusal = .closed
            state.waiting.isClosing = true
            signal(&state, ifChanges: .max)
        }
    }

    /// Refuses everything from now on, and gives what waits to who must answer it.
    func abandon() -> Batch {
        monitor.withLock { state in
            state.refusal = .closed
            return Self.exchange(&state)
        }
    }

    /// How often the writer was woken before its time.
    var wakeUpCount: Int { monitor.withLock(\.wakeUps) }

    /// Sleeps until the policy finds something to do. Only the writer calls this.
    func next(_ policy: CommitPolicy) -> Work {
        monitor.wait { state, _ in
            state.wakeAt = nil
            switch policy.next(state.waiting, at: monotonicNow()) {
            case .commit(let durability): return .found(.commit(Self.exchange(&state), durability))
            case .checkpoint(let emptying): return .found(.checkpoint(emptying: emptying))
            case .stop: return .found(.stop)
            case .wait(let moment, let changes):
                state.wakeAt = changes
                return .wait(until: moment)
            }
        }
    }

    private func signal(_ state: inout State, ifChanges changes: Int) {
        guard let wakeAt = state.wakeAt, changes >= wakeAt else { return }
        state.wakeAt = nil  // one signal is enough
        state.wakeUps += 1
        monitor.wake()
    }

    private static func exchange(_ state: inout State) -> Batch {
        var taken = Batch()
        swap(&taken, &state.batch)
        taken.firstTicket = state.nextTicket - UInt64(taken.events.count)
        state.bytes = 0
        state.waiting = CommitPolicy.Waiting(isClosing: state.waiting.isClosing)
        return taken
    }
}
