import Glibc
import NIOPosix
import Synchronization
import TargetServers
import Testing

/// `runtime-sync` as it was built, started by a test.
final class Program: Sendable {
    /// What a run that has ended said.
    struct Outcome: Sendable {
        /// The exit code, or 128 and the number of the signal.
        var code: Int32
        var output: String
        var errors: String

        /// What stderr says, line by line.
        var lines: [String] { errors.split(separator: "\n").map(String.init) }
    }

    /// Where the executables and plugins are.
    static let folder: String = {
        var path = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = max(0, readlink("/proc/self/exe", &path, path.count))
        let whole = String(decoding: path[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
        return whole.lastIndex(of: "/").map { String(whole[..<$0]) } ?? "."
    }()

    let pid: pid_t
    private let intakePort = Atomic<UInt16>(0)
    private let output: Int32
    private let errors: Int32

    /// Starts it.
    ///
    /// - Parameters:
    ///   - input: what it reads from stdin.
    ///   - workingFolder: where it is started, found on the path; `nil`: here, by its full name.
    init(
        _ arguments: [String], input: String = "", environment: [String] = [], workingFolder: String? = nil
    ) throws {
        // Sockets, for pipes that are closed at the exec of another test's program cannot be made in one step here.
        func pipe() throws -> (ours: Int32, its: Int32) {
            var ends: [Int32] = [-1, -1]
            let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
            try #require(socketpair(AF_UNIX, type, 0, &ends) == 0)
            return (ends[0], ends[1])
        }
        let (stdin, stdout, stderr) = (try pipe(), try pipe(), try pipe())
        let name = "\(Self.folder)/runtime-sync"
        let command = workingFolder.map { ["/usr/bin/env", "-C", $0, "runtime-sync"] } ?? [name]
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, stdin.its, 0)
        posix_spawn_file_actions_adddup2(&actions, stdout.its, 1)
        posix_spawn_file_actions_adddup2(&actions, stderr.its, 2)
        var words = (command + arguments).map { strdup($0) } + [nil]
        var variables = (["PATH=\(Self.folder):/usr/bin:/bin", "LC_ALL=C"] + environment).map { strdup($0) } + [nil]
        defer { (words + variables).forEach { free($0) } }
        var pid = pid_t()
        let code = posix_spawn(&pid, command[0], &actions, nil, &words, &variables)
        for end in [stdin.its, stdout.its, stderr.its] { close(end) }
        try #require(code == 0, "\(name): \(String(cString: strerror(code)))")
        self.pid = pid
        (output, errors) = (stdout.ours, stderr.ours)
        _ = Array(input.utf8).withUnsafeBytes { write(stdin.ours, $0.baseAddress, $0.count) }
        close(stdin.ours)
    }

    deinit {
        close(output)
        close(errors)
    }

    /// Starts it and waits for its end.
    static func run(
        _ arguments: [String], input: String = "", environment: [String] = [], workingFolder: String? = nil
    ) async throws -> Outcome {
        try await NIOThreadPool.singleton.runIfActive {
            try Program(arguments, input: input, environment: environment, workingFolder: workingFolder).wait()
        }
    }

    /// Where the intake listens, once that is known; `nil` for a Unix socket.
    var port: UInt16? {
        get { intakePort.load(ordering: .relaxed) == 0 ? nil : intakePort.load(ordering: .relaxed) }
        set { intakePort.store(newValue ?? 0, ordering: .relaxed) }
    }

    /// Waits for its end; what it says is little enough to wait in the pipes.
    func wait() -> Outcome {
        let errors = Self.rest(of: errors)
        let output = Self.rest(of: output)
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        let code = status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
        return Outcome(code: code, output: output, errors: errors)
    }

    /// Reads the daemon's log up to the line that holds `words`.
    func line(with words: String) throws -> String {
        var line: [UInt8] = []
        var byte: UInt8 = 0
        while read(errors, &byte, 1) == 1 {
            guard byte == UInt8(ascii: "\n") else {
                line.append(byte)
                continue
            }
            let text = String(decoding: line, as: UTF8.self)
            if text.contains(words) { return text }
            line = []
        }
        Issue.record("it ended without saying \(words); at last: \(String(decoding: line, as: UTF8.self))")
        throw CancellationError()
    }

    private static func rest(of descriptor: Int32) -> String {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while case let count = read(descriptor, &chunk, chunk.count), count > 0 { bytes += chunk[..<count] }
        return String(decoding: bytes, as: UTF8.self)
    }
}
