internal import Threads

/// The one thread from which a plugin is called, as the contract promises it.
final class ReaderThread: Sendable {
    private struct State {
        var jobs: [() -> Void] = []
        var ended = false
    }

    private let monitor = Monitor(State())

    init() {
        do {
            try SystemThread.detached("reader") { [monitor] in Self.work(monitor) }
        } catch {
            preconditionFailure("\(error)")
        }
    }

    /// Runs `body` on the thread and waits for it.
    func run<R>(_ body: @escaping () -> R) -> R {
        let result = Monitor<R?>(nil)
        monitor.withLock { state in
            state.jobs.append {
                let value = body()
                result.withLock { $0 = value }
                result.wake()
            }
        }
        monitor.wake()
        return result.wait { value, _ in value.map { .found($0) } ?? .wait(until: nil) }
    }

    /// Lets the thread end after what it has begun.
    func end() {
        monitor.withLock { $0.ended = true }
        monitor.wake()
    }

    private static func work(_ monitor: Monitor<State>) {
        while true {
            let job: (() -> Void)? = monitor.wait { state, _ in
                if state.jobs.isEmpty { return state.ended ? .found(nil) : .wait(until: nil) }
                return .found(state.jobs.removeFirst())
            }
            guard let job else { return }
            job()
        }
    }
}
