internal import EventModel
internal import Installations
internal import TargetServers
internal import Workbench

/// What happens to Ada, who works for the company `example.org` and changes her password in Keycloak.
struct Story {
    private let stage: Stage
    private let ldap: OpenLDAP
    private let workforce: HTTPReceiver
    private let runtimeSync: Installation
    private let ada = OpenLDAP.name("E-1042")
    /// Ada's passwords, one after the other; the first is the one she has.
    private let passwords = (0..<3).map { _ in String(UInt64.random(in: .min ... .max), radix: 36) }

    /// The providers.
    private static let targets = ["legacy-ldap", "workforce"]

    init(_ stage: Stage) throws {
        self.stage = stage
        var options = OpenLDAP.Options()
        options.entries = OpenLDAP.account("E-1042", password: passwords[0])
        options.isDurable = true
        ldap = try OpenLDAP(options)
        workforce = try HTTPReceiver()
        runtimeSync = try Installation()
        try runtimeSync.add(ldap, as: "legacy-ldap")
        try runtimeSync.add(workforce, as: "workforce")
    }

    func tell() async throws {
        do {
            try await getReady()
            try await changePassword()
            try await changeProfileAndFailToLogIn()
            try await changePasswordWhileLDAPIsDown()
            try await lookBack()
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            let log = runtimeSync.log.split(separator: "\n").suffix(15).joined(separator: "\n")
            throw Failure(log.isEmpty ? "\(error)" : "\(error)\n\nThe daemon's log ends:\n\(log)")
        }
    }

    // MARK: Chapters

    private func getReady() async throws {
        stage.chapter("Two targets on this machine, and Runtime Sync")
        try await stage.step("OpenLDAP is at \(ldap.url), the workforce system at \(workforce.url)") {
            try expect(bind(passwords[0]) == 0, "Ada cannot bind to begin with")
            return []
        }
        try await stage.step("runtime-sync check: settings, plugins and both targets are fine") {
            try await runtimeSync.succeed("check").split(separator: "\n").map(String.init)
        }
        try await stage.step("runtime-sync serve: the daemon takes events") {
            try runtimeSync.launch()
            try await runtimeSync.listening()
            return []
        }
        try await stage.step("A sandboxed worker holds each plugin") {
            try await stage.until {
                for name in Self.targets {
                    guard try await runtimeSync.provider(name)["worker"]?.text == "running" else { return false }
                }
                return true
            }
            let layers = try await runtimeSync.provider("legacy-ldap")["layers"]?.elements ?? []
            return [layers.compactMap(\.text).joined(separator: ", ")]
        }
    }

    private func changePassword() async throws {
        stage.chapter("Ada changes her password in Keycloak")
        try await accept("password.updated", "The signed event is accepted: 202, it is on disk", password: passwords[1])
        try await stage.step("Delivered to both targets, nothing waits") {
            try await settle()
            return []
        }
        try await stage.step("LDAP refuses a bind with the old password") { try expectBind(passwords[0], 49) }
        try await stage.step("LDAP accepts a bind with the new password") { try expectBind(passwords[1], 0) }
        try await stage.step("The workforce system got the same change over HTTP") {
            try await [request(1, is: "PUT /users/E-1042/password", holds: passwords[1])]
        }
    }

