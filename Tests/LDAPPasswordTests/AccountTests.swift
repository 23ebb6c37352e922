internal import PluginHarness
internal import TargetServers
internal import Testing

/// Which entry a delivery reaches, and that it reaches no other.
struct AccountTests {
    private static let byNumber = ["account_dn": "", "account_filter": "\"(employeeNumber={{externalId}})\""]

    @Test func `a filter finds the account`() async throws {
        let server = try directory()
        let bench = try Bench(server, Self.byNumber)
        #expect(try await bench.setPassword("E-2", "after").outcome == .delivered)
        #expect(server.bind(OpenLDAP.name("bob"), password: "after") == 0)
        #expect(server.bind(OpenLDAP.name("ada"), password: "before") == 0)
    }

    @Test func `names from the event fill a template`() async throws {
        let server = try directory()
        let bench = try Bench(
            server, ["account_dn": "", "account_filter": "\"(&(uid={{username}})(employeeNumber={{userId}}))\""])
        let event = #"{"subject": {"id": "E-1", "username": "ada"}}"#
        let request = Request(.credential, kind: "password.updated", event: event, secret: "after")
        #expect(try await bench.harness.completion(of: bench.harness.deliver(request)).outcome == .delivered)
        #expect(server.bind(OpenLDAP.name("ada"), password: "after") == 0)
    }

    @Test func `a subject without the name that the template needs is refused with the reason`() async throws {
        let bench = try Bench(try directory())
        let completion = try await bench.setPassword(nil, "after")
        #expect(completion.outcome == .refused)
        #expect(completion.detail.contains("externalId"))
    }

    /// Each would reach `ada`, or an administrator, if it were taken for more than a value.
    static let hostile = [
        "*", "a*", "ada)(uid=*", ")(uid=*", "ada,ou=admins", "ada+cn=ada", "ada\u{0}", "\u{0}ada", "#616461", "ada#",
        "ada\\2a", "a\\64a", "ada\n", "ада", "ada)(|(uid=*", "\"ada\"", "ada,ou=people,dc=example,dc=org",
    ]

    @Test(arguments: hostile)
    func `a hostile external id in a filter is only ever a value`(id: String) async throws {
        let server = try directory()
        let bench = try Bench(server, ["account_dn": "", "account_filter": "\"(uid={{externalId}})\""])
        let completion = try await bench.setPassword(id, "after")
        #expect(completion.outcome == .absent, "\(completion.detail)")
        #expect(server.bind(OpenLDAP.name("ada"), password: "before") == 0)
        #expect(server.bind(OpenLDAP.name("bob"), password: "before") == 0)
    }

    @Test(arguments: hostile)
    func `a hostile external id in a DN is only ever a value`(id: String) async throws {
        let server = try directory { options in
            options.entries += """
                dn: uid=ada,ou=admins,dc=example,dc=org
                objectClass: inetOrgPerson
                cn: ada
                sn: ada
                userPassword: before


                """
        }
        let bench = try Bench(server)
        let completion = try await bench.setPassword(id, "after")
        #expect([.absent, .refused].contains(completion.outcome), "\(completion.detail)")
        #expect(server.bind(OpenLDAP.name("ada"), password: "before") == 0)
        #expect(server.bind("uid=ada,ou=admins,dc=example,dc=org", password: "before") == 0)
    }

    @Test(arguments: [
        "with space", "comma, plus + and \"", "#number", "ümläut ☃", "semi;colon", "back\\slash", "a*b(c)",
    ])
    func `an account whose name holds special characters is found by DN and by filter`(id: String) async throws {
        let server = try directory { options in
            let encoded = id.utf8.map { byte in
                let digits = String(byte, radix: 16)
                return "\\" + (digits.count < 2 ? "0" : "") + digits
            }
            options.entries += """
                dn: uid=\(encoded.joined()),\(OpenLDAP.people)
                objectClass: inetOrgPerson
                cn: somebody
                sn: somebody
                userPassword: before


                """
        }
        #expect(try await Bench(server).setPassword(id, "first").outcome == .delivered)
        let bench = try Bench(server, ["account_dn": "", "account_filter": "\"(uid={{externalId}})\""])
        #expect(try await bench.verify(id, "first").outcome == .delivered)
        #expect(try await bench.setPassword(id, "second").outcome == .delivered)
    }

