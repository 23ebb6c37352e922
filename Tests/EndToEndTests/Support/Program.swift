internal import Glibc
internal import Synchronization
internal import TargetServers

/// An executable of this build that a test started: in an environment of its own, with its input, output and errors
/// in files. It is killed with its last reference.
final class Program: Sendable {
    let pid: pid_t
    private let exitCode = Mutex<Int32?>(nil)
    private let dumped = Atomic(false)

    /// - Parameters:
    ///   - environment: all that it gets, beside `PATH`.
    ///   - input: the file that it reads as its standard input.
    ///   - output, errors: files that what it writes is appended to.
    init(
        _ path: String, _ arguments: [String], environment: [String: String] = [:], input: String = "/dev/null",
        output: String, errors: String
    ) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, errors, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        // A socket of another test that lived on in this program would never be closed. Closing what is not open is fine.
        for number in Int32(3)..<512 { posix_spawn_file_actions_addclose(&actions, number) }
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
        let variables = environment.merging(["PATH": "/usr/bin:/bin"]) { own, _ in own }.map { "\($0)=\($1)" }
        var words = ([path] + arguments).map { strdup($0) } + [nil]
        var settings = variables.map { strdup($0) } + [nil]
        defer { (words + settings).forEach { free($0) } }
        var pid = pid_t()
        let code = posix_spawn(&pid, path, &actions, &attributes, &words, &settings)
        guard code == 0 else { throw Failure("\(path): \(String(cString: strerror(code)))") }
        self.pid = pid
    }

    deinit {
        signal(SIGKILL)
        var status: Int32 = 0
        if exitCode.withLock({ $0 }) == nil { waitpid(pid, &status, 0) }
    }

    /// Sends a signal, unless it has ended.
    func signal(_ signal: Int32) {
        exitCode.withLock { if $0 == nil { kill(pid, signal) } }
    }

    /// Its exit code, or 128 and the number of the signal that ended it; `nil` while it runs.
    var code: Int32? {
        exitCode.withLock { code in
            if let code { return code }
            var status: Int32 = 0
            guard waitpid(pid, &status, WNOHANG) == pid else { return nil }
            code = status & 0x7F == 0 ? (status >> 8) & 0xFF : 128 + (status & 0x7F)
            dumped.store(status & 0x80 != 0, ordering: .relaxed)
            return code
        }
    }

    /// Whether it left a core file behind when it ended.
    var hasDumpedCore: Bool { dumped.load(ordering: .relaxed) }

    /// Waits for its end.
    func end() async throws -> Int32 {
        try await eventually("process \(pid) ends") { code }
    }
}

/// What a program that has ended left behind.
struct Result: Sendable {
    var code: Int32
    var output: String
    var errors: String
}
