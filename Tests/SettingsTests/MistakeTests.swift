import Settings
import Testing

/// Each mistake as an operator makes it, and the line that the operator reads: place, key, what it held, what is accepted.
@Suite struct `Mistakes in the daemon's file` {
    private static let mistakes: [(text: String, line: String)] = [
        (
            "jurnal: {}",
            """
            daemon.yaml:1:1: error: jurnal is not a known key; accepts enabled, sandbox, journal, intake, \
            sources, targeting, providers, plugins, retry, control, shutdown, log
              hint: did you mean `journal`?
            """
        ),
        (
            "journal:\n  max_sise: 1GiB",
            """
            daemon.yaml:2:3: error: journal.max_sise is not a known key; accepts folder, key_file, max_events, \
            max_size, id_window
              hint: did you mean `max_size`?
            """
        ),
        (
            "journal:\n  max_size: 12 GB",
            """
            daemon.yaml:2:13: error: journal.max_size is not a size: "12 GB"; accepts a size, 16MiB to 16TiB
              hint: sizes are written 512B, 64KiB, 256MiB or 8GiB
            """
        ),
        (
            "journal:\n  max_size: 1KiB",
            "daemon.yaml:2:13: error: journal.max_size is out of range: \"1KiB\"; accepts a size, 16MiB to 16TiB"
        ),
        (
            "shutdown: {drain: 10}",
            """
            daemon.yaml:1:19: error: shutdown.drain is not a duration: "10"; accepts a duration, 0s to 10m
              hint: durations are written 200ms, 30s, 5m, 1h or 7d
            """
        ),
        (
            "journal: {max_events: many}",
            """
            daemon.yaml:1:23: error: journal.max_events is not a whole number: "many"; accepts a whole number, \
            1000 to 1000000000
            """
        ),
        ("enabled: yes", "daemon.yaml:1:10: error: enabled is neither true nor false: \"yes\"; accepts true or false"),
        ("enabled:", "daemon.yaml:1:9: error: enabled is neither true nor false: nothing; accepts true or false"),
        (
            "log: {level: infos}",
            """
            daemon.yaml:1:14: error: log.level is none of these words: "infos"; accepts debug, info, notice, \
            warning, error
              hint: did you mean `info`?
            """
        ),
        (
            "retry: 5m",
            """
            daemon.yaml:1:8: error: retry is not a mapping: a single value; accepts the keys initial, max, \
            give_up_after
            """
        ),
        (
            "retry: {initial: 10m, max: 1m}",
            "daemon.yaml:1:28: error: retry.max is shorter than retry.initial: 1m; accepts 10m and more"
        ),
        (
            "intake: {peer_uids: 7, listen: \"unix:/run/rs.sock\"}",
            "daemon.yaml:1:21: error: intake.peer_uids is not a list: \"7\"; accepts a list of user ids, such as [998]"
        ),
        (
            "intake: {peer_uids: [7, root], listen: \"unix:/run/rs.sock\"}",
            """
            daemon.yaml:1:25: error: intake.peer_uids[1] is not a whole number: "root"; accepts a whole \
            number, 0 to 4294967294
            """
        ),
        (
            "intake: {max_body: 1MiB, max_batch_body: 512KiB}",
            "daemon.yaml:1:42: error: intake.max_batch_body is smaller than intake.max_body: 512KiB; accepts 1MiB and more"
        ),
        (
            "plugins: {worker_user: \"0:0\"}",
            """
            daemon.yaml:1:24: error: plugins.worker_user is not a user and a group: "0:0"; accepts UID:GID \
            such as 998:998, neither 0, or empty
            """
        ),
        (
            "targeting: {user_type_attribute: \"\"}",
            "daemon.yaml:1:34: error: targeting.user_type_attribute is empty: \"\"; accepts the name of an attribute"
        ),
        (
            "log:\n  level: info\n  level: debug",
            """
            daemon.yaml:3:3: error: log.level stands twice; the first is at daemon.yaml:2:3
            """
        ),
        (
            "providers: {folder: nowhere}",
            """
            daemon.yaml:1:21: error: providers.folder cannot be read: No such file or directory: \
            "/etc/rs/nowhere"; accepts a folder with one NAME.yaml for each provider
            """
        ),
    ]

