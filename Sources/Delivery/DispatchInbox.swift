internal import EventModel
internal import Journal
internal import Threads

/// What the dispatcher has not looked at yet: filled by any thread under a short lock, emptied with one exchange.
final class DispatchInbox: Sendable {
    /// Something that happened to a provider's worker.
    enum Happening {
        case ready(any ProviderPort, Int, Int)
        case lost(Int, Int, String)
        case answered([(id: UInt64, Completion)], Int, Int)
    }

    /// What one exchange takes out.
    struct Batch {
        var events: [CommittedEvent] = []
        var happenings: [Happening] = []
        var questions: [(DispatchCore, Timestamp) -> Void] = []
        /// Called when the thread has ended.
        var stopped: (() -> Void)?

        var isEmpty: Bool { events.isEmpty && happenings.isEmpty && questions.isEmpty && stopped == nil }
    }

    private struct State {
        var batch = Batch()
        var isSleeping = false
    }

    private let monitor = Monitor(State())

    /// Puts something in, and wakes the dispatcher if it sleeps.
    func add(_ fill: (inout Batch) -> Void) {
        let mustWake = monitor.withLock { state in
            fill(&state.batch)
            defer { state.isSleeping = false }
            return state.isSleeping
        }
        if mustWake { monitor.wake() }
    }

    /// Takes everything out; waits for something for at most `milliseconds`.
    func take(waiting milliseconds: Int64) -> Batch {
        let end = monotonicNow() + max(0, milliseconds) * 1_000_000
        return monitor.wait { state, isLate in
            state.isSleeping = state.batch.isEmpty && !isLate
            if state.isSleeping { return .wait(until: end) }
            var taken = Batch()
            swap(&taken, &state.batch)
            return .found(taken)
        }
    }
}
