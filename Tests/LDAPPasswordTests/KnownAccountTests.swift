internal import PluginHarness
internal import TargetServers
internal import Testing

/// Accounts that the subject is bound to and whose name is known: they are proven with the write or just before it, and
/// nothing that was known beforehand leads to another entry.
struct KnownAccountTests {
    enum Finding: CaseIterable {
        case byName, byFilter

        var settings: [String: String] {
            switch self {
            case .byName: [:]
            case .byFilter: ["account_dn": "", "account_filter": "\"(employeeNumber={{externalId}})\""]
            }
        }

        func externalID(_ uid: String, _ number: String) -> String {
            switch self {
            case .byName: uid
            case .byFilter: number
            }
        }
    }

    private static let methods = ["modify", "extended"]

    private func bench(
        _ server: OpenLDAP, _ finding: Finding, _ method: String, protect: String = ""
    ) throws -> Bench {
        var settings = finding.settings
        settings["password_method"] = "\"\(method)\""
        settings["protect"] = protect
        return try Bench(server, settings)
    }

    /// Binds the subject: what the daemon knows after the first success.
    private func bound(_ bench: Bench, _ externalID: String) async throws -> String {
        try #require(try await bench.setPassword(externalID, "first").account)
    }

    @Test(arguments: Finding.allCases, methods)
    func `a known account gets its password without being looked for`(finding: Finding, method: String) async throws {
        let server = try directory()
        let bench = try bench(server, finding, method)
        let id = finding.externalID("ada", "E-1")
        let account = try await bound(bench, id)
        let completion = try await bench.setPassword(id, "second", account: account)
        #expect(completion.outcome == .delivered, "\(completion.detail)")
        #expect(completion.account == account)
        #expect(server.bind(OpenLDAP.name("ada"), password: "second") == 0)
        #expect(bench.harness.metrics["searches"] == 1)
    }

    @Test(arguments: Finding.allCases, methods)
    func `an entry that was deleted and made anew under the same name is not written`(
        finding: Finding, method: String
    ) async throws {
        let server = try directory()
        let bench = try bench(server, finding, method)
        let id = finding.externalID("ada", "E-1")
        let account = try await bound(bench, id)
        try server.apply("dn: \(OpenLDAP.name("ada"))\nchangetype: delete\n")
        try server.apply(OpenLDAP.account("ada", number: "E-1"))
        let completion = try await bench.setPassword(id, "second", account: account)
        #expect(completion.outcome == .refused)
        #expect(completion.detail.contains("bound to another account"))
        #expect(server.bind(OpenLDAP.name("ada"), password: "before") == 0)
    }

    @Test(arguments: methods)
    func `an entry that was renamed is found again, and its old name's new owner is not written`(
        method: String
    ) async throws {
        let server = try directory()
        let bench = try bench(server, .byFilter, method)
        let account = try await bound(bench, "E-1")
        try server.apply("dn: \(OpenLDAP.name("ada"))\nchangetype: modrdn\nnewrdn: uid=adele\ndeleteoldrdn: 1\n")
        try server.apply(OpenLDAP.account("ada", number: "E-7"))
        let completion = try await bench.setPassword("E-1", "second", account: account)
        #expect(completion.outcome == .delivered, "\(completion.detail)")
        #expect(server.bind(OpenLDAP.name("adele"), password: "second") == 0)
        #expect(server.bind(OpenLDAP.name("ada"), password: "before") == 0)
    }

    @Test(arguments: methods)
    func `an entry that is no longer what the filter finds is not written`(method: String) async throws {
        let server = try directory()
        let bench = try bench(server, .byFilter, method)
        let account = try await bound(bench, "E-1")
        try server.apply(
            "dn: \(OpenLDAP.name("ada"))\nchangetype: modify\nreplace: employeeNumber\nemployeeNumber: E-9\n")
        #expect(try await bench.setPassword("E-1", "second", account: account).outcome == .absent)
        #expect(server.bind(OpenLDAP.name("ada"), password: "first") == 0)
    }

