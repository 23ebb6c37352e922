internal import PluginHarness
internal import TargetServers
internal import Testing

struct ProfileTests {
    @Test func `a profile replaces, removes and leaves alone`() async throws {
        let server = try directory { options in
            options.entries += OpenLDAP.account(
                "eve", more: "title: old\ntelephoneNumber: 1\ntelephoneNumber: 2\ndescription: stays\nl: goes")
        }
        let eve = OpenLDAP.name("eve")
        let bench = try Bench(server)
        let completion = try await bench.setProfile(
            "eve",
            #"{"title": ["new"], "telephoneNumber": ["3", "4", "5"], "l": [], "street": [], "displayName": ["Ève ☃"]}"#)
        #expect(completion.outcome == .delivered, "\(completion.detail)")
        #expect(completion.account == server.values("entryUUID", of: eve)?.first)
        #expect(server.values("title", of: eve) == ["new"])
        #expect(server.values("telephoneNumber", of: eve) == ["3", "4", "5"])
        #expect(server.values("l", of: eve) == [])
        #expect(server.values("street", of: eve) == [])
        #expect(server.values("description", of: eve) == ["stays"])
        #expect(server.values("displayName", of: eve) == ["Ève ☃"])
        #expect(server.bind(eve, password: "before") == 0)
    }

    @Test func `one attribute that the server refuses refuses all, in its own words`() async throws {
        let server = try directory()
        let completion = try await Bench(server).setProfile("ada", #"{"title": ["x"], "noSuchAttribute": ["y"]}"#)
        #expect(completion.outcome == .refused)
        #expect(completion.detail.contains("undefinedAttributeType (17)"))
        #expect(completion.detail.contains("noSuchAttribute"))
        #expect(server.values("title", of: OpenLDAP.name("ada")) == [])
    }

    @Test func `a required attribute cannot be removed`() async throws {
        let completion = try await Bench(try directory()).setProfile("ada", #"{"sn": []}"#)
        #expect(completion.outcome == .refused)
        #expect(completion.detail.contains("objectClassViolation (65)"))
    }

    @Test(arguments: ["userPassword", "USERPASSWORD", "userPassword;lang-de", "2.5.4.35", "unicodePwd"])
    func `a profile neither writes nor reads a password`(attribute: String) async throws {
        let server = try directory()
        let bench = try Bench(server)
        #expect(try await bench.setProfile("ada", "{\"\(attribute)\": [\"x\"]}").outcome == .refused)
        #expect(try await bench.read("ada", [attribute]).outcome == .refused)
        #expect(server.bind(OpenLDAP.name("ada"), password: "before") == 0)
    }

    @Test(arguments: ["", "[]", "{", #"{"title": "x"}"#, #"{"title": [1]}"#])
    func `attributes that are no object of arrays of strings are refused`(attributes: String) async throws {
        #expect(try await Bench(try directory()).setProfile("ada", attributes).outcome == .refused)
    }

    @Test func `a profile without attributes finds the account and writes nothing`() async throws {
        let bench = try Bench(try directory())
        #expect(try await bench.setProfile("ada", "{}").outcome == .delivered)
        #expect(try await bench.setProfile("nobody", "{}").outcome == .absent)
    }

    @Test func `a record holds what was asked for and nothing else`() async throws {
        let server = try directory { options in
            options.entries += OpenLDAP.account(
                "eve", more: "title: a \"title\"\ntelephoneNumber: 1\ntelephoneNumber: 2\njpegPhoto:: /9j/4A==")
        }
        let bench = try Bench(server)
        let completion = try await bench.read("eve", ["TITLE", "telephoneNumber", "l", "jpegPhoto"])
        #expect(completion.outcome == .delivered)
        #expect(completion.account == server.values("entryUUID", of: OpenLDAP.name("eve"))?.first)
        #expect(completion.record == #"{"TITLE":["a \"title\""],"l":[],"telephoneNumber":["1","2"]}"#)
        #expect(completion.detail.contains("jpegPhoto"))
        #expect(try await bench.read("nobody").outcome == .absent)
    }

    @Test func `a profile bigger than what the socket takes at once arrives whole`() async throws {
        let server = try directory()
        let bench = try Bench(server)
        let text = String(repeating: "0123456789", count: 80_000)
        let ids = (0..<12).map { index in
            bench.harness.deliver(
                Request(
                    .profile, kind: "profile.updated", externalID: index % 2 == 0 ? "ada" : "bob",
                    attributes: "{\"description\": [\"\(index) \(text)\"]}"))
        }
        #expect(try await bench.harness.completions(of: ids).allSatisfy { $0.outcome == .delivered })
        #expect(server.values("description", of: OpenLDAP.name("ada"))?.first?.count ?? 0 > 800_000)
        #expect(bench.harness.metrics["connections"] == 1)
    }

    // MARK: Verifying

    @Test func `verifying tells the password from another`() async throws {
        let server = try directory()
        let bench = try Bench(server)
        let right = try await bench.verify("ada", "before")
        #expect(right.outcome == .delivered)
        #expect(right.account == server.values("entryUUID", of: OpenLDAP.name("ada"))?.first)
        #expect(try await bench.verify("ada", "wrong").outcome == .refused)
        #expect(try await bench.verify("nobody", "before").outcome == .absent)
        #expect(try await bench.setPassword("ada", "after").outcome == .delivered)
        #expect(try await bench.verify("ada", "before").outcome == .refused)
        #expect(try await bench.verify("ada", "after").outcome == .delivered)
    }
}
