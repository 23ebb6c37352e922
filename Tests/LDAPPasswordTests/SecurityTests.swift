internal import PluginHarness
internal import TargetServers
internal import Testing

/// How the connection is secured, and what is refused without that.
struct SecurityTests {
    private func secured() throws -> OpenLDAP {
        let authority = try authority()
        return try directory { $0.authority = authority }
    }

    private static let startTLS = ["start_tls": "", "allow_cleartext": ""]

    @Test func `StartTLS carries a password`() async throws {
        let server = try secured()
        let bench = try Bench(server, Self.startTLS, authority: try authority())
        let completion = try await bench.setPassword("ada", "after")
        #expect(completion.outcome == .delivered, "\(completion.detail)")
        #expect(server.bind(OpenLDAP.name("ada"), password: "after") == 0)
        #expect(try await bench.verify("ada", "after").outcome == .delivered)
    }

    @Test func `LDAPS carries a password`() async throws {
        let server = try secured()
        let settings = Self.startTLS.merging(["url": "\"\(server.tlsURL)\""]) { $1 }
        let bench = try Bench(server, settings, authority: try authority())
        let completion = try await bench.setPassword("ada", "after")
        #expect(completion.outcome == .delivered, "\(completion.detail)")
        #expect(server.bind(OpenLDAP.name("ada"), password: "after") == 0)
    }

    @Test func `a profile bigger than what the socket takes at once arrives whole over TLS`() async throws {
        let server = try secured()
        let bench = try Bench(server, Self.startTLS, authority: try authority())
        let text = String(repeating: "0123456789", count: 80_000)
        let ids = (0..<8).map { index in
            bench.harness.deliver(
                Request(
                    .profile, kind: "profile.updated", externalID: "ada",
                    attributes: "{\"description\": [\"\(index) \(text)\"]}"))
        }
        #expect(try await bench.harness.completions(of: ids).allSatisfy { $0.outcome == .delivered })
        #expect(server.values("description", of: OpenLDAP.name("ada"))?.first?.count ?? 0 > 800_000)
    }

    @Test(arguments: [true, false])
    func `a certificate of an unknown authority is misconfigured`(startTLS: Bool) async throws {
        let server = try secured()
        let settings = startTLS ? Self.startTLS : Self.startTLS.merging(["url": "\"\(server.tlsURL)\""]) { $1 }
        let bench = try Bench(server, settings, authority: try CertificateAuthority())
        let completion = try await bench.setPassword("ada", "after")
        #expect(completion.outcome == .misconfigured, "\(completion.detail)")
        #expect(completion.detail.contains("ca_file"))
        #expect(server.bind(OpenLDAP.name("ada"), password: "before") == 0)
    }

    @Test func `a certificate for another name is misconfigured, unless that name is expected`() async throws {
        let other = try authority()
        let server = try directory {
            $0.authority = other
            $0.subjectAltName = "DNS:ldap.example.org"
        }
        let completion = try await Bench(server, Self.startTLS, authority: other).setPassword("ada", "after")
        #expect(completion.outcome == .misconfigured, "\(completion.detail)")
        let settings = Self.startTLS.merging(["tls_server_name": "\"ldap.example.org\""]) { $1 }
        #expect(try await Bench(server, settings, authority: other).setPassword("ada", "after").outcome == .delivered)
    }

    @Test func `a ca_file without certificates is misconfigured`() async throws {
        let server = try secured()
        let harness = try Harness(
            product: "LDAPPassword",
            settings: """
                {"url": "\(server.url)", "bind_dn": "\(OpenLDAP.service)", "base": "\(OpenLDAP.people)",
                 "account_dn": "uid={{externalId}},\(OpenLDAP.people)"}
                """, files: ["bind_password": "x", "ca_file": "no certificate"])
        #expect(try await harness.completion(of: harness.check()).outcome == .misconfigured)
    }

    @Test func `a server that knows no TLS is misconfigured`() async throws {
        let server = try directory()
        let completion = try await Bench(server, Self.startTLS, authority: try authority()).setPassword("ada", "after")
        #expect(completion.outcome == .misconfigured, "\(completion.detail)")
        #expect(completion.detail.contains("StartTLS"))
    }

    @Test func `a server that goes away during the handshake is tried again`() async throws {
        let server = try secured()
        let relay = try Relay(to: server.tlsPort, holdsAnswers: true)
        defer { relay.stop() }
        let settings = Self.startTLS.merging(["url": "\"ldaps://127.0.0.1:\(relay.port)\""]) { $1 }
        let bench = try Bench(server, settings, authority: try authority())
        let id = bench.sendPassword("ada", "after")
        #expect(await eventually { relay.requestBytes > 0 })
        relay.cut()
        let completion = try await bench.harness.completion(of: id)
        #expect(completion.outcome == .retry, "\(completion.detail)")
    }

