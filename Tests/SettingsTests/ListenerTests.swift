import Settings
import Testing

@Suite struct `A listener` {
    @Test(arguments: [
        ("127.0.0.1:8620", true), ("127.8.9.1:0", true), ("[::1]:8620", true), ("localhost:1", true),
        ("[::ffff:127.0.0.1]:1", true), ("unix:/run/a.sock", true), ("0.0.0.0:8620", false), ("[::]:8620", false),
        ("10.0.0.7:1", false), ("[::ffff:10.0.0.7]:1", false), ("[::2]:1", false),
    ])
    func `is local only if nobody else reaches it`(text: String, isLocal: Bool) throws {
        let address = try #require(ListenAddress(text))
        #expect(address.isLocal == isLocal)
        #expect(ListenAddress("\(address)") == address)
    }

    @Test(arguments: [
        "", "8620", ":8620", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:+1", "::1:8620", "[127.0.0.1]:1",
        "example.com:1", "unix:relative.sock", "unix:", "256.0.0.1:1", "unix:/" + String(repeating: "x", count: 107),
    ])
    func `is refused if it is no address`(text: String) {
        #expect(ListenAddress(text) == nil)
    }

    @Test func `that others reach needs a certificate, and says so`() {
        #expect(
            Fixture(daemon: "intake:\n  listen: 0.0.0.0:8620\n").lines == [
                """
                daemon.yaml:2:11: error: intake.listen is reached by other machines, and there is no \
                certificate: 0.0.0.0:8620; accepts 127.0.0.1:PORT, [::1]:PORT or unix:/path without one
                  hint: passwords never travel in clear: set intake.tls.certificate and intake.tls.key
                """
            ])
    }

    @Test func `that others reach is fine with a certificate and a key of its own`() {
        var fixture = Fixture(daemon: "intake: {listen: 0.0.0.0:8620, tls: {certificate: c.pem, key: k.pem}}\n")
        fixture.files["/etc/rs/c.pem"] = .init(text: "", mode: 0o644)
        fixture.files["/etc/rs/k.pem"] = .init(text: "", mode: 0o640)
        #expect(
            fixture.lines == [
                """
                daemon.yaml:1:63: error: intake.tls.key is open to others than its owner: "/etc/rs/k.pem", \
                mode 0640; accepts mode 0600 or 0400
                  hint: chmod 600 /etc/rs/k.pem
                """
            ])
        fixture.files["/etc/rs/k.pem"]?.mode = 0o400
        #expect(fixture.lines == [])
        fixture.files["/etc/rs/k.pem"] = nil
        #expect(fixture.lines.first?.contains("intake.tls.key cannot be used: No such file or directory") == true)
    }

    @Test func `with half a certificate has none`() {
        let lines = Fixture(daemon: "intake: {tls: {certificate: secrets/keycloak}}\n").lines
        #expect(lines.count == 1)
        #expect(lines.first?.contains("intake.tls.key is missing: a certificate needs its key") == true)
    }

    @Test func `for commands has a path that fits, and is not that of the intake`() {
        let long = "/run/" + String(repeating: "x", count: 103)
        #expect(
            Fixture(daemon: "control: {socket: \(long)}\n").lines.first?.hasPrefix(
                "daemon.yaml:1:19: error: control.socket is too long for a Unix socket") == true)
        #expect(Fixture(daemon: "control: {socket: \(long.dropLast())}\n").lines == [])
        #expect(
            Fixture(daemon: "control: {socket: /run/a}\nintake: {listen: \"unix:/run/a\"}\n").lines.first?.hasPrefix(
                "daemon.yaml:1:19: error: control.socket is the address of intake.listen") == true)
    }

    @Test func `knows peers on a Unix socket only`() {
        let lines = Fixture(daemon: "intake: {peer_uids: [7]}\n").lines
        #expect(lines.first?.contains("intake.peer_uids has no meaning: intake.listen is not a Unix socket") == true)
        #expect(Fixture(daemon: "intake: {peer_uids: [7], listen: \"unix:/run/i.sock\"}\n").lines == [])
    }
}