    @Test(arguments: Finding.allCases, methods)
    func `an entry that has become protected is refused`(finding: Finding, method: String) async throws {
        let server = try directory()
        let bench = try bench(server, finding, method, protect: "\"(title=administrator)\"")
        let id = finding.externalID("ada", "E-1")
        let account = try await bound(bench, id)
        #expect(try await bench.setPassword(id, "second", account: account).outcome == .delivered)
        try server.apply(
            "dn: \(OpenLDAP.name("ada"))\nchangetype: modify\nreplace: title\ntitle: administrator\n")
        let completion = try await bench.setPassword(id, "third", account: account)
        #expect(completion.outcome == .refused)
        #expect(completion.detail.contains("protect"))
        #expect(server.bind(OpenLDAP.name("ada"), password: "second") == 0)
    }

    @Test(arguments: Finding.allCases)
    func `a profile is written on condition, without a question before it`(finding: Finding) async throws {
        let server = try directory()
        let bench = try bench(server, finding, "auto", protect: "\"(title=administrator)\"")
        let id = finding.externalID("ada", "E-1")
        let account = try await bound(bench, id)
        let questions = bench.harness.metrics["confirmations"]
        #expect(try await bench.setProfile(id, #"{"sn": ["Lovelace"]}"#, account: account).outcome == .delivered)
        #expect(bench.harness.metrics["searches"] == 1)
        #expect(bench.harness.metrics["confirmations"] == questions)
        #expect(server.values("sn", of: OpenLDAP.name("ada")) == ["Lovelace"])
    }

