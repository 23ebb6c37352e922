import Testing

@testable import Supervision

@Suite struct EgressPolicyTests {
    private var policy = EgressPolicy(
        rules: [
            EgressRule(host: "LDAP.corp.example.", port: 636), EgressRule(host: "ldap.corp.example", port: 389),
            EgressRule(host: "hr.corp.example", port: 443), EgressRule(host: "192.0.2.7", port: 8443),
            EgressRule(host: "[2001:db8::7]", port: 443), EgressRule(host: "127.0.0.1", port: 8080),
            EgressRule(host: "localhost", port: 3890),
        ],
        ownListeners: [EgressRule(host: "203.0.113.1", port: 443), EgressRule(host: "0.0.0.0", port: 636)],
        machine: addresses("198.51.100.1", "2001:db8::1"))

    @Test func `only names of the settings are looked up, for their ports`() {
        #expect(policy.lookup("ldap.corp.example", port: 636) == .ask("ldap.corp.example"))
        #expect(policy.lookup("LDAP.CORP.EXAMPLE.", port: 389) == .ask("ldap.corp.example"))
        #expect(policy.lookup("hr.corp.example", port: 0) == .ask("hr.corp.example"))
        for (host, port) in [
            ("hr.corp.example", 389), ("hr.corp.example", 65_536 + 443), ("evil.example", 443), ("corp.example", 443),
            ("x.hr.corp.example", 443), ("hr.corp.example..", 443), ("", 443), ("hr.corp.example\u{0}", 443),
        ] as [(String, UInt32)] {
            #expect(policy.lookup(host, port: port) == .refuse, "\(host):\(port)")
        }
    }

    @Test func `a literal address is answered if the settings write it, and only there`() {
        #expect(policy.lookup("192.0.2.7", port: 8443) == .answer(addresses("192.0.2.7")))
        #expect(policy.lookup("2001:DB8:0::7", port: 0) == .answer(addresses("2001:db8::7")))
        #expect(policy.lookup("::ffff:192.0.2.7", port: 8443) == .answer(addresses("192.0.2.7")))
        #expect(policy.lookup("192.0.2.7", port: 443) == .refuse)
        #expect(policy.lookup("192.0.2.8", port: 8443) == .refuse)
        #expect(policy.lookup("localhost", port: 3890) == .answer(addresses("127.0.0.1", "::1")))
        #expect(policy.lookup("localhost", port: 8080) == .refuse)
    }

    @Test(
        arguments: [
            "127.0.0.1", "127.8.9.10", "0.0.0.0", "0.1.2.3", "169.254.169.254", "224.0.0.1", "255.255.255.255", "::1",
            "::", "fe80::1", "febf::1", "ff02::1", "::ffff:127.0.0.1", "::127.0.0.1",
        ])
    func `a name that answers with this machine, this wire or many machines leads nowhere`(text: String) {
        var policy = policy
        #expect(policy.admit(addresses(text, "10.0.0.5"), for: "hr.corp.example") == addresses("10.0.0.5"))
        #expect(mayConnect(policy, "10.0.0.5", 443))
        #expect(!mayConnect(policy, text, 443))
    }

    @Test func `a name does not lead to where the daemon listens`() {
        var policy = policy
        let answers = addresses("203.0.113.1", "198.51.100.1", "2001:db8::1", "10.0.0.5")
        #expect(policy.admit(answers, for: "hr.corp.example") == addresses("198.51.100.1", "2001:db8::1", "10.0.0.5"))
        #expect(policy.admit(answers, for: "ldap.corp.example") == addresses("203.0.113.1", "10.0.0.5"))
    }

    @Test func `a listener whose port is not known yet is at every port`() {
        var policy = EgressPolicy(
            rules: [EgressRule(host: "hr.corp.example", port: 443)],
            ownListeners: [EgressRule(host: "203.0.113.1", port: 0), EgressRule(host: "::", port: 0)],
            machine: addresses("198.51.100.1"))
        let answers = addresses("203.0.113.1", "198.51.100.1", "10.0.0.5")
        #expect(policy.admit(answers, for: "hr.corp.example") == addresses("10.0.0.5"))
    }