    @Test func `an absent account is absent, by DN and by filter`() async throws {
        let server = try directory()
        #expect(try await Bench(server).setPassword("nobody", "after").outcome == .absent)
        #expect(try await Bench(server, Self.byNumber).setPassword("nobody", "after").outcome == .absent)
    }

    @Test func `two matching entries are ambiguous and neither is written`() async throws {
        let server = try directory { options in
            options.entries +=
                OpenLDAP.account("twin1", number: "T") + OpenLDAP.account("twin2", number: "T")
                + OpenLDAP.account("twin3", number: "T")
        }
        let completion = try await Bench(server, Self.byNumber).setPassword("T", "after")
        #expect(completion.outcome == .refused)
        #expect(completion.detail.contains("ambiguous"))
        #expect((1...3).allSatisfy { server.bind(OpenLDAP.name("twin\($0)"), password: "before") == 0 })
    }

    @Test func `the top of base itself is never an account`() async throws {
        let server = try directory()
        let bench = try Bench(server, ["account_dn": "", "account_filter": "\"(ou={{externalId}})\""])
        let completion = try await bench.setProfile("people", #"{"description": ["x"]}"#)
        #expect(completion.outcome == .refused)
        #expect(server.values("description", of: OpenLDAP.people) == [])
    }

    @Test(arguments: ["modify", "extended"])
    func `a protected entry is refused`(method: String) async throws {
        let server = try directory { options in
            options.entries += OpenLDAP.account("root", more: "title: administrator")
        }
        let bench = try Bench(
            server, ["protect": "\"(title=administrator)\"", "password_method": "\"\(method)\""])
        let completion = try await bench.setPassword("root", "after")
        #expect(completion.outcome == .refused)
        #expect(completion.detail.contains("protect"))
        #expect(server.bind(OpenLDAP.name("root"), password: "before") == 0)
        #expect(try await bench.setProfile("root", #"{"description": ["x"]}"#).outcome == .refused)
        #expect(try await bench.verify("root", "before").outcome == .refused)
        #expect(try await bench.setPassword("ada", "after").outcome == .delivered)
        #expect(server.bind(OpenLDAP.name("ada"), password: "after") == 0)
    }

    @Test func `an entry of which the server cannot say whether it is protected is refused`() async throws {
        let server = try directory()
        let bench = try Bench(server, ["protect": "\"(noSuchAttribute=x)\""])
        #expect(try await bench.setPassword("ada", "after").outcome == .refused)
        #expect(server.bind(OpenLDAP.name("ada"), password: "before") == 0)
    }

    @Test func `an account that was protected after it was found is not written`() async throws {
        let server = try directory()
        let bench = try Bench(server, ["protect": "\"(title=administrator)\"", "password_method": "\"modify\""])
        #expect(try await bench.read("ada").outcome == .delivered)
        try server.apply("dn: \(OpenLDAP.name("ada"))\nchangetype: modify\nadd: title\ntitle: administrator\n")
        #expect(try await bench.setPassword("ada", "after").outcome == .refused)
        #expect(server.bind(OpenLDAP.name("ada"), password: "before") == 0)
    }

    @Test func `a subject bound to another account is refused`() async throws {
        let server = try directory()
        let bench = try Bench(server)
        let ada = try #require(try await bench.read("ada").account)
        let completion = try await bench.setPassword("bob", "after", account: ada)
        #expect(completion.outcome == .refused)
        #expect(completion.detail.contains("bound to another account"))
        #expect(server.bind(OpenLDAP.name("bob"), password: "before") == 0)
        #expect(try await bench.setPassword("ada", "after", account: ada).outcome == .delivered)
    }

    @Test func `an entry that took an account's name since it was read is not written in its place`() async throws {
        let server = try directory()
        let bench = try Bench(server, ["password_method": "\"modify\""])
        let ada = try #require(try await bench.read("ada").account)
        try server.apply("dn: \(OpenLDAP.name("ada"))\nchangetype: delete\n")
        try server.apply(OpenLDAP.account("ada", password: "impostor"))
        let completion = try await bench.setPassword("ada", "after", account: ada)
        #expect(completion.outcome == .refused)
        #expect(server.bind(OpenLDAP.name("ada"), password: "impostor") == 0)
    }

    @Test func `a read followed by a profile write costs one search`() async throws {
        let server = try directory()
        let relay = try Relay(to: server.port)
        defer { relay.stop() }
        let bench = try Bench(server, port: relay.port)
        #expect(try await bench.setProfile("ada", #"{"title": ["one"]}"#).outcome == .delivered)
        let before = relay.requestBytes
        #expect(try await bench.setProfile("bob", #"{"title": ["one"]}"#).outcome == .delivered)
        let withSearch = relay.requestBytes - before
        #expect(try await bench.setProfile("bob", #"{"title": ["two"]}"#).outcome == .delivered)
        let withoutSearch = relay.requestBytes - before - withSearch
        #expect(withoutSearch < withSearch - 50)
        #expect(server.values("title", of: OpenLDAP.name("bob")) == ["two"])
    }

    @Test func `an account that moved since it was read is found again`() async throws {
        let server = try directory { options in
            options.entries += "dn: ou=new,\(OpenLDAP.people)\nobjectClass: organizationalUnit\nou: new\n\n"
        }
        let bench = try Bench(server, Self.byNumber)
        let ada = try #require(try await bench.read("E-1").account)
        try server.apply(
            "dn: \(OpenLDAP.name("ada"))\nchangetype: modrdn\nnewrdn: uid=ada\ndeleteoldrdn: 0\nnewsuperior: ou=new,\(OpenLDAP.people)\n"
        )
        #expect(try await bench.setProfile("E-1", #"{"title": ["x"]}"#, account: ada).outcome == .delivered)
        #expect(server.values("title", of: "uid=ada,ou=new,\(OpenLDAP.people)") == ["x"])
    }

    @Test func `a referral is refused and not followed`() async throws {
        let server = try directory { options in
            options.entries += """
                dn: uid=away,\(OpenLDAP.people)
                objectClass: referral
                objectClass: extensibleObject
                uid: away
                ref: ldap://127.0.0.1:1/uid=away,\(OpenLDAP.people)


                """
        }
        let byName = try await Bench(server).setPassword("away", "after")
        #expect(byName.outcome == .refused)
        #expect(byName.detail.contains("referral (10)"))
        let bench = try Bench(server, ["account_dn": "", "account_filter": "\"(uid={{externalId}})\""])
        let byFilter = try await bench.setPassword("away", "after")
        #expect(byFilter.outcome == .absent)
        #expect(byFilter.detail.contains("other servers"))
    }

    @Test func `a DN that the server does not accept is refused`() async throws {
        let bench = try Bench(try directory(), ["account_dn": "\"noSuchAttribute={{externalId}},\(OpenLDAP.people)\""])
        let completion = try await bench.setPassword("ada", "after")
        #expect(completion.outcome == .refused)
        #expect(completion.detail.contains("invalidDNSyntax (34)"))
    }

    @Test(arguments: [true, false])
    func `a base that does not exist is misconfigured`(byName: Bool) async throws {
        let base = "ou=typo,dc=example,dc=org"
        let finding =
            byName
            ? ["account_dn": "\"uid={{externalId}},\(base)\""]
            : ["account_dn": "", "account_filter": "\"(uid={{externalId}})\""]
        let bench = try Bench(try directory(), ["base": "\"\(base)\""].merging(finding) { $1 })
        let completion = try await bench.setPassword("ada", "after")
        #expect(completion.outcome == .misconfigured, "\(completion.detail)")
        #expect(completion.detail.contains(base))
    }
}