    @Test func `among many that are confirmed together, only the right ones are written`() async throws {
        let names = (0..<40).map { "u\($0)" }
        let server = try directory { $0.entries += names.map { OpenLDAP.account($0) }.joined() }
        let bench = try bench(server, .byName, "extended", protect: "\"(title=administrator)\"")
        var accounts: [String] = []
        for name in names { accounts.append(try await bound(bench, name)) }
        for (index, name) in names.enumerated() {
            let entry = OpenLDAP.name(name)
            switch index % 4 {
            case 1: try server.apply("dn: \(entry)\nchangetype: modify\nreplace: title\ntitle: administrator\n")
            case 2:
                try server.apply("dn: \(entry)\nchangetype: delete\n")
                try server.apply(OpenLDAP.account(name))
            case 3: try server.apply("dn: \(entry)\nchangetype: delete\n")
            default: break
            }
        }
        let searches = bench.harness.metrics["searches"] ?? 0
        server.freeze()
        let ids = zip(names, accounts).map { bench.sendPassword($0, "second", account: $1) }
        server.resume()
        let completions = try await bench.harness.completions(of: ids)
        for (index, (name, completion)) in zip(names, completions).enumerated() {
            let expected: (RequestOutcome, String) =
                switch index % 4 {
                case 0: (.delivered, "second")
                case 1: (.refused, "first")
                case 2: (.refused, "before")
                default: (.absent, "")
                }
            #expect(completion.outcome == expected.0, "\(completion.detail)")
            if index % 4 != 3 { #expect(server.bind(OpenLDAP.name(name), password: expected.1) == 0) }
        }
        #expect(bench.harness.metrics["searches"] == searches + 30)
    }

    @Test func `one whose time is over does not take those with it that are asked about at the same time`() async throws
    {
        let server = try directory()
        let bench = try bench(server, .byName, "extended")
        let (ada, bob) = (try await bound(bench, "ada"), try await bound(bench, "bob"))
        server.freeze()
        var request = Request(
            .credential, kind: "password.updated", externalID: "ada", account: ada, secret: "second")
        request.deadline = 200
        let short = bench.harness.deliver(request)
        let long = bench.sendPassword("bob", "second", account: bob)
        #expect(try await bench.harness.completion(of: short).outcome == .retry)
        server.resume()
        #expect(try await bench.harness.completion(of: long).outcome == .delivered)
        #expect(bench.harness.metrics["connections"] == 1)
        #expect(server.bind(OpenLDAP.name("ada"), password: "first") == 0)
    }

    @Test func `a question that nobody waits for any more does not hold up those on the next connection`() async throws
    {
        let server = try directory()
        let settings = ["password_method": "\"extended\"", "operation_timeout_ms": "60000"]
        let bench = try Bench(server, settings)
        let ada = try await bound(bench, "ada")
        server.freeze()
        // The one is asked about together with others, the other is looked for; when its time is over, nothing new is
        // sent on this connection.
        let ids = [("ada", ada), ("bob", nil)].map { name, account in
            var request = Request(
                .credential, kind: "password.updated", externalID: name, account: account, secret: "second")
            request.deadline = 200
            return bench.harness.deliver(request)
        }
        #expect(try await bench.harness.completions(of: ids).allSatisfy { $0.outcome == .retry })
        server.resume()
        #expect(try await bench.setPassword("ada", "third", account: ada).outcome == .delivered)
        #expect(server.bind(OpenLDAP.name("ada"), password: "third") == 0)
        #expect(bench.harness.metrics["connections"] == 2)
    }

    @Test func `a server that lets nobody search by the entry's own name confirms each account by itself`() async throws
    {
        let server = try directory { $0.searchable = "entry,objectClass,uid,title,entryUUID" }
        let bench = try bench(server, .byName, "extended", protect: "\"(title=administrator)\"")
        for name in ["ada", "bob"] {
            try server.apply("dn: \(OpenLDAP.name(name))\nchangetype: modify\nreplace: title\ntitle: clerk\n")
        }
        let (ada, bob) = (try await bound(bench, "ada"), try await bound(bench, "bob"))
        try server.apply("dn: \(OpenLDAP.name("bob"))\nchangetype: modify\nreplace: title\ntitle: administrator\n")
        let completion = try await bench.setPassword("ada", "second", account: ada)
        #expect(completion.outcome == .delivered, "\(completion.detail)")
        #expect(server.bind(OpenLDAP.name("ada"), password: "second") == 0)
        #expect(try await bench.setPassword("bob", "second", account: bob).outcome == .refused)
        #expect(server.bind(OpenLDAP.name("bob"), password: "first") == 0)
    }

    @Test func `whom the server does not let search by name it asks by name once, and again on the next connection`()
        async throws
    {
        let server = try directory { $0.searchable = "entry,objectClass,uid,title,entryUUID" }
        let bench = try bench(server, .byName, "extended")
        let ada = try await bound(bench, "ada")
        /// What a delivery costs the server.
        func searches(_ password: String) async throws -> Int {
            let before = try #require(server.searches())
            #expect(try await bench.setPassword("ada", password, account: ada).outcome == .delivered)
            return try #require(server.searches()) - before - 1  // the counting itself
        }
        #expect(try await searches("second") == 2)
        for round in 1...3 { #expect(try await searches("after \(round)") == 1) }
        server.stop()
        try server.start()
        // The server's root entry is read anew too.
        #expect(try await bench.setPasswordPatiently("bob", "after").outcome == .delivered)
        #expect(bench.harness.metrics["connections"] == 2)
        #expect(try await searches("third") == 2)
        #expect(try await searches("fourth") == 1)
    }

    @Test func `a server that does not answer a joint question is asked one by one`() async throws {
        // It lets nobody search the base itself, only the entries below it.
        let server = try directory { $0.hidesPeople = true }
        let bench = try bench(server, .byName, "extended")
        let (ada, bob) = (try await bound(bench, "ada"), try await bound(bench, "bob"))
        for round in 1...3 {
            let ids = [
                bench.sendPassword("ada", "after \(round)", account: ada),
                bench.sendPassword("bob", "after \(round)", account: bob),
            ]
            #expect(try await bench.harness.completions(of: ids).allSatisfy { $0.outcome == .delivered })
        }
        #expect(server.bind(OpenLDAP.name("bob"), password: "after 3") == 0)
        #expect(bench.harness.metrics["searches"] == 2)
    }
}
