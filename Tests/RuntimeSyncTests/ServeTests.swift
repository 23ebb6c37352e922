import Glibc
import Installations
import NIOPosix
import Synchronization
import TargetServers
import Testing
import Workbench

@Suite struct `The daemon` {
    @Test func `stops in order when it is asked to`() async throws {
        let place = try Installation()
        let outcome = try await place.serving { daemon in
            // That is no wish to stop; nor is it one that is met.
            daemon.signal(SIGHUP)
            try await eventually("it answers") { place.log.contains("warning runtime-sync: SIGHUP: settings are read") }
            var status = stat()
            #expect(stat(place.control, &status) == 0 && status.st_mode & 0o777 == 0o600)
            #expect(stat("\(place.path)/journal.key", &status) == 0 && status.st_mode & 0o777 == 0o600)
        }
        #expect(outcome.code == 0)
        #expect(outcome.lines.last?.hasSuffix("notice runtime-sync: stopped") == true)
        #expect(access(place.control, F_OK) != 0)
    }

    @Test(.timeLimit(.minutes(5)))
    func `stops in order while clients connect, every time`() async throws {
        let place = try Installation()
        for _ in 0..<12 {
            let clients = Mutex<[Task<Void, any Error>]>([])
            let outcome = try await place.serving { _ in
                let port = try #require(place.address.split(separator: ":").last.flatMap { UInt16($0) })
                let visits = AsyncStream<Void>.makeStream()
                for _ in 0..<4 {
                    let client = Task {
                        while try await Self.isAnswered(port) { visits.continuation.yield() }
                    }
                    clients.withLock { $0.append(client) }
                }
                var visit = visits.stream.makeAsyncIterator()
                for _ in 0..<50 { await visit.next() }
            }
            #expect(outcome.code == 0, "\(outcome.errors)")
            for client in clients.withLock(\.self) { try await client.value }
        }
    }

