public import Glibc

/// A server or a tool that a test started. It is signalled and waited for by its pid only.
public final class ChildProcess: Sendable {
    /// The process's number.
    public let pid: pid_t

    /// Starts `path` with `arguments`, standard input from nowhere, output and errors into the file `log`.
    ///
    /// - Throws: ``ServerError/notStarted(_:)``.
    public init(_ path: String, _ arguments: [String], log: String) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        // A test process may ignore or block signals; a server must not inherit that.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        var all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        var words = ([path] + arguments).map { $0.withCString { strdup($0) } } + [nil]
        defer { words.forEach { free($0) } }
        var environment =
            ["PATH=/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL=C"].map { $0.withCString { strdup($0) } } + [nil]
        defer { environment.forEach { free($0) } }
        var pid = pid_t()
        let code = posix_spawn(&pid, path, &actions, &attributes, &words, &environment)
        guard code == 0 else { throw ServerError.notStarted("\(path): \(String(cString: strerror(code)))") }
        self.pid = pid
    }

    /// Sends a signal, if the process has not been waited for.
    public func signal(_ signal: Int32) {
        kill(pid, signal)
    }

    /// Waits for the end.
    ///
    /// - Returns: the exit code, or 128 and the signal's number.
    @discardableResult
    public func wait() -> Int32 {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        return Self.code(status)
    }

    /// Waits until SIGSTOP has taken effect, on every thread.
    func waitUntilStopped() {
        var status: Int32 = 0
        while waitpid(pid, &status, WUNTRACED) < 0 && errno == EINTR {}
    }

    /// Whether it has ended; if so, it has been waited for.
    public func hasEnded() -> Bool {
        var status: Int32 = 0
        return waitpid(pid, &status, WNOHANG) != 0
    }

    /// Starts a tool and waits for its end.
    ///
    /// - Throws: ``ServerError`` with what the tool wrote, if it does not end with 0.
    public static func run(_ path: String, _ arguments: [String], log: String) throws {
        let code = try ChildProcess(path, arguments, log: log).wait()
        guard code == 0 else {
            throw ServerError.failed("\(path) ended with \(code): \((try? Folder.read(log)) ?? "")")
        }
    }

    private static func code(_ status: Int32) -> Int32 {
        status & 0x7F == 0 ? (status >> 8) & 0xFF : 128 + (status & 0x7F)
    }
}

/// Why a target server could not be used.
public enum ServerError: Error {
    /// The program could not be started.
    case notStarted(String)
    /// It ended, or did something else than was asked.
    case failed(String)
    /// It did not get ready in time.
    case notReady(String)
}
