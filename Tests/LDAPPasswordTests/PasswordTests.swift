internal import PluginHarness
internal import TargetServers
internal import Testing

struct PasswordTests {
    @Test(arguments: ["auto", "modify", "extended"])
    func `a new password binds and the old one no longer does`(method: String) async throws {
        let server = try directory()
        let bench = try Bench(server, ["password_method": "\"\(method)\""])
        #expect(server.bind(OpenLDAP.name("ada"), password: "before") == 0)
        let completion = try await bench.setPassword("ada", "after the change")
        #expect(completion.outcome == .delivered, "\(completion.detail)")
        #expect(server.bind(OpenLDAP.name("ada"), password: "after the change") == 0)
        #expect(server.bind(OpenLDAP.name("ada"), password: "before") == 49)
        #expect(server.bind(OpenLDAP.name("bob"), password: "before") == 0)
    }

    @Test func `auto takes the operation made for it, so that the server hashes`() async throws {
        let server = try directory()
        #expect(try await Bench(server).setPassword("ada", "after").outcome == .delivered)
        #expect(server.values("userPassword", of: OpenLDAP.name("ada"))?.first?.hasPrefix("{SSHA}") == true)
    }

    @Test func `any text is a password`() async throws {
        let server = try directory()
        let bench = try Bench(server)
        for password in [
            "pässwörd ☃", "with \"quotes\" and \\", " leading and trailing ", "}", String(repeating: "x", count: 4000),
        ] {
            #expect(try await bench.setPassword("ada", password).outcome == .delivered)
            #expect(server.bind(OpenLDAP.name("ada"), password: password) == 0)
        }
    }

    static let inBraces = [
        "{CLEARTEXT}foo", "{ssha}VGhpcyBpcyBub3QgYSBoYXNo", "{CRYPT}x", "{NOSUCH}foo", "{a b}", "{é}x", "{{x}}y", "{1}",
    ]

    @Test(arguments: inBraces)
    func `what the server would take for a hash is not written as an attribute`(password: String) async throws {
        let server = try directory()
        // The reason: what the server makes of it.
        try server.apply(
            "dn: \(OpenLDAP.name("bob"))\nchangetype: modify\nreplace: userPassword\nuserPassword: \(password)\n")
        #expect(server.bind(OpenLDAP.name("bob"), password: password) == 49)
        let bench = try Bench(server, ["password_method": "\"modify\""])
        let completion = try await bench.setPassword("ada", password)
        #expect(completion.outcome == .refused)
        #expect(completion.detail.contains("password_method: extended"))
        #expect(!completion.detail.contains(password))
        #expect(server.bind(OpenLDAP.name("ada"), password: "before") == 0)
    }

    @Test(arguments: inBraces)
    func `the operation made for it takes braces for what they are`(password: String) async throws {
        let server = try directory()
        #expect(try await Bench(server).setPassword("ada", password).outcome == .delivered)
        #expect(server.bind(OpenLDAP.name("ada"), password: password) == 0)
    }

    @Test(arguments: ["{", "{x", "{}x", "{}x}y", "x{SSHA}y", "}{x}"])
    func `other braces are written as an attribute and bind`(password: String) async throws {
        let server = try directory()
        let bench = try Bench(server, ["password_method": "\"modify\""])
        #expect(try await bench.setPassword("ada", password).outcome == .delivered)
        #expect(server.bind(OpenLDAP.name("ada"), password: password) == 0)
    }

    @Test func `the account's stable id is its entryUUID`() async throws {
        let server = try directory()
        let completion = try await Bench(server).setPassword("ada", "after")
        #expect(completion.account != nil)
        #expect(completion.account == server.values("entryUUID", of: OpenLDAP.name("ada"))?.first)
    }

    @Test func `another stable id is taken if the settings name one`() async throws {
        let server = try directory()
        let bench = try Bench(server, ["stable_id": "\"employeeNumber\""])
        #expect(try await bench.setPassword("ada", "after").account == "E-1")
    }

    @Test func `an account without the stable id that the settings name is refused`() async throws {
        let server = try directory()
        let bench = try Bench(server, ["stable_id": "\"telexNumber\""])
        let completion = try await bench.setPassword("ada", "after")
        #expect(completion.outcome == .refused)
        #expect(completion.detail.contains("telexNumber"))
        #expect(server.bind(OpenLDAP.name("ada"), password: "before") == 0)
    }

