import Delivery
import EventModel
import Glibc
import Installations
import Journal
import TargetServers
import Testing
import Workbench

/// A password that appears nowhere by chance, and whose forms differ: quotes and a backslash that JSON escapes, letters
/// beyond ASCII, a tail that is plain.
private let canary = #"Kanari"en\vögel-☂-5f1d9c-QzXwVuTs"#

extension `End to end` {
    @Suite struct `Secrets stay secret` {
        @Test func `a password is nowhere on disk, in the log, or in what processes show`() async throws {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1"))
            let workforce = try HTTPReceiver(.answer(422, body: "no: \(canary)"))
            let installation = try Installation(directory)
            try installation.add(workforce)
            try await installation.start()
            directory.stop()
            #expect(try installation.post(Event(password: canary)).status == 202)
            // … and where it does not belong, or is half of something.
            var wrong = Event(password: canary)
            wrong.kind = .profileUpdated
            #expect(try installation.post(wrong).status == 400)
            let cut = Array(Event(password: canary).bytes.dropLast(9))
            let refused = try installation.post(installation.kc.request(cut))
            #expect(refused.status == 400)
            _ = try await installation.deadLetter()
            try await eventually("the directory was tried") {
                try installation.queue().contains { $0.provider == "ldap" && $0.attempt > 0 }
            }

            let places = try Places(of: installation)
            #expect(places.count > 8)
            #expect(try places.holding(canary) == [], "while it waits")
            let lists = [
                try await installation.run("queue", "list"), try await installation.run("queue", "list", "--json"),
                try await installation.run("explain", "--instance", "prod", "--realm", "corp", "u1"),
            ]
            #expect(lists.allSatisfy { !Forms(of: canary).appear(in: Array(($0.output + $0.errors).utf8)) })

            try directory.start()
            workforce.always(.answer(204))
            let dead = try await installation.deadLetter()
            #expect(try await installation.run("queue", "retry", "\(dead.id)").code == 0)
            try await installation.settled(1)
            #expect(directory.bind(OpenLDAP.name("u1"), password: canary) == 0)
            #expect(try Places(of: installation).holding(canary) == [], "after it was delivered")

            // What looks for it finds it, in each form.
            for (name, form) in Forms(of: canary).all {
                let path = "\(installation.folder.path)/journal/planted"
                try Bytes.write([1, 2, 3] + form + [4, 5], to: path)
                #expect(try Places(of: installation).holding(canary) == [path], "\(name)")
                unlink(path)
            }
        }

        @Test func `a plugin that tells a password is not repeated, nor a target's words in clear`() async throws {
            let installation = try Installation()
            try installation.add(provider: "puppet", plugin: "Puppet", "user_types: [employee]")
            try await installation.start(environment: ["RUNTIME_SYNC_LOG_LEVEL=info"])
            var event = Event(password: canary)
            event.attributes["externalId"] = ["betray"]
            #expect(try installation.post(event).status == 202)
            let dead = try await installation.deadLetter()
            #expect(dead.detail == "constraint violation for u1@corp.example: [redacted]")
            try await eventually("it has said all") { installation.log.contains("once more: [redacted]") }
            let words = "u1@corp.example"
            #expect(try Places(of: installation).holding(canary) == [])
            #expect(try Places(of: installation).holding(words) == [])
            try await installation.stop()
            try await installation.start()
            // The words are there for who may ask, and nowhere else.
            #expect(try await installation.deadLetter().detail == dead.detail)
            #expect(try Places(of: installation).holding(canary) == [])
            #expect(try Places(of: installation).holding(words) == [])
        }

        @Test func `the sealed password goes with its delivery`() async throws {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1"))
            let installation = try Installation(directory)
            try await installation.start()
            directory.stop()
            try installation.post(Event(password: canary))
            try await eventually("it waits") { try installation.queue().count == 1 }
            try await installation.stop()
            #expect(try installation.sealedSecrets == [true])
            try directory.start()
            try await installation.start()
            try await installation.settled(1)
            #expect(directory.bind(OpenLDAP.name("u1"), password: canary) == 0)
            try await installation.stop()
            #expect(try installation.sealedSecrets == [false])
        }

        @Test func `files are the owner's alone, and nobody dumps core or prints registers`() async throws {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1"))
            let installation = try Installation(directory)
            try await installation.start()
            try installation.post(Event(password: "one secret"))
            try await installation.settled(1)
            func mode(_ name: String) -> mode_t {
                var status = stat()
                lstat("\(installation.folder.path)/\(name)", &status)
                return status.st_mode & 0o7777
            }
            #expect(mode("journal.key") == 0o600)
            #expect(mode("control.sock") == 0o600)
            #expect(mode("journal") == 0o700)
            let files = try Bytes.files(below: "\(installation.folder.path)/journal")
            #expect(files.count >= 2)
            for file in files {
                let name = String(file.dropFirst(installation.folder.path.count + 1))
                #expect(mode(name) == 0o600, "\(name)")
            }
            let daemon = installation.daemon?.pid ?? 0
            let environment = Bytes.text(of: "/proc/\(daemon)/environ").split(separator: "\0")
            #expect(environment.contains("SWIFT_BACKTRACE=enable=no"))
            for pid in [daemon, try installation.provider().pid ?? 0] {
                let limits = Bytes.text(of: "/proc/\(pid)/limits").split(separator: "\n")
                let core = limits.first { $0.hasPrefix("Max core file size") } ?? ""
                #expect(core.split(separator: " ").suffix(3).prefix(2) == ["0", "0"], "\(core)")
            }
        }
    }
}

