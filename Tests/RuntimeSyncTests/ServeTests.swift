import Glibc
import TargetServers
import Testing

@Suite struct `The daemon` {
    @Test func `stops in order when it is asked to`() async throws {
        let place = try Installation()
        let outcome = try await place.serving { _ in
            var status = stat()
            #expect(stat(place.socket, &status) == 0 && status.st_mode & 0o777 == 0o600)
            #expect(stat("\(place.path)/journal.key", &status) == 0 && status.st_mode & 0o777 == 0o600)
        }
        #expect(outcome.code == 0)
        #expect(outcome.lines.last?.hasSuffix("notice runtime-sync: stopped") == true)
        #expect(access(place.socket, F_OK) != 0)
    }

    @Test(.enabled(if: geteuid() == 0, "only root may look at a process that forbids dumps"))
    func `keeps its memory to itself, under its own name`() async throws {
        let place = try Installation()
        try await place.serving { program in
            func look(_ name: String) throws -> String { try Folder.read("/proc/\(program.pid)/\(name)") }
            #expect(try look("comm") == "runtime-sync\n")
            #expect(
                try look("cmdline").split(separator: "\0").dropFirst() == ["serve", "--settings", "\(place.settings)"])
            #expect(try look("environ").split(separator: "\0").contains("SWIFT_BACKTRACE=enable=no"))
            let core = try look("limits").split(separator: "\n").first { $0.hasPrefix("Max core file size") }
            #expect(core?.split(separator: " ").dropFirst(4).prefix(2) == ["0", "0"])
            #expect(try look("status").contains("Umask:\t0077"))
            var status = stat()
            // Files in /proc belong to root when a process is not dumpable; as root, that is seen by its mode alone.
            #expect(stat("/proc/\(program.pid)/mem", &status) == 0 && status.st_uid == 0)
        }
    }

    @Test func `starts from the path, with settings beside it`() async throws {
        let place = try Installation()
        let outcome = try await Program.run(
            ["check", "--offline", "--settings", "runtime-sync.yaml"], workingFolder: place.path)
        #expect(outcome.code == 0)
        #expect(outcome.output == "settings: runtime-sync.yaml: fine\n")
        let named = try await Program.run(
            ["check", "--offline"], environment: ["RUNTIME_SYNC_SETTINGS=\(place.settings)"])
        #expect(named.output == "settings: \(place.settings): fine\n")
    }

    /// What stands in the way of a start: the change, the exit code, and how the one line on stderr begins.
    private func failsToStart(
        _ place: Installation, code: Int32, _ words: (String) -> String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let outcome = try await place.run("serve")
        #expect(outcome.code == code, sourceLocation: sourceLocation)
        let said = outcome.lines.filter { !$0.contains(" warning: ") && !$0.contains("  hint: ") }
        #expect(
            said.last?.hasPrefix(words(place.path)) == true, "\(outcome.errors)", sourceLocation: sourceLocation)
        let errors = said.filter { $0.contains("runtime-sync: error: ") }
        #expect(errors.count == 1, "\(outcome.errors)", sourceLocation: sourceLocation)
        // Whatever had begun ends in order: no library complains, and nothing was taken in.
        #expect(!outcome.errors.contains("EventLoop"), "\(outcome.errors)", sourceLocation: sourceLocation)
        #expect(!outcome.errors.contains("CancellationError"), "\(outcome.errors)", sourceLocation: sourceLocation)
        #expect(!outcome.errors.contains("intake: listening"), "\(outcome.errors)", sourceLocation: sourceLocation)
    }

    @Test func `says in a line what keeps it from starting`() async throws {
        let error = "runtime-sync: error: "
        var place = try Installation()
        try place.folder.write("journal", "no folder")
        try await failsToStart(place, code: 1) { "\(error)journal: mkdir \($0)/journal: Not a directory" }

        place = try Installation()
        try #require(mkdir("\(place.path)/journal", 0o755) == 0)
        chmod("\(place.path)/journal", 0o755)
        try await failsToStart(place, code: 1) { "\(error)journal: \($0)/journal has mode 755" }

        place = try Installation()
        try #require(mkdir("\(place.path)/journal", 0o700) == 0)
        try place.folder.write("journal/journal.sqlite", String(repeating: "no database ", count: 100))
        try await failsToStart(place, code: 1) { "\(error)journal: \($0)/journal/journal.sqlite is damaged" }

        place = try Installation()
        try place.folder.write("journal.key", "no key ring")
        try await failsToStart(place, code: 1) { "\(error)key file \($0)/journal.key, line 1" }

        place = try Installation()
        try place.folder.write("control.sock", "no socket")
        try await failsToStart(place, code: 1) { "\(error)unix:\($0)/control.sock cannot be listened on" }

        place = try Installation(intake: ", tls: {certificate: secrets/ldap, key: secrets/ldap}")
        try await failsToStart(place, code: 1) { "\(error)\($0)/secrets/ldap holds no certificate in PEM" }

        let (busy, port) = try listener()
        place = try Installation(listen: "127.0.0.1:\(port)")
        try await failsToStart(place, code: 1) { _ in
            "\(error)127.0.0.1:\(port) cannot be listened on: Address already in use"
        }
        close(busy)

        place = try Installation()
        try place.folder.write("secrets/kc", "whsec_not!base64!not!base64!")
        try await failsToStart(place, code: 2) {
            "\(error)the secret of source kc: file \($0)/secrets/kc is not Base64"
        }
    }

    @Test func `does not start on a journal that another one has`() async throws {
        let place = try Installation()
        try await place.serving { program in
            try await failsToStart(place, code: 1) {
                "runtime-sync: error: journal: \($0)/journal is in use by process \(program.pid)"
            }
            // The first one goes on.
            #expect(try await place.run("providers", "list").code == 0)
        }
    }

    @Test func `does not start without settings that can be read`() async throws {
        for (path, words) in [("/nonexistent", "No such file or directory"), ("/", "it is not a regular file")] {
            for command in ["serve", "check"] {
                let outcome = try await Program.run([command, "--settings", path])
                #expect(outcome.code == 2)
                #expect(outcome.errors == "\(path): error: cannot be read: \(words)\n")
            }
        }
    }

    private func listener() throws -> (descriptor: Int32, port: UInt16) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let isListening = withUnsafeMutableBytes(of: &address) { bytes in
            bytes.withMemoryRebound(to: sockaddr.self) {
                bind(descriptor, $0.baseAddress, size) == 0 && listen(descriptor, 1) == 0
                    && getsockname(descriptor, $0.baseAddress, &size) == 0
            }
        }
        try #require(isListening)
        return (descriptor, UInt16(bigEndian: address.sin_port))
    }
}
