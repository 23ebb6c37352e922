import EventModel
import Glibc
import Installations
import TargetServers
import Testing
import Workbench

@Suite struct `A command` {
    @Test func `has an exit code that says what is wrong`() async throws {
        #expect(try await Program.run(["--help"]).code == 0)
        #expect(try await Program.run(["--version"]).output == "0.1.0\n")
        for words in [["nonsense"], ["serve", "--nonsense"], ["queue", "show", "x"], ["send"]] {
            #expect(try await Program.run(words).code == 64)
        }
        let place = try Installation()
        let absent = try await place.run("queue", "list")
        #expect(absent.code == 1)
        let lines = absent.lines.filter { !$0.contains("warning") && !$0.hasPrefix("  hint") }
        #expect(lines.count == 1)
        #expect(lines.first?.hasPrefix("runtime-sync: error: no daemon answers on \(place.control)") == true)
    }

    @Test func `check tells everything that is wrong at once`() async throws {
        let place = try Installation(
            listen: "127.0.0.1:0", retry: "initial: soon",
            provider: Installation.unreachable.replacing("ldap://127.0.0.1:1", with: "http://127.0.0.1:1"))
        try place.folder.write("secrets/kc", "whsec_not!base64!not!base64!")
        try place.folder.write("providers/other.yaml", "plugin: Missing\n")
        let outcome = try await place.run("check")
        #expect(outcome.code == 2)
        for words in [
            "error: retry.initial is not a duration", "providers/ldap.yaml:5:8: error: settings.url",
            "source kc: error: the secret of source kc: file \(place.path)/secrets/kc is not Base64",
            "provider other: error: no libMissing.so in \(Products.folder)",
        ] {
            #expect(outcome.errors.contains(words), "\(outcome.errors)")
        }
        #expect(!outcome.errors.contains("not!base64"))
    }

    @Test func `check tells what would keep the daemon from starting, and leaves it as it is`() async throws {
        let folder = try Folder()
        let place = try Installation(
            listen: "127.0.0.1:0", tls: "certificate: secrets/ldap, key: secrets/ldap",
            provider: Installation.unreachable)
        try place.folder.write("journal.key", "no key ring")
        try #require(mkdir("\(place.path)/journal", 0o700) == 0)
        try place.folder.write("journal/journal.sqlite", String(repeating: "no database ", count: 100))
        try place.folder.write("control.sock", "no socket")
        func check(_ words: String..., sourceLocation: SourceLocation = #_sourceLocation) async throws {
            let outcome = try await place.run("check", "--offline")
            #expect(outcome.code == 1, sourceLocation: sourceLocation)
            for words in words {
                #expect(outcome.errors.contains(words), "\(outcome.errors)", sourceLocation: sourceLocation)
            }
        }
        let control = "error: unix:\(place.path)/control.sock cannot be listened on"
        try await check(
            "error: key file \(place.path)/journal.key, line 1", "journal/journal.sqlite is damaged",
            "secrets/ldap holds no certificate in PEM", control)
        #expect(try Folder.read("\(place.path)/journal.key") == "no key ring")
        #expect(access("\(place.path)/journal/lock", F_OK) != 0)

        chmod("\(place.path)/journal", 0o777)
        try await check("journal has mode 777", control)
        try #require(unlink("\(place.path)/journal/journal.sqlite") == 0)
        for (key, path, words) in [
            ("JOURNAL_FOLDER", "\(place.path)/journal.key", "journal.key: Not a directory"),
            ("JOURNAL_FOLDER", "\(place.path)/no/journal", "mkdir \(place.path)/no/journal: No such file"),
            ("JOURNAL_KEY_FILE", "\(place.path)/no/key", "key file \(place.path)/no/key: create: No such file"),
            ("CONTROL_SOCKET", "\(place.path)/no/c.sock", "its folder \(place.path)/no: No such file"),
            ("INTAKE_LISTEN", "unix:\(folder.path)", "there is a file that is no socket"),
        ] {
            let outcome = try await Program.run(
                ["check", "--offline", "--settings", place.settings], environment: ["RUNTIME_SYNC_\(key)=\(path)"])
            #expect(outcome.code != 0 && outcome.errors.contains(words), "\(outcome)")
            #expect(outcome.output.contains("RUNTIME_SYNC_\(key) wins over "), "\(outcome)")
        }
    }