extension Installation {
    /// For each event of the journal, whether a sealed secret is with it. The daemon must not run.
    fileprivate var sealedSecrets: [Bool] {
        get throws {
            let journal = try Journal(folder: "\(folder.path)/journal")
            return try journal.events(after: 0, limit: 100).map { $0.secret != nil }
        }
    }
}

/// How a text may be written down.
private struct Forms {
    let all: [(name: String, bytes: [UInt8])]

    init(of text: String) {
        let utf8 = Array(text.utf8)
        let units = Array(text.utf16)
        var all: [(name: String, bytes: [UInt8])] = [
            ("UTF-8", utf8),
            ("JSON", Array(text.replacing("\\", with: #"\\"#).replacing("\"", with: #"\""#).utf8)),
            ("UTF-16, low byte first", units.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }),
            ("UTF-16, high byte first", units.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] }),
            ("hexadecimal", utf8.flatMap { Array((($0 < 16 ? "0" : "") + String($0, radix: 16)).utf8) }),
            ("its plain tail", Array(text.utf8.suffix(15))),
        ]
        // Where it stands in the encoded bytes shifts the digits; the first and last depend on its neighbours.
        for shift in 0..<3 {
            let digits = Array(Base64Text.encode([UInt8](repeating: 0, count: shift) + utf8).utf8)
            all.append(("Base64 after \(shift)", Array(digits.dropFirst(shift == 0 ? 0 : 4).dropLast(4))))
        }
        self.all = all
    }

    func appear(in bytes: [UInt8]) -> Bool {
        all.contains { Bytes.find($0.bytes, in: bytes) }
    }
}

/// Everything of an installation that others could get to see.
private struct Places {
    private var contents: [(path: String, bytes: [UInt8])] = []

    init(of installation: Installation) throws {
        for file in try Bytes.files(below: installation.folder.path) {
            let bytes = try? Bytes.read(file)
            // What has gone meanwhile shows nothing.
            guard bytes != nil || access(file, F_OK) == 0 else { continue }
            contents.append((file, try bytes ?? Bytes.read(file)))
        }
        let workers = try installation.providers().compactMap(\.pid)
        for pid in [installation.daemon?.pid ?? 0] + workers {
            for name in ["environ", "cmdline"] {
                let path = "/proc/\(pid)/\(name)"
                contents.append((path, try Bytes.read(path)))
            }
        }
    }

    var count: Int { contents.count }

    /// The paths of those that hold a text in any form.
    func holding(_ text: String) throws -> [String] {
        let forms = Forms(of: text)
        return contents.filter { forms.appear(in: $0.bytes) }.map(\.path)
    }
}

private enum Bytes {
    static func find(_ needle: [UInt8], in hay: [UInt8]) -> Bool {
        guard let first = needle.first else { return true }
        return hay.withUnsafeBytes { hay in
            guard var place = hay.baseAddress else { return false }
            let end = place + hay.count
            while end - place >= needle.count {
                guard let found = memchr(place, Int32(first), end - place - needle.count + 1) else { return false }
                if memcmp(found, needle, needle.count) == 0 { return true }
                place = UnsafeRawPointer(found) + 1
            }
            return false
        }
    }

    static func text(of path: String) -> String {
        (try? Folder.read(path)) ?? ""
    }

    static func read(_ path: String) throws -> [UInt8] {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw Failure("\(path): \(String(cString: strerror(errno)))") }
        defer { close(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while case let count = Glibc.read(file, &chunk, chunk.count), count > 0 { bytes += chunk[..<count] }
        return bytes
    }

    static func write(_ bytes: [UInt8], to path: String) throws {
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        defer { close(file) }
        guard Glibc.write(file, bytes, bytes.count) == bytes.count else { throw Failure(path) }
    }

    /// The regular files below a folder.
    static func files(below folder: String) throws -> [String] {
        guard let listing = opendir(folder) else { throw Failure(folder) }
        defer { closedir(listing) }
        var files: [String] = []
        while let entry = readdir(listing) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard name != ".", name != ".." else { continue }
            let path = "\(folder)/\(name)"
            var status = stat()
            lstat(path, &status)
            switch status.st_mode & S_IFMT {
            case S_IFDIR: files += try Self.files(below: path)
            case S_IFREG: files.append(path)
            default: break
            }
        }
        return files
    }
}
