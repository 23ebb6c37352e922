internal import Dispatch
internal import Glibc
internal import Synchronization

/// Turns SIGINT and SIGTERM into the cancellation of a task, which then ends what it has started.
final class Interruption {
    private let sources: [any DispatchSourceSignal]
    private let happened = Mutex(false)

    init(cancelling task: Task<Void, any Error>) {
        sources = [SIGINT, SIGTERM].map { number in
            signal(number, SIG_IGN)
            return DispatchSource.makeSignalSource(signal: number)
        }
        for source in sources {
            source.setEventHandler { [self] in
                happened.withLock { $0 = true }
                task.cancel()
            }
            source.activate()
        }
    }

    var hasHappened: Bool { happened.withLock { $0 } }
}