    @Test func `check is content with settings that a daemon runs on, and not without its key file`() async throws {
        let place = try Installation()
        try await place.serving { _ in
            let outcome = try await place.run("check")
            #expect(outcome.code == 0, "\(outcome)")
        }
        try #require(unlink("\(place.path)/journal.key") == 0)
        let outcome = try await place.run("check", "--offline")
        #expect(outcome.code == 1 && outcome.errors.contains("journal.key is missing, though there is a journal in"))
        #expect(access("\(place.path)/journal.key", F_OK) != 0)
    }

    @Test func `check sees that another process has the intake's port or one of the sockets`() async throws {
        let (other, port) = try Loopback.listener()
        defer { close(other) }
        let place = try Installation(listen: "127.0.0.1:\(port)")
        let taken = try await place.run("check", "--offline")
        #expect(taken.code == 1 && !taken.output.contains("daemon: "), "\(taken)")
        #expect(
            taken.errors.contains("error: 127.0.0.1:\(port) cannot be listened on: Address already in use"), "\(taken)")

        // The intake of another daemon is no daemon that answers on the control socket.
        let folder = try Folder()
        let neighbour = try Installation(listen: "unix:\(folder.path)/in.sock")
        try await neighbour.serving { _ in
            for key in ["INTAKE_LISTEN=unix:", "CONTROL_SOCKET="] {
                let outcome = try await Program.run(
                    ["check", "--offline", "--settings", place.settings],
                    environment: [
                        "RUNTIME_SYNC_INTAKE_LISTEN=127.0.0.1:0", "RUNTIME_SYNC_\(key)\(folder.path)/in.sock",
                    ])
                #expect(outcome.code == 1 && !outcome.output.contains("daemon: "), "\(outcome)")
                #expect(
                    outcome.errors.contains(
                        "error: unix:\(folder.path)/in.sock cannot be listened on: another process does"), "\(outcome)")
            }
        }
        #expect(try await neighbour.run("check", "--offline").code == 0)
    }

    @Test func `check says that a daemon runs with the settings, and that its port is free for the next one`()
        async throws
    {
        let port = try Loopback.freePort()
        let place = try Installation(listen: "127.0.0.1:\(port)")
        let (other, taken) = try Loopback.listener()
        defer { close(other) }
        try await place.serving { _ in
            let outcome = try await place.run("check")
            #expect(outcome.code == 0, "\(outcome)")
            #expect(outcome.output.contains("daemon: running; its intake listens on 127.0.0.1:\(port)\n"), "\(outcome)")
            let json = try await place.run("check", "--json").output
            #expect(try JSONValue(parsing: Array(json.utf8.dropLast()))["daemon"]?["intake"]?.text == place.address)
            // With other settings it would be started on another port.
            let moved = try await Program.run(
                ["check", "--offline", "--settings", place.settings],
                environment: ["RUNTIME_SYNC_INTAKE_LISTEN=127.0.0.1:\(taken)"])
            #expect(moved.code == 1 && moved.errors.contains("127.0.0.1:\(taken) cannot be listened on"), "\(moved)")
        }
    }

    @Test func `check asks providers whose settings are right, though others' are not`() async throws {
        let place = try Installation(listen: "127.0.0.1:0", provider: Installation.unreachable)
        try place.folder.write("providers/other.yaml", "plugin: LDAPPassword\n")
        let outcome = try await place.run("check")
        #expect(outcome.code == 2 && outcome.errors.contains("providers/other.yaml:1:1: error: user_types"))
        let lines = outcome.output.split(separator: "\n")
        #expect(lines.contains { $0.hasPrefix("provider ldap: retry: ") && $0.hasSuffix("/providers/ldap.yaml]") })
        #expect(!lines.contains { $0.hasPrefix("provider other") })
    }

    @Test func `what came with an event cannot forge a line, nor steer the terminal`() async throws {
        let place = try Installation(listen: "127.0.0.1:0", provider: Installation.unreachable)
        let file = try place.folder.write(
            "event.json",
            #"""
            {"id": "e1", "kind": "profile.updated", "source": {"realmId": "corp"}, "subject": {"id": "u1\u202e",
             "attributes": {"syncEnabled": ["true"], "userType": ["employee"], "externalId": ["E\n1  ldap\u001b[2J"]}}}
            """#)
        try await place.serving { _ in
            #expect(try await place.run("send", file).code == 0)
            let explained = try await place.run("explain", "--instance", "prod", "--realm", "corp", "u1\u{202e}")
            #expect(explained.output.contains("user u1\\u{202e} of realm corp"), "\(explained)")
            #expect(explained.output.contains("E\\u{a}1  ldap\\u{1b}[2J"), "\(explained)")
            let list = try await place.run("queue", "list")
            #expect(list.output.contains("u1\\u{202e}") && list.output.split(separator: "\n").count == 2, "\(list)")
            // For machines, JSON has escapes of its own.
            let json = try await Program.run(["queue", "list", "--json", "--settings", place.settings])
            #expect(json.output.unicodeScalars.contains("\u{202e}") && !json.output.contains("u{"), "\(json)")
        }
    }

    @Test func `check asks each provider that is on, and names the others`() async throws {
        let place = try Installation(listen: "127.0.0.1:0", provider: Installation.unreachable)
        try place.folder.write("providers/off.yaml", "enabled: false\n" + Installation.unreachable)
        let outcome = try await place.run("check")
        #expect(outcome.code == 1)
        let lines = outcome.output.split(separator: "\n")
        #expect(lines.first == "settings: \(place.settings): fine")
        #expect(lines.contains { $0.hasPrefix("provider ldap: retry: ") }, "\(outcome)")
        #expect(lines.last == "provider off: disabled; not checked")
        let offline = try await place.run("check", "--offline")
        #expect(offline.code == 0)
        #expect(offline.output.contains("provider ldap: settings fine; not asked\n"))
        // A plugin that is not there is no mistake of the settings; the others would start.
        try place.folder.write("providers/other.yaml", "plugin: Missing\nuser_types: [employee]\n")
        #expect(try await place.run("check", "--offline").code == 1)
    }

    @Test func `check and the list of plugins speak JSON too`() async throws {
        let place = try Installation(listen: "127.0.0.1:0", provider: Installation.unreachable)
        func answer(_ words: String...) async throws -> (code: Int32, json: JSONValue) {
            let outcome = try await Program.run(words + ["--json", "--settings", place.settings])
            return (outcome.code, try JSONValue(parsing: Array(outcome.output.dropLast().utf8)))
        }
        let plugins = try await answer("plugins", "list")
        let plugin = try #require(plugins.json.elements?.first { $0["name"]?.text == "LDAPPassword" })
        #expect(plugins.code == 0 && plugin.names == ["name", "version", "abi", "capabilities", "file"])
        #expect(plugin["capabilities"]?.elements?.isEmpty == false)

        let check = try await answer("check")
        let provider = try #require(check.json["providers"]?.elements?.first)
        #expect(check.code == 1 && check.json["isFine"] == .boolean(false))
        #expect(provider["name"]?.text == "ldap" && provider["isFine"] == .boolean(false))
        #expect(provider["detail"]?.text?.hasPrefix("retry: ") == true)
        #expect(try await answer("check", "--offline").json["isFine"] == .boolean(true))

        try place.folder.write("providers/ldap.yaml", "plugin: LDAPPassword\n")
        let wrong = try await answer("check")
        let issue = try #require(wrong.json["issues"]?.elements?.first { $0["key"]?.text == "user_types" })
        #expect(wrong.code == 2 && wrong.json["isFine"] == .boolean(false) && wrong.json["providers"]?.elements == [])
        #expect(issue["severity"]?.text == "error" && issue["line"] == .number("1"))
        #expect(issue["file"]?.text == "\(place.path)/providers/ldap.yaml")
    }

    @Test func `commands reach a daemon though its settings are wrong by now`() async throws {
        let place = try Installation(listen: "127.0.0.1:0", provider: Installation.unreachable)
        try await place.serving { _ in
            try place.folder.write("providers/ldap.yaml", "plugin: LDAPPassword\nuser_typos: [employee]\n")
            let list = try await place.run("providers", "list")
            #expect(list.code == 0 && list.output.contains("ldap"), "\(list)")
            #expect(list.errors == "warning: the settings have errors; `runtime-sync check` tells them\n")
            try place.folder.write("providers/ldap.yaml", "plugin: [")
            #expect(try await place.run("providers", "list").code == 0)
            try place.folder.write("runtime-sync.yaml", "control: {sockets: control.sock}\n")
            let lost = try await place.run("providers", "list")
            #expect(lost.code == 2 && lost.errors.contains("control.sockets"), "\(lost)")
            #expect(lost.errors.contains("--socket PATH"))
        }
    }

    @Test func `warnings about the settings are told where the settings are the subject`() async throws {
        let place = try Installation()
        try place.folder.write(
            "runtime-sync.yaml",
            Folder.read(place.settings).replacing("journal.key}", with: "journal/journal.key}"))
        #expect(try await place.run("check", "--offline").errors.contains("warning: journal.key_file"))
        for words in [["queue", "list"], ["providers", "list"], ["plugins", "list"]] {
            #expect(try await !Program.run(words + ["--settings", place.settings]).errors.contains("warning"))
        }
        let outcome = try await place.serving { _ in }
        #expect(outcome.code == 0)
    }

    @Test func `send signs an event, and its password comes by stdin`() async throws {
        let place = try Installation(listen: "127.0.0.1:0", provider: Installation.unreachable)
        let file = try place.folder.write(
            "event.json",
            #"""
            {"id": "e1", "kind": "password.updated", "subject": {"id": "u1", "attributes":
             {"syncEnabled": ["true"], "userType": ["employee"], "externalId": ["E-1042"]}}}
            """#)
        try await place.serving { _ in
            let sent = try await place.run("send", file, "--password-stdin", input: "s3cret \"canary\\\nignored")
            #expect(sent.code == 0 && sent.output == #"{"id":"e1","status":"accepted"}"# + "\n", "\(sent)")
            // The same id, without the password: another body.
            let again = try await place.run("send", file)
            #expect(again.code == 1 && again.output.isEmpty)
            #expect(again.errors.contains("runtime-sync: error: 409 for event e1: {"))

            // It waits, for nobody serves the directory; the lists tell all that a script needs.
            let list = try await place.run("queue", "list", "--json")
            let delivery = try #require(try JSONValue(parsing: Array(list.output.dropLast().utf8)).elements?.first)
            #expect(
                delivery.names.isSuperset(of: [
                    "id", "provider", "kind", "event", "user", "received", "state", "attempt", "hasSecret",
                ]))
            #expect(delivery["provider"]?.text == "ldap" && delivery["event"]?.text == "e1")
            let providers = try await place.run("providers", "list", "--json")
            let provider = try #require(try JSONValue(parsing: Array(providers.output.dropLast().utf8)).elements?.first)
            #expect(provider.names.isSuperset(of: ["report", "restarts", "refusedEgress"]))
            #expect(try await place.run("queue", "list", "--limit", "0").errors.contains("limit is a whole number"))

            func explain(_ flags: [String]) async throws -> String {
                let words = ["explain", "u1", "--instance", "prod", "--realm", "corp", "--settings", place.settings]
                return try await Program.run(words + flags).output
            }
            for flags in [[], ["--json"]] {
                let output = try await explain(flags)
                #expect(output.contains("E-1042") && output.contains("employee") && !output.contains("canary"))
                let redacted = try await explain(flags + ["--no-values"])
                #expect(redacted.contains("ldap") && redacted.contains("set"))
                #expect(!redacted.contains("E-1042") && !redacted.contains("employee"))
            }
        }
    }

    @Test func `send says what is wrong with its event`() async throws {
        let place = try Installation()
        let cases = [
            ("{\"kind\": ", "is not JSON at byte 9"), ("[]", "is no JSON object"),
        ]
        for (text, words) in cases {
            let file = try place.folder.write("event.json", text)
            let outcome = try await place.run("send", file)
            #expect(outcome.code == 1 && outcome.errors.contains("runtime-sync: error: \(file) \(words)"))
        }
        let missing = try await place.run("send", "/nonexistent")
        #expect(missing.code == 1 && missing.errors.contains("/nonexistent cannot be read: No such file or directory"))
        let folder = try await place.run("send", "/")
        #expect(folder.code == 1 && folder.errors.contains("/ cannot be read: Is a directory"))
        let file = try place.folder.write("event.json", "{}")
        #expect(try await place.run("send", file, "--source", "x").errors.contains("no source x; there are: kc"))
        let deaf = try await place.run("send", file, "--url", "http://127.0.0.1:1")
        #expect(deaf.code == 1 && deaf.errors.contains("no intake answers on http://127.0.0.1:1/v1/events: "))
        #expect(try await place.run("send", "-", "--password-stdin").code == 64)
    }

    @Test func `send does not speak in clear to another machine`() async throws {
        let place = try Installation()
        let file = try place.folder.write("event.json", "{}")
        for url in [
            "http://192.0.2.1:8620", "http://sync.corp.example", "http://127.0.0.1.corp.example",
            "http://127.0.0.1@192.0.2.1", "http://[2001:db8::1]:8620", "HTTP://192.0.2.1", "ftp://127.0.0.1",
            "127.0.0.1",
            "unix:relative", "http://localhost.corp.example", "http+unix://%2Ftmp", "http://0.0.0.0:8620",
        ] {
            let outcome = try await place.run(
                "send", file, "--url", url, "--password-stdin", input: "s3cret canary\n")
            #expect(outcome.code == 64, "\(url): \(outcome)")
            #expect(outcome.errors.contains("\(url) would carry the event"), "\(url): \(outcome)")
            #expect(!outcome.errors.contains("canary"))
        }
        for url in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1", "https://127.0.0.1:1"] {
            let outcome = try await place.run("send", file, "--url", url)
            #expect(outcome.code == 1 && outcome.errors.contains("no intake answers on"), "\(url): \(outcome)")
        }
    }

    @Test func `send trusts the authority it is given, and no other`() async throws {
        let authority = try CertificateAuthority()
        let server = try authority.issue("server")
        let place = try Installation(
            listen: "127.0.0.1:0", tls: "certificate: \(server.certificate), key: \(server.key)")
        let file = try place.folder.write(
            "event.json", #"{"kind": "login.succeeded", "source": {"realmId": "corp"}}"#)
        try await place.serving { _ in
            let trusting = try await place.run("send", file, "--ca", authority.certificateFile)
            #expect(trusting.code == 0, "\(trusting.errors)")
            let wary = try await place.run("send", file)
            #expect(wary.code == 1 && wary.errors.contains("no intake answers on https://127.0.0.1:"))
            let wrong = try await place.run("send", file, "--ca", file)
            #expect(wrong.code == 1 && wrong.errors.contains("\(file) holds no certificate in PEM"))
        }
    }

    @Test func `send speaks over a Unix socket, named or not`() async throws {
        let folder = try Folder()
        let place = try Installation(listen: "unix:\(folder.path)/in.sock")
        let file = try place.folder.write("event.json", #"{"kind": "logout", "source": {"realmId": "corp"}}"#)
        try await place.serving { _ in
            let outcomes = [
                try await place.run("send", file),
                try await place.run("send", file, "--url", "unix:\(folder.path)/in.sock"),
            ]
            #expect(outcomes.map(\.code) == [0, 0])
        }
    }
}

extension JSONValue {
    /// The names of an object's members.
    fileprivate var names: Set<String> {
        guard case .object(let members) = self else { return [] }
        return Set(members.map(\.name))
    }
}