    @Test func `a server that is silent during the handshake is tried again`() async throws {
        let server = try secured()
        let relay = try Relay(to: server.tlsPort, holdsAnswers: true)
        defer { relay.stop() }
        let settings = Self.startTLS.merging([
            "url": "\"ldaps://127.0.0.1:\(relay.port)\"", "connect_timeout_ms": "300",
        ]) { $1 }
        let completion = try await Bench(server, settings, authority: try authority()).setPassword("ada", "after")
        #expect(completion.outcome == .retry, "\(completion.detail)")
    }

    @Test(arguments: [
        (["start_tls": "false", "allow_cleartext": ""], "start_tls"),
        (["start_tls": "false", "allow_cleartext": "false"], "start_tls"),
        (["url": "\"ldap://ldap.example.org\""], "allow_cleartext"),
        (["url": "\"ldap://192.0.2.1\"", "start_tls": "true"], "allow_cleartext"),
        (["url": "\"ldap://127.0.0.1.example.org\""], "allow_cleartext"),
        (["start_tls": "true"], "ca_file"),
        (["url": "\"http://127.0.0.1\""], "url"),
        (["base": "\"nonsense\""], "base"),
        (["account_filter": "\"(uid={{externalId}})\""], "account_dn"),
        (["account_dn": ""], "account_dn"),
        (["account_dn": "\"uid={{externalId}},dc=elsewhere\""], "account_dn"),
        (["account_dn": "\"uid=ada,\(OpenLDAP.people)\""], "account_dn"),
        (["account_dn": "\"uid={{name}},\(OpenLDAP.people)\""], "externalId"),
        (["account_dn": "", "account_filter": "\"(uid={{externalId}}\""], "account_filter"),
        (["protect": "\"title=x)\""], "protect"),
        (["password_method": "\"magic\""], "password_method"),
        (["in_flight": "0"], "in_flight"),
        (["operation_timeout_ms": "5"], "operation_timeout_ms"),
    ])
    func `settings that cannot work are refused at start, naming the key`(
        settings: [String: String], key: String
    ) throws {
        #expect {
            _ = try Bench.harness(port: 389, settings)
        } throws: { error in
            guard case .startRefused(let reason) = error as? HarnessError else { return false }
            return reason.contains(key)
        }
    }

    @Test func `a wrong bind password is misconfigured`() async throws {
        let server = try directory()
        let completion = try await Bench(server, bindPassword: "wrong-secret").setPassword("ada", "after")
        #expect(completion.outcome == .misconfigured)
        #expect(completion.detail.contains("invalidCredentials (49)"))
        #expect(!completion.detail.contains("wrong-secret"))
    }

    @Test func `an empty bind password is misconfigured and never an anonymous bind`() async throws {
        let completion = try await Bench(try directory(), bindPassword: "").setPassword("ada", "after")
        #expect(completion.outcome == .misconfigured)
        #expect(completion.detail.contains("bind_password: empty"))
    }

    // MARK: Checking

    @Test func `a check reports what the server can do`() async throws {
        let server = try secured()
        let harness = try Bench(server, Self.startTLS, authority: try authority()).harness
        let completion = try await harness.completion(of: harness.check())
        #expect(completion.outcome == .delivered)
        for fact in ["StartTLS", OpenLDAP.service, OpenLDAP.people, "Password Modify", "conditional writes: yes"] {
            #expect(completion.detail.contains(fact))
        }
        #expect(!completion.detail.contains("warning"))
    }

    @Test func `a check warns of the root account`() async throws {
        let server = try directory()
        let bench = try Bench(
            server, ["bind_dn": "\"\(OpenLDAP.root)\""], bindPassword: OpenLDAP.rootPassword)
        let completion = try await bench.harness.completion(of: bench.harness.check())
        #expect(completion.outcome == .delivered)
        #expect(completion.detail.contains("warning"))
    }

    @Test func `a check finds a wrong password and a missing base`() async throws {
        let server = try directory()
        let wrong = try Bench(server, bindPassword: "wrong").harness
        #expect(try await wrong.completion(of: wrong.check()).outcome == .misconfigured)
        let base = "ou=typo,dc=example,dc=org"
        let missing = try Bench(
            server, ["base": "\"\(base)\"", "account_dn": "\"uid={{externalId}},\(base)\""]
        ).harness
        let completion = try await missing.completion(of: missing.check())
        #expect(completion.outcome == .misconfigured)
        #expect(completion.detail.contains(base))
    }

    @Test func `a check of a server that is down is tried again`() async throws {
        let server = try directory()
        server.stop()
        let harness = try Bench(server).harness
        #expect(try await harness.completion(of: harness.check()).outcome == .retry)
    }
}