    private func changeProfileAndFailToLogIn() async throws {
        stage.chapter("Her address changes; then somebody fails to log in as her")
        try await accept("profile.updated", "The profile is accepted", subject: #", "email": "ada@corp.example""#)
        try await stage.step("LDAP has the new mail attribute") {
            try await stage.until { ldap.values("mail", of: ada) == ["ada@corp.example"] }
            return ["mail: ada@corp.example"]
        }
        try await stage.step("So has the workforce system") {
            try await [request(2, is: "PATCH /users/E-1042", holds: "ada@corp.example")]
        }
        try await accept(
            "login.failed", "The failed login is accepted", more: #", "error": "invalid_user_credentials""#)
        try await stage.step("The workforce system is notified; LDAP, which cannot use it, is not") {
            try await [request(3, is: "POST /events", holds: "login.failed")]
        }
    }

    private func changePasswordWhileLDAPIsDown() async throws {
        stage.chapter("LDAP goes down, and she changes her password again")
        try await stage.step("OpenLDAP is stopped") {
            try await settle()
            ldap.stop()
            try expect(bind(passwords[1]) == -1, "somebody still answers")
            return []
        }
        try await accept("password.updated", "Still accepted: 202", password: passwords[2])
        try await stage.step("The workforce system has it: one target that is down holds up no other") {
            try await [request(4, is: "PUT /users/E-1042/password", holds: passwords[2])]
        }
        try await stage.step("runtime-sync queue list: the change waits for LDAP") {
            try await stage.until {
                let queue = try await runtimeSync.queue()
                return queue.count == 1 && queue[0]["provider"]?.text == "legacy-ldap"
                    && queue[0]["state"]?.text == "waiting" && queue[0]["detail"]?.text != nil
            }
            return try await runtimeSync.succeed("queue", "list").split(separator: "\n").map(String.init)
        }
        try await stage.step("OpenLDAP is started again") {
            try ldap.start()
            return []
        }
        try await stage.step("The change arrives") {
            try await settle()
            return []
        }
        try await stage.step("LDAP refuses a bind with the password before") { try expectBind(passwords[1], 49) }
        try await stage.step("LDAP accepts a bind with the newest password") { try expectBind(passwords[2], 0) }
    }

    private func lookBack() async throws {
        stage.chapter("Looking back")
        try await stage.step("Every delivery is accounted for") {
            var lines: [String] = []
            for name in Self.targets {
                guard case .object(let counters) = try await runtimeSync.provider(name)["report"]?["counters"] else {
                    throw Failure("\(name) has no counters")
                }
                let counts = counters.reduce(into: [String: Int]()) { counts, counter in
                    if case .number(let text) = counter.value { counts[counter.name] = Int(text) }
                }
                let ended = counts.filter { $0.key != "made" }
                try expect(
                    counts["made"] == ended.values.reduce(0, +) && counts["dead", default: 0] == 0,
                    "\(name): \(counts)")
                let words = ended.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
                lines.append("\(name): \(counts["made"] ?? 0) made, \(words.joined(separator: ", "))")
            }
            return lines
        }
        try await stage.step("The daemon stops in good order") {
            let code = try await runtimeSync.stop()
            try expect(code == 0, "it ended with \(code)")
            return []
        }
        try await stage.step("None of her passwords stands in the journal, the log or any other file") {
            let found = try passwords.filter {
                // grep ends with 0 and counts if it finds something; the password goes in over stdin.
                try ChildProcess.run(
                    ["/bin/sh", "-c", "grep -rlaF -f - '\(runtimeSync.folder.path)' || test $? = 1"],
                    input: Array($0.utf8)
                ) != ""
            }
            try expect(found.isEmpty, "\(found.count) of \(passwords.count) are there")
            return []
        }
    }

    // MARK: Steps that come more than once

    private func accept(
        _ kind: String, _ name: String, subject: String = "", more: String = "", password: String? = nil
    ) async throws {
        try await stage.step(name) {
            let answer = try await runtimeSync.send(kind, subject: subject, more: more, password: password)
            try expect(answer.contains(#""status":"accepted""#), answer)
            return ["\(kind) → \(answer)"]
        }
    }

    /// Waits until nothing waits.
    private func settle() async throws {
        try await stage.until {
            for name in Self.targets {
                let report = try await runtimeSync.provider(name)["report"]
                let isSettled = report?["waiting"] == .number("0") && report?["inFlight"] == .number("0")
                guard isSettled else { return false }
            }
            return true
        }
        let queue = try await runtimeSync.queue()
        try expect(queue.isEmpty, "dead letters: \(queue)")
    }

    private func bind(_ password: String) -> Int32 {
        ldap.bind(ada, password: password)
    }

    private func expectBind(_ password: String, _ wanted: Int32) throws -> [String] {
        let code = bind(password)
        try expect(code == wanted, "result code \(code), not \(wanted)")
        return []
    }

    /// The workforce system's change of that number, checked, as a line to show.
    private func request(_ number: Int, is start: String, holds text: String) async throws -> String {
        // A check asks with GET.
        var changes: [HTTPReceiver.Request] { workforce.requests.filter { $0.method != "GET" } }
        try await stage.until { changes.count >= number }
        try expect(changes.count == number, "\(changes.count) changes came, not \(number)")
        let request = changes[number - 1]
        let line = "\(request.method) \(request.path)"
        try expect(line == start, "\(line) instead of \(start)")
        try expect(request.text.contains("\"\(text)\""), "not in its body: what was sent")
        let shown = passwords.reduce(request.text) { $0.replacing($1, with: "••••••••") }
        return "\(line)  \(shown)"
    }

    private func expect(_ condition: Bool, _ complaint: String) throws {
        guard condition else { throw Failure(complaint) }
    }
}