    @Test func `the machine's own name is not known, and that is no offence, unless the settings have it`() {
        let rules = [EgressRule(host: "sync-1.corp.example", port: 389)]
        #expect(EgressPolicy(rules: rules, ownName: "Sync-2").lookup("sync-2.", port: 0) == .ownName)
        #expect(EgressPolicy(rules: rules, ownName: "sync-2").lookup("sync-3", port: 0) == .refuse)
        #expect(EgressPolicy(rules: rules).lookup("", port: 0) == .refuse)
        let named = EgressPolicy(rules: rules, ownName: "sync-1.corp.example")
        #expect(named.lookup("sync-1.corp.example", port: 389) == .ask("sync-1.corp.example"))
        #expect(named.lookup("sync-1.corp.example", port: 22) == .refuse)
    }

    @Test func `who writes the address of such a place means it`() {
        let policy = EgressPolicy(
            rules: [EgressRule(host: "203.0.113.1", port: 443), EgressRule(host: "169.254.169.254", port: 80)],
            ownListeners: [EgressRule(host: "203.0.113.1", port: 443)])
        #expect(mayConnect(policy, "203.0.113.1", 443))
        #expect(mayConnect(policy, "169.254.169.254", 80))
    }

    @Test func `an address is connected to after it was answered, at the ports of its name`() {
        var policy = policy
        #expect(!mayConnect(policy, "10.0.0.5", 636))
        _ = policy.admit(addresses("10.0.0.5"), for: "ldap.corp.example")
        #expect(mayConnect(policy, "10.0.0.5", 636))
        #expect(mayConnect(policy, "10.0.0.5", 389))
        #expect(mayConnect(policy, "::ffff:10.0.0.5", 389))
        #expect(!mayConnect(policy, "10.0.0.5", 443))
        #expect(!mayConnect(policy, "10.0.0.6", 636))
    }

    @Test func `written addresses and localhost need no answer`() {
        #expect(mayConnect(policy, "192.0.2.7", 8443))
        #expect(mayConnect(policy, "2001:db8::7", 443))
        #expect(mayConnect(policy, "127.0.0.1", 8080))
        #expect(mayConnect(policy, "127.0.0.1", 3890))
        #expect(mayConnect(policy, "::1", 3890))
        #expect(!mayConnect(policy, "127.0.0.1", 389))
        #expect(!mayConnect(policy, "::1", 8080))
    }

    @Test func `the answers for a name that nobody allowed are worth nothing`() {
        var policy = policy
        #expect(policy.admit(addresses("10.0.0.5"), for: "evil.example").isEmpty)
        #expect(!mayConnect(policy, "10.0.0.5", 443))
    }

    @Test func `old answers are forgotten when there are too many`() {
        var policy = policy
        let many = (0...UInt8(EgressPolicy.addressesPerName)).compactMap { IPAddress(bytes: [10, 0, 0, $0]) }
        for address in many { _ = policy.admit([address], for: "hr.corp.example") }
        #expect(!mayConnect(policy, "10.0.0.0", 443))
        #expect(mayConnect(policy, "10.0.0.1", 443))
    }

    @Test func `socket addresses are read as strictly as they are written`() throws {
        for text in ["192.0.2.7", "2001:db8::7"] {
            let endpoint = SocketEndpoint(try #require(IPAddress(text)), port: 8_443)
            var bytes = endpoint.socketAddress.bytes
            #expect(SocketEndpoint(socketAddress: bytes) == endpoint)
            for count in 0..<bytes.count { #expect(SocketEndpoint(socketAddress: bytes.prefix(count)) == nil) }
            #expect(SocketEndpoint(socketAddress: bytes + [0]) == nil)
            bytes[0] = 1  // AF_UNIX
            #expect(SocketEndpoint(socketAddress: bytes) == nil)
        }
        let zoned =
            SocketEndpoint(try #require(IPAddress("fe80::1")), port: 1).socketAddress.bytes.dropLast(4) + [2, 0, 0, 0]
        #expect(SocketEndpoint(socketAddress: zoned) == nil)
    }

    @Test(arguments: ["1.2.3", "1.2.3.4.5", "01.2.3.4.", "0x7f.1", "127.1", "fe80::1%lo", "[1.2.3.4", "", "localhost"])
    func `what is not plainly an address is none`(text: String) {
        #expect(IPAddress(text) == nil)
    }

    private func mayConnect(_ policy: EgressPolicy, _ address: String, _ port: UInt16) -> Bool {
        IPAddress(address).map { policy.mayConnect(to: SocketEndpoint($0, port: port)) } ?? false
    }
}

private func addresses(_ texts: String...) -> [IPAddress] {
    texts.compactMap { IPAddress($0) }
}