    @Test(arguments: mistakes)
    func `are told with place, key, what it held and what is accepted`(text: String, line: String) {
        #expect(Fixture(daemon: text + "\n").lines == [line])
    }

    @Test func `are all told at once, top to bottom, file by file`() {
        var fixture = Fixture(
            daemon: "enabled: 7\nlog: {level: loud, format: xml}\nintake:\n  listen: everywhere\n",
            provider: "mode: passive\nuser_types: []\n", environment: ["RUNTIME_SYNC_JOURNAL_FOLDR": "/x"])
        fixture.files["/etc/rs/providers/Other.yaml"] = .init(text: "")
        let places = fixture.load().issues.map { "\($0.place) \($0.key)" }
        #expect(
            places == [
                "/etc/rs/providers/Other.yaml ", "/etc/rs/providers/ldap.yaml:1:1 plugin",
                "/etc/rs/providers/ldap.yaml:1:7 mode", "/etc/rs/providers/ldap.yaml:2:13 user_types",
                "daemon.yaml:1:10 enabled", "daemon.yaml:2:14 log.level", "daemon.yaml:2:28 log.format",
                "daemon.yaml:4:11 intake.listen", "environment variable RUNTIME_SYNC_JOURNAL_FOLDR ",
            ])
    }

    @Test(arguments: [
        ("journal:\n\tfolder: x", 2, 1), ("log: {level: info", 2, 1), ("log: \"info", 2, 1), ("a: b: c", 1, 5),
        ("log: {level: *nobody}", 1, 14), ("---\n---\n", 2, 1),
    ])
    func `against YAML itself have file, line and column`(text: String, line: Int, column: Int) throws {
        let loaded = Fixture(daemon: text + "\n", source: "").load()
        let issue = try #require(loaded.issues.first { $0.place.file == "daemon.yaml" && $0.severity == .error })
        #expect(issue.problem.hasPrefix("is not YAML: "))
        #expect(issue.place.line == line && issue.place.column == column, "\(issue)")
        #expect(!loaded.isUsable)
    }

    @Test func `do not hide behind a key that stands twice`() {
        let lines = Fixture(daemon: "log: {level: info}\nretry: {max: 1}\nlog: {level: x}\nlog: {format: y}\n").lines
        // Of a key that stands several times only the last is looked into.
        #expect(lines.count == 4, "\(lines)")
        #expect(lines.count { $0.contains("log stands twice; the first is at daemon.yaml:1:1") } == 2)
        #expect(lines.contains { $0.hasPrefix("daemon.yaml:2:14: error: retry.max is not a duration") })
        #expect(lines.contains { $0.hasPrefix("daemon.yaml:4:15: error: log.format is none of these words") })
    }

    @Test func `in a file that is not there, not text, or endless are told too`() {
        #expect(
            Fixture().loader.load(file: "/etc/rs/other.yaml").issues.first?.description
                == "/etc/rs/other.yaml: error: cannot be read: No such file or directory")
        let bomb = (1...12).reduce("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n") { text, level in
            text + "a\(level): &a\(level) [\(Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", "))]\n"
        }
        #expect(Fixture(daemon: bomb).lines.first == "daemon.yaml:1:1: error: has more than 100000 values")
    }

    @Test func `leave everything else as it was written`() {
        let loaded = Fixture(daemon: "journal: {max_size: lots, max_events: 2000}\nsandbox: best-effort\n").load()
        #expect(!loaded.isUsable)
        #expect(loaded.daemon.journal.maxSize == JournalSettings().maxSize)
        #expect(loaded.daemon.journal.maxEvents == 2_000)
        #expect(loaded.daemon.sandbox == .bestEffort)
    }

    @Test func `are absent from a good file`() {
        let loaded = Fixture().load()
        #expect(loaded.issues == [])
        #expect(loaded.isUsable)
        #expect(loaded.daemon.sources.map(\.name) == ["keycloak"])
        #expect(loaded.daemon.sources.first?.secrets == [.file("/etc/rs/secrets/keycloak")])
        #expect(loaded.daemon.providers.folder == "/etc/rs/providers")
        #expect(loaded.providers.map(\.name) == ["ldap"])
    }
}
