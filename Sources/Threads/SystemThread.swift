internal import Glibc

/// A thread of the system's own kind, for what may wait for the disk or the network, or must stay on one thread.
///
/// Not a task and no queue: those come and go with their pools, and the kernel counts the parent of a process by thread.
/// No signal is handled on it, so that none interrupts its system calls.
package struct SystemThread: Sendable {
    private let thread: pthread_t

    /// Starts a thread that runs `body` and ends with it. Call ``join()`` once, or what it took is never given back.
    ///
    /// - Parameter name: shown by `ps -L`; the kernel keeps 15 bytes.
    package init(_ name: String, _ body: @escaping @Sendable () -> Void) throws(ThreadError) {
        thread = try Self.start(name, body)
    }

    /// Waits for its end; not on itself.
    package func join() {
        pthread_join(thread, nil)
    }

    /// The same for a thread that nobody waits for.
    package static func detached(_ name: String, _ body: @escaping @Sendable () -> Void) throws(ThreadError) {
        pthread_detach(try start(name, body))
    }

    private static func start(
        _ name: String, _ body: @escaping @Sendable () -> Void
    ) throws(ThreadError) -> pthread_t {
        let work = Unmanaged.passRetained(Work(name: name, body: body))
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { work in
                if let work { Unmanaged<Work>.fromOpaque(work).takeRetainedValue().run() }
                return nil
            }, work.toOpaque())
        guard code == 0 else {
            work.release()
            throw ThreadError(code: code)
        }
        return thread
    }

    private final class Work: Sendable {
        let name: String
        let body: @Sendable () -> Void

        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }

        func run() {
            nameThread()
            var all = sigset_t()
            sigfillset(&all)
            sigdelset(&all, SIGPROF)  // Swift's crash handler stops the other threads with it
            pthread_sigmask(SIG_SETMASK, &all, nil)
            body()
        }

        /// As prctl(2) does with PR_SET_NAME, which Swift cannot call.
        private func nameThread() {
            let file = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
            guard file >= 0 else { return }
            write(file, name, name.utf8.count)
            close(file)
        }
    }
}

/// Why there is no thread, such as `pthread_create: Resource temporarily unavailable`.
package struct ThreadError: Error, Hashable, Sendable, CustomStringConvertible {
    /// As `errno`.
    package let code: Int32

    package var description: String { "pthread_create: \(String(cString: strerror(code)))" }
}