    @Test func `an empty password is refused`() async throws {
        let server = try directory()
        let bench = try Bench(server)
        for completion in [try await bench.setPassword("ada", ""), try await bench.verify("ada", "")] {
            #expect(completion.outcome == .refused)
            #expect(completion.detail.contains("an empty password is never sent"))
        }
        #expect(bench.harness.metrics["connections"] == nil)
        #expect(server.bind(OpenLDAP.name("ada"), password: "before") == 0)
    }

    @Test func `a temporary password is refused`() async throws {
        let server = try directory()
        let bench = try Bench(server)
        var request = Request(.credential, kind: "password.updated", externalID: "ada", secret: "after")
        request.isTemporary = true
        #expect(try await bench.harness.completion(of: bench.harness.deliver(request)).outcome == .refused)
        #expect(server.bind(OpenLDAP.name("ada"), password: "before") == 0)
    }

    @Test func `a lifecycle delivery is refused, because the manifest does not offer it`() async throws {
        let bench = try Bench(try directory())
        let request = Request(.lifecycle, kind: "user.deleted", externalID: "ada")
        #expect(try await bench.harness.completion(of: bench.harness.deliver(request)).outcome == .refused)
    }

    @Test(arguments: ["auto", "modify"])
    func `two hundred passwords at once all arrive over one connection`(method: String) async throws {
        let server = try directory { options in
            options.entries = (1...200).map { OpenLDAP.account("u\($0)") }.joined()
        }
        let bench = try Bench(server, ["password_method": "\"\(method)\""])
        let ids = (1...200).map { bench.sendPassword("u\($0)", "new password \($0)") }
        let completions = try await bench.harness.completions(of: ids)
        #expect(completions.allSatisfy { $0.outcome == .delivered })
        #expect(Set(completions.map(\.account)).count == 200)
        #expect((1...200).allSatisfy { server.bind(OpenLDAP.name("u\($0)"), password: "new password \($0)") == 0 })
        #expect(bench.harness.metrics["connections"] == 1)
        #expect(bench.harness.strayCompletions.isEmpty)
    }

    // MARK: What the server refuses

    @Test func `insufficient rights refuse this account and no other`() async throws {
        let server = try directory { options in
            options.entries += OpenLDAP.account("eve", place: "ou=frozen")
        }
        let bench = try Bench(
            server, ["account_dn": "", "account_filter": "\"(employeeNumber={{externalId}})\""])
        let completion = try await bench.setPassword("eve", "after")
        #expect(completion.outcome == .refused)
        #expect(completion.detail.contains("insufficientAccessRights (50)"))
        #expect(try await bench.setPassword("E-1", "after").outcome == .delivered)
    }

    @Test(arguments: ["modify", "extended"])
    func `a password against the policy is refused with the server's words`(method: String) async throws {
        let server = try directory { $0.hasPolicy = true }
        let bench = try Bench(server, ["password_method": "\"\(method)\""])
        let completion = try await bench.setPassword("ada", "short")
        #expect(completion.outcome == .refused)
        #expect(completion.detail.contains("constraintViolation (19)"))
        #expect(completion.detail.contains("Password"))
        #expect(server.bind(OpenLDAP.name("ada"), password: "before") == 0)
        #expect(try await bench.setPassword("ada", "long enough").outcome == .delivered)
        #expect(server.bind(OpenLDAP.name("ada"), password: "long enough") == 0)
    }

    @Test func `no completion and no log line holds a password`() async throws {
        let server = try directory { $0.hasPolicy = true }
        let bench = try Bench(server)
        var completions: [Completion] = []
        for (name, password) in [("ada", "kanarie"), ("ada", "canary-canary"), ("nobody", "canary-canary")] {
            completions.append(try await bench.setPassword(name, password))
        }
        completions.append(try await bench.verify("ada", "canary-canary"))
        completions.append(try await bench.verify("ada", "kanarie"))
        let words = completions.map { "\($0)" } + bench.harness.logs.map(\.message)
        #expect(!words.contains { $0.contains("canary") || $0.contains("kanarie") || $0.contains("service-secret") })
        #expect(completions.map(\.outcome) == [.refused, .delivered, .absent, .delivered, .refused])
    }
}
