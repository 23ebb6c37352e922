internal import Glibc
internal import Synchronization

/// A server or a tool that a test started. It is signalled and waited for by its pid only, and ends with its last
/// reference.
public final class ChildProcess: Sendable {
    /// The process's number.
    public let pid: Int32
    /// The status with which it ended, once it was waited for: from then on the number may be somebody else's.
    private let ending = Mutex<Int32?>(nil)

    /// Starts a program, with what it prints and its errors going to the end of a file, or of one each.
    ///
    /// - Parameters:
    ///   - arguments: the program's path, then its arguments.
    ///   - environment: `NAME=value` each, beside `PATH` and `LC_ALL`; nothing of this process's own.
    ///   - input: what it reads from standard input; at most 64 KiB.
    ///   - descriptors: become 3, 4, … of the program; it inherits no others.
    ///   - log: the file.
    ///   - errors: the file for errors, if they have one of their own.
    public convenience init(
        _ arguments: [String], environment: [String] = [], input: [UInt8] = [], descriptors: [Int32] = [], log: String,
        errors: String? = nil
    ) throws(ServerError) {
        let file = try Self.appending(to: log)
        defer { close(file) }
        let errorFile = try Self.appending(to: errors ?? log)
        defer { close(errorFile) }
        try self.init(arguments, environment, input, descriptors, output: file, errors: errorFile)
    }

    private static func appending(to path: String) throws(ServerError) -> Int32 {
        let file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw ServerError(call: path) }
        return file
    }

    private init(
        _ arguments: [String], _ environment: [String], _ input: [UInt8], _ descriptors: [Int32], output: Int32,
        errors: Int32
    ) throws(ServerError) {
        let source = try Self.reader(of: input)
        defer { close(source) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        // Over a detour, so that no target is a source that is still needed.
        let inherited = [source, output, errors] + descriptors
        let detour: Int32 = 1000
        for (number, descriptor) in zip(detour..., inherited) {
            posix_spawn_file_actions_adddup2(&actions, descriptor, number)
        }
        for number in 0..<Int32(inherited.count) {
            posix_spawn_file_actions_adddup2(&actions, detour + number, number)
        }
        // A socket of another test that lived on in this program would never be closed. Closing what is not open is fine.
        for number in Int32(inherited.count)..<detour + Int32(inherited.count) {
            posix_spawn_file_actions_addclose(&actions, number)
        }
        // This process may ignore or block signals; a server must not inherit that.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var (none, all) = (sigset_t(), sigset_t())
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        var words = arguments.map { strdup($0) } + [nil]
        var variables =
            (["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"] + environment).map { strdup($0) } + [nil]
        defer { (words + variables).forEach { free($0) } }
        var pid = pid_t()
        let code = posix_spawn(&pid, arguments.first ?? "", &actions, &attributes, &words, &variables)
        guard code == 0 else { throw ServerError("\(arguments.first ?? ""): \(String(cString: strerror(code)))") }
        self.pid = pid
    }

    deinit {
        signal(SIGKILL)
        wait()
    }

    /// Sends a signal, unless the process has ended and was waited for.
    public func signal(_ signal: Int32) {
        ending.withLock { if $0 == nil { kill(pid, signal) } }
    }

    /// Waits for the end.
    ///
    /// - Returns: the exit code, or 128 and the signal's number.
    @discardableResult
    public func wait() -> Int32 {
        // The long wait happens outside of the lock, and leaves the number taken.
        waitAndLeave(WEXITED)
        return ending.withLock { ending in
            let status = ending ?? reap(0) ?? 0
            ending = status
            return Self.code(status)
        }
    }

    /// Asks the process to end, and waits until it has.
    @discardableResult
    public func terminate() -> Int32 {
        signal(SIGTERM)
        return wait()
    }

    /// Waits until SIGSTOP has taken effect, on every thread.
    package func waitUntilStopped() {
        waitAndLeave(WEXITED | WSTOPPED)
    }

    /// Whether it has ended.
    public func hasEnded() -> Bool {
        exitCode != nil
    }

    /// The exit code, or 128 and the signal's number; `nil` while it runs.
    public var exitCode: Int32? {
        ending.withLock { ending in
            ending = ending ?? reap(WNOHANG)
            return ending.map(Self.code)
        }
    }

    /// Whether it has ended and left a core file behind.
    public var hasDumpedCore: Bool {
        ending.withLock { ($0 ?? 0) & 0x80 != 0 }
    }

    private static func code(_ status: Int32) -> Int32 {
        status & 0x7F == 0 ? (status >> 8) & 0xFF : 128 + (status & 0x7F)
    }

    /// Runs a tool to its end and returns what it printed, errors included.
    ///
    /// - Throws: ``ServerError`` with what it printed, if it does not end with 0.
    @discardableResult
    public static func run(_ arguments: [String], input: [UInt8] = []) throws(ServerError) -> String {
        let (reader, writer) = try pipe()
        defer { close(reader) }
        let child: ChildProcess
        do {
            defer { close(writer) }
            child = try ChildProcess(arguments, [], input, [], output: writer, errors: writer)
        }
        let text = Folder.read(reader)
        let code = child.wait()
        guard code == 0 else { throw ServerError("\(arguments.first ?? "") ended with \(code): \(text)") }
        return text
    }

    /// Waits for one of `events` and leaves it to be waited for again.
    private func waitAndLeave(_ events: Int32) {
        var information = siginfo_t()
        while waitid(P_PID, id_t(pid), &information, events | WNOWAIT) < 0 && errno == EINTR {}
    }

    /// The status with which it ended; `nil` if it has not and `options` forbid to wait.
    private func reap(_ options: Int32) -> Int32? {
        var status: Int32 = 0
        var found = waitpid(pid, &status, options)
        while found < 0 && errno == EINTR { found = waitpid(pid, &status, options) }
        return found == pid ? status : nil
    }

    /// A descriptor from which `bytes` can be read, and then the end.
    private static func reader(of bytes: [UInt8]) throws(ServerError) -> Int32 {
        let (reader, writer) = try pipe()
        defer { close(writer) }
        // A pipe takes 64 KiB before it blocks.
        guard bytes.count <= 65_536, write(writer, bytes, bytes.count) == bytes.count else {
            close(reader)
            throw ServerError("standard input takes 65536 bytes, not \(bytes.count)")
        }
        return reader
    }

    private static func pipe() throws(ServerError) -> (reader: Int32, writer: Int32) {
        var ends: [Int32] = [-1, -1]
        guard Glibc.pipe(&ends) == 0 else { throw ServerError(call: "pipe") }
        return (ends[0], ends[1])
    }
}