    /// Whether a request over a connection of its own finds a server, whatever that says.
    private static func isAnswered(_ port: UInt16) async throws -> Bool {
        let request = "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        return try await NIOThreadPool.singleton.runIfActive { try Loopback.visit(port, sending: request) }
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

        place = try Installation(listen: "127.0.0.1:0", tls: "certificate: secrets/ldap, key: secrets/ldap")
        try await failsToStart(place, code: 1) { "\(error)\($0)/secrets/ldap holds no certificate in PEM" }

        let (busy, port) = try Loopback.listener()
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

    @Test func `has delivered nothing, and closed its journal in order, when it cannot start`() async throws {
        let authority = try CertificateAuthority()
        let server = try authority.issue("server")
        let place = try Installation(
            listen: "127.0.0.1:0", tls: "certificate: server.pem, key: \(server.key)",
            provider: Installation.unreachable)
        let certificate = try place.folder.write("server.pem", "to be renewed")
        try place.launch()
        #expect(try await place.end() == 1)
        #expect(place.log.contains("error: \(certificate) holds no certificate in PEM"))
        // A worker that was started would have said so.
        #expect(!place.log.contains("worker"))
        try place.folder.write("server.pem", Folder.read(server.certificate))
        let outcome = try await place.serving { _ in }
        #expect(outcome.code == 0 && outcome.errors.contains("worker"))
        // After an unclean end the journal is looked through, and the log says so.
        #expect(!outcome.errors.contains("notice journal: "), "\(outcome.errors)")
    }

    @Test func `takes the files that the system allows, and says so if they are too few`() async throws {
        let place = try Installation(intake: #"listen: "127.0.0.1:0", max_connections: 600"#)
        try place.launch(by: ["/usr/bin/prlimit", "--nofile=128:1024"])
        try await place.listening()
        let limits = try Folder.read("/proc/\(try #require(place.daemon).pid)/limits")
        let files = try #require(limits.split(separator: "\n").first { $0.hasPrefix("Max open files") })
        #expect(files.split(separator: " ")[3] == "1024")
        #expect(try await place.stop() == 0)

        let words =
            "intake.max_connections is 600, for which 696 files may have to be open, and this process may open 640 "
            + "(RLIMIT_NOFILE; with systemd, LimitNOFILE=): raise that limit, or lower the setting to at most 544"
        try place.launch(by: ["/usr/bin/prlimit", "--nofile=640:640"])
        #expect(try await place.end() == 1)
        #expect(place.log.hasSuffix("error: \(words)\n"), "\(place.log)")
        let check = try await place.run("check", by: ["/usr/bin/prlimit", "--nofile=640:640"])
        #expect(check.code == 1 && check.errors.contains(words), "\(check)")
    }

    @Test func `does not make new keys for a journal whose key file is missing`() async throws {
        let place = try Installation()
        let file = try place.folder.write("event.json", #"{"kind": "logout", "source": {}}"#)
        let (key, kept) = ("\(place.path)/journal.key", "\(place.path)/kept.key")
        // With nothing sealed there is nothing to lose.
        try await place.serving { _ in }
        try #require(unlink(key) == 0)
        try await place.serving { _ in
            let sent = try await place.run("send", file)
            #expect(sent.code == 0, "\(sent)")
        }
        try #require(rename(key, kept) == 0)
        try await failsToStart(place, code: 1) {
            "runtime-sync: error: key file \($0)/journal.key is missing, and the journal in \($0)/journal was sealed with it"
        }
        #expect(access(key, F_OK) != 0)
        try #require(rename(kept, key) == 0)
        try await place.serving { _ in }
    }

    @Test func `looks for damage after an unclean end, though a start failed in between`() async throws {
        let place = try Installation()
        try place.launch()
        try await place.listening()
        try await place.crash()
        unlink(place.control)
        try place.folder.write("control.sock", "no socket")
        try await failsToStart(place, code: 1) {
            "runtime-sync: error: unix:\($0)/control.sock cannot be listened on: there is a file that is no socket"
        }
        unlink(place.control)
        try await place.serving { _ in
            try await eventually("it is checked") { place.log.contains("notice journal: journal checked, no damage") }
        }
        let outcome = try await place.serving { _ in }
        #expect(outcome.errors.split(separator: "it is checked").count == 2, "\(outcome.errors)")
    }

    @Test func `does not take a journal of which nothing is left for a new one`() async throws {
        let place = try Installation()
        try await place.serving { _ in }
        let journal = "\(place.path)/journal/journal.sqlite"
        for what in ["nothing", "one byte", "no file"] {
            switch what {
            case "nothing": try #require(truncate(journal, 0) == 0)
            case "one byte": try place.folder.write("journal/journal.sqlite", "S")
            default: try #require(unlink(journal) == 0)
            }
            let words = "\(journal) is missing or empty, though there is the key file \(place.path)/journal.key"
            try await failsToStart(place, code: 1) { _ in "runtime-sync: error: \(words)" }
            let check = try await place.run("check")
            #expect(check.code == 1 && check.errors.contains(words), "\(what): \(check)")
            #expect((try? Folder.read(journal)) == ["nothing": "", "one byte": "S"][what], "\(what)")
        }
        try place.launch("--new-journal")
        try await place.listening()
        #expect(try await place.stop() == 0)
        try await place.serving { _ in }
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

    @Test func `names damage of its journal after an unclean end, and takes events meanwhile`() async throws {
        let place = try Installation()
        // Long enough to lie on pages of their own, which nobody reads at the start.
        let filler = String(repeating: "x", count: 100_000)
        let file = try place.folder.write(
            "event.json", #"{"kind": "logout", "source": {}, "error": "\#(filler)"}"#)
        try await place.serving { _ in
            for _ in 0..<3 {
                let sent = try await place.run("send", file)
                #expect(sent.code == 0, "\(sent)")
            }
        }
        // A clean end: nothing is checked.
        let clean = try await place.serving { _ in }
        #expect(!clean.errors.contains("checked"))

        func crash() throws { try place.folder.write("journal/lock", "1\n") }
        try crash()
        let whole = try await place.serving { _ in
            try await eventually("the journal is checked") { place.log.contains("journal checked, no damage") }
        }
        #expect(whole.code == 0)

        try Self.damage("\(place.path)/journal/journal.sqlite")
        try crash()
        try await place.serving { _ in
            let line = try await eventually("damage is named") {
                place.log.split(separator: "\n").first { $0.contains("journal damaged") }
            }
            #expect(line.contains("critical journal: ") && line.contains("table=events"), "\(line)")
            #expect(try await place.run("send", file).code == 0)
        }
    }

    /// Overwrites a page in the middle of a long value: one whose first four bytes name the page that follows it (SQLite's
    /// file format, section 1.6).
    private static func damage(_ path: String) throws {
        let file = open(path, O_RDWR | O_CLOEXEC)
        try #require(file >= 0)
        defer { close(file) }
        let size = 4_096
        var page = [UInt8](repeating: 0, count: size)
        var number = 1
        while pread(file, &page, size, off_t((number - 1) * size)) == size {
            let next = page[..<4].reduce(0) { $0 << 8 | Int($1) }
            if number > 1, next == number + 1 { break }
            number += 1
        }
        page = [UInt8](repeating: 0xEE, count: size)
        try #require(pwrite(file, page, size, off_t((number - 1) * size)) == size)
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
}
