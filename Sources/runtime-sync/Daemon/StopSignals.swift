internal import Glibc
internal import Logging
internal import ServiceLifecycle
internal import Supervision
internal import Threads

/// Ends when the daemon is asked to stop, by SIGTERM or SIGINT; the group that it is part of ends with it.
///
/// It hears them before there is anything to lose. The group's own signals are heard only once its services start: one that
/// came earlier, while the journal is read back, would end the process where it stands.
struct StopSignals: Service {
    private let signals: AsyncStream<Void>

    /// From now on the signals are heard, and end nothing by themselves. Call it once, before there is anything to lose.
    ///
    /// SIGHUP, by which others read their settings anew, is answered with a line in the log.
    init(logger: Logger) throws {
        var ends: [Int32] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw SystemError("socketpair") }
        let ear = ends[0]
        bell = ends[1]
        let (signals, heard) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        self.signals = signals
        try SystemThread.detached("signals") {
            var signal: UInt8 = 0
            while read(ear, &signal, 1) == 1 {
                if Int32(signal) == SIGHUP {
                    logger.warning("SIGHUP: settings are read at the start only; restart the daemon to change them")
                } else {
                    heard.yield()
                }
            }
        }
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { signal in
            let before = errno
            var byte = UInt8(truncatingIfNeeded: signal)
            write(bell, &byte, 1)
            errno = before
        }
        action.sa_flags = SA_RESTART
        for signal in [SIGTERM, SIGINT, SIGHUP] { sigaction(signal, &action, nil) }
    }

    func run() async {
        await cancelWhenGracefulShutdown {
            for await _ in signals { return }
        }
    }
}

/// Where the handler writes; set before there is one. A handler may use nothing that has to be made first.
private nonisolated(unsafe) var bell: Int32 = -1
