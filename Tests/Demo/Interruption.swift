internal import Glibc
internal import Synchronization

/// Turns SIGINT and SIGTERM into the cancellation of a task, which then ends what it has started.
final class Interruption: Sendable {
    private struct State {
        var task: Task<Void, any Error>?
        var hasHappened = false
    }

    private let state = Mutex(State())

    /// From here on the signals are waited for by a thread, and end nothing by themselves.
    init() {
        var signals = Self.signals
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        var thread = pthread_t()
        pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                let interruption = Unmanaged<Interruption>.fromOpaque(argument).takeRetainedValue()
                var signals = Interruption.signals
                var signal: Int32 = 0
                while sigwait(&signals, &signal) == 0 { interruption.happen() }
                return nil
            }, Unmanaged.passRetained(self).toOpaque())
        pthread_detach(thread)
    }

    var hasHappened: Bool { state.withLock { $0.hasHappened } }

    func cancels(_ task: Task<Void, any Error>) {
        let isLate = state.withLock { state in
            state.task = task
            return state.hasHappened
        }
        if isLate { task.cancel() }
    }

    private func happen() {
        state.withLock { state in
            state.hasHappened = true
            state.task?.cancel()
        }
    }

    private static var signals: sigset_t {
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGINT)
        sigaddset(&signals, SIGTERM)
        return signals
    }
}
