internal import Glibc

/// A program that a test started, known by its process id and ended by it.
struct SpawnedProgram {
    let pid: pid_t

    /// Starts `arguments[0]`, found on the path.
    ///
    /// - Parameters:
    ///   - environment: beside `PATH`.
    ///   - descriptors: become 3, 4, … of the program.
    ///   - output: a file that takes what the program prints.
    init(
        _ arguments: [String], environment: [String] = [], descriptors: [Int32] = [], output: String
    ) throws(ServerError) {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        // Over a detour, so that no target is a source that is still needed.
        for (index, descriptor) in descriptors.enumerated() {
            posix_spawn_file_actions_adddup2(&actions, descriptor, 1000 + Int32(index))
        }
        for index in descriptors.indices {
            posix_spawn_file_actions_adddup2(&actions, 1000 + Int32(index), 3 + Int32(index))
            posix_spawn_file_actions_addclose(&actions, 1000 + Int32(index))
        }
        // A socket of another test that lived on in this program would never be closed. Closing what is not open is fine.
        for number in (3 + Int32(descriptors.count))..<512 {
            posix_spawn_file_actions_addclose(&actions, number)
        }
        let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"
        let name = arguments.first ?? ""
        var arguments = arguments.map { strdup($0) } + [nil]
        var environment = (["PATH=\(path):/usr/sbin:/sbin"] + environment).map { strdup($0) } + [nil]
        defer { (arguments + environment).forEach { free($0) } }
        var pid = pid_t()
        let code = posix_spawnp(&pid, name, &actions, nil, &arguments, &environment)
        guard code == 0 else { throw ServerError("\(name): \(String(cString: strerror(code)))") }
        self.pid = pid
    }

    /// Waits for the program's end and returns its exit status; -1 if a signal ended it.
    @discardableResult
    func waitForExit() -> Int32 {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        return status & 0x7F == 0 ? (status >> 8) & 0xFF : -1
    }

    /// Asks the program to end, and waits for it.
    func terminate() {
        kill(pid, SIGTERM)
        waitForExit()
    }
}

/// A new folder that only this user can read.
func temporaryFolder() throws(ServerError) -> String {
    var name = Array("/tmp/runtime-sync-test-XXXXXX".utf8CString)
    guard mkdtemp(&name) != nil else { throw ServerError(call: "mkdtemp") }
    return String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// Removes a folder with everything in it.
func removeFolder(_ folder: String) {
    (try? SpawnedProgram(["rm", "-rf", "--", folder], output: "/dev/null"))?.waitForExit()
}

/// Writes a file that only this user can read.
func write(_ text: String, to path: String) throws(ServerError) {
    guard let file = fopen(path, "w") else { throw ServerError(call: path) }
    defer { fclose(file) }
    chmod(path, 0o600)
    guard fputs(text, file) >= 0 else { throw ServerError(call: path) }
}
