import Settings
import Testing

@Suite struct `A source` {
    private static let start = "name: keycloak, instance: prod"

    private func lines(_ source: String, daemon: String = "", _ change: (inout Fixture) -> Void = { _ in }) -> [String]
    {
        var fixture = Fixture(daemon: daemon, source: "sources:\n  - {\(source)}\n")
        change(&fixture)
        return fixture.lines
    }

    @Test func `may say nothing by default, and is told what to write`() {
        let lines = lines("\(Self.start), secrets: [{file: secrets/keycloak}]")
        #expect(
            lines == [
                """
                daemon.yaml:2:5: error: sources[0].realms is missing; accepts a list of realms such as \
                [corp], or ["*"] for all
                  hint: Realms that it may speak of, by `realmId` as its events have it: Keycloak's \
                id of the realm, not its name.
                """,
                """
                daemon.yaml:2:5: error: sources[0].kinds is missing; accepts a list of kinds of events such \
                as [password.updated, profile.updated], or ["*"] for all
                  hint: Kinds of events that it may post.
                """,
            ])
    }

    @Test func `may not be allowed by an empty list`() {
        let lines = lines("\(Self.start), realms: [], kinds: [], secrets: [{file: secrets/keycloak}]")
        #expect(lines.count == 2)
        #expect(lines.allSatisfy { $0.contains("is empty, which would allow nothing") })
    }

    @Test func `needs something that says who it is`() {
        let without = lines("\(Self.start), realms: [a], kinds: [\"*\"]")
        #expect(without.first?.contains("sources[0].secrets is empty: anybody could post in its name") == true)
        #expect(lines("\(Self.start), realms: [a], kinds: [\"*\"], secrets: []").count == 1)
        #expect(
            lines(
                "\(Self.start), realms: [a], kinds: [\"*\"], unsigned_peer_uids: [7]",
                daemon: "intake: {listen: \"unix:/run/i.sock\"}\n") == [])
    }

    @Test func `cannot be known by its uid over TCP`() {
        let lines = lines("\(Self.start), realms: [a], kinds: [\"*\"], unsigned_peer_uids: [7]")
        #expect(
            lines.first?.contains("sources[0].unsigned_peer_uids needs a Unix socket, which alone knows who connects")
                == true)
    }

    @Test func `has two secrets at most, long ones that only the owner can read`() {
        let start = "\(Self.start), realms: [a], kinds: [\"*\"]"
        let three = lines("\(start), secrets: [{env: A}, {env: B}, {env: C}]") {
            for name in ["A", "B", "C"] { $0.environment[name] = Fixture.secret + name }
        }
        #expect(three.map { $0.contains("sources[0].secrets has too many: 3") } == [true])
        let open = lines("\(start), secrets: [{file: secrets/keycloak}]") {
            $0.files["/etc/rs/secrets/keycloak"]?.mode = 0o644
        }
        #expect(
            open == [
                """
                daemon.yaml:2:75: error: sources[0].secrets[0] cannot be used: file /etc/rs/secrets/keycloak \
                has mode 0644: others than its owner have rights to it; accepts a secret
                  hint: chmod 600 /etc/rs/secrets/keycloak
                """
            ])
        let short = lines("\(start), secrets: [{env: A}]") { $0.environment["A"] = "hunter2" }
        #expect(short.map { $0.contains("sources[0].secrets[0] is too short; accepts at least 24 bytes") } == [true])
        let unset = lines("\(start), secrets: [{env: A}]")
        #expect(unset.map { $0.contains("cannot be used: environment variable A is not set") } == [true])
        let empty = lines("\(start), secrets: [{file: e}]") { $0.files["/etc/rs/e"] = .init(text: "\n") }
        #expect(empty.map { $0.contains("cannot be used: file /etc/rs/e is empty") } == [true])
    }

    @Test func `shares neither name nor secret with another`() {
        var fixture = Fixture(
            source: """
                sources:
                  - {name: a, instance: x, realms: ["*"], kinds: ["*"], secrets: [{file: secrets/keycloak}]}
                  - {name: a, instance: y, realms: ["*"], kinds: ["*"], secrets: [{env: COPY}]}
                """)
        // The same secret from another place; the line break at the end is not part of it.
        fixture.environment["COPY"] = Fixture.secret
        #expect(
            fixture.lines == [
                "daemon.yaml:3:12: error: sources[1].name is the name of sources[0] too: \"a\"; accepts a name of its own",
                """
                daemon.yaml:3:67: error: sources[1].secrets[0] is the same as sources[0].secrets[0]; accepts \
                a secret of its own
                """,
            ])
        fixture.environment["COPY"] = Fixture.secret + "2"
        #expect(fixture.lines.count == 1)
    }

    @Test func `shares its unsigned users with nobody`() {
        func source(_ name: String, _ uids: String) -> String {
            "  - {name: \(name), instance: x, realms: [\"*\"], kinds: [\"*\"], unsigned_peer_uids: [\(uids)]}\n"
        }
        func lines(_ first: String, _ second: String) -> [String] {
            Fixture(
                daemon: "intake: {listen: \"unix:/run/i.sock\"}\n",
                source: "sources:\n" + source("a", first) + source("b", second)
            ).lines
        }
        #expect(lines("7, 8", "9") == [])
        #expect(
            lines("7, 8", "9, 8") == [
                """
                daemon.yaml:4:77: error: sources[1].unsigned_peer_uids has a user that sources[0] has too: nobody could \
                tell whose events are whose: 8; accepts a user in one source only
                  hint: give one of them a secret, or one source the rights of both
                """
            ])
    }

    @Test func `posts no event that is older than ids are kept`() {
        let lines = lines(
            "\(Self.start), realms: [a], kinds: [\"*\"], secrets: [{file: secrets/keycloak}], max_event_age: 8d")
        #expect(
            lines == [
                """
                daemon.yaml:2:117: error: sources[0].max_event_age is longer than journal.id_window: old \
                events could be repeated: 8d; accepts 7d and less
                """
            ])
    }

    @Test func `that may carry passwords needs a kind that can`() {
        let start = "\(Self.start), realms: [a], secrets: [{file: secrets/keycloak}], may_carry_password: true"
        #expect(lines("\(start), kinds: [logout]").first?.contains("warning: sources[0].may_carry_password") == true)
        #expect(lines("\(start), kinds: [user.created]") == [])
        #expect(lines("\(start), kinds: [\"*\"]") == [])
    }

    @Test func `is missing from a file that lists none, with a warning`() {
        let loaded = Fixture(source: "").load()
        #expect(loaded.isUsable)
        #expect(loaded.issues.map { "\($0.severity) \($0.key)" } == ["warning sources"])
    }
}
