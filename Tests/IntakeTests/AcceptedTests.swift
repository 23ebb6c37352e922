import Credentials
import EventModel
import Glibc
import Intake
import Journal
import TargetServers
import Testing

@Suite struct `An accepted event` {
    @Test func `is on disk when the answer comes, and not before`() async throws {
        try await Door.open(.init { $0.isWriting = false }) { door in
            try await door.onThread { door in
                let connection = try door.connect()
                try connection.send(Door.request(event("e1")))
                // What comes behind it on another connection is answered meanwhile: the first one really waits.
                #expect(try door.post("{").status == 400)
                #expect(try door.stored().isEmpty)
                door.startWriting()
                let reply = try connection.reply()
                #expect(reply.status == 202)
                #expect(reply.fields["content-type"] == "application/json")
                #expect(reply.body == #"{"id":"e1","status":"accepted"}"#)
                #expect(try door.stored().map(\.id) == ["e1"])
            }
        }
    }

    @Test(arguments: ["s3cret-canary", #"qu\"ote \\ \u00e4\n\ud83d\ude00"#, String(repeating: "x", count: 5_000)])
    func `has its password sealed apart, and its body without it`(password: String) async throws {
        try await Door.open { door in
            try await door.onThread { door in
                let at = Timestamp(milliseconds: Door.now().milliseconds - 1_000)
                let version = #","version":{"at":"\#(at)","node":"n1","sequence":7}"#
                let posted = event("e1", kind: "password.updated", password: password, extra: version)
                #expect(try door.post(posted).status == 202)
                let stored = try #require(try door.stored().first)
                #expect(stored.kind == .passwordUpdated && stored.source == "kc" && stored.flags == .hasSecret)

                let body = try door.sealer.open(stored.body, as: .body, in: SealContext(event: "e1"))
                let text = String(decoding: body, as: UTF8.self)
                #expect(
                    text
                        == event("e1", kind: "password.updated", password: "", time: try time(of: text), extra: version)
                )

                let header = try body.withUnsafeBytes { try EnvelopeReader().read($0, isStored: true) }.header
                #expect(header.version == VersionClaim(at: at, node: "n1", sequence: 7))
                let sealed = try #require(stored.secret)
                let expected = try JSONValue(parsing: Array("\"\(password)\"".utf8)).text
                try door.sealer.openSecret(sealed, in: header.secretContext).withUnsafeBytes { secret in
                    #expect(String(decoding: secret, as: UTF8.self) == expected)
                }
                // Moved to another version, user or event, it does not open.
                var other = header
                other.version?.sequence = 8
                #expect(throws: SealError.notAuthentic) {
                    _ = try door.sealer.openSecret(sealed, in: other.secretContext).count
                }
                other = header
                other.subject = SubjectKey(instance: "prod", realmID: "corp", userID: "u2")
                #expect(throws: SealError.notAuthentic) {
                    _ = try door.sealer.openSecret(sealed, in: other.secretContext).count
                }
                other = header
                other.id = "e2"
                #expect(throws: SealError.notAuthentic) {
                    _ = try door.sealer.openSecret(sealed, in: other.secretContext).count
                }
            }
        }
    }

    @Test func `that comes again is a duplicate, whether the first is on disk or on its way`() async throws {
        try await Door.open(.init { $0.isWriting = false }) { door in
            try await door.onThread { door in
                let body = event("e1")
                let connections = try (0..<3).map { _ in try door.connect() }
                for connection in connections { try connection.send(Door.request(body)) }
                // A refused one behind each: when it has been answered elsewhere, all three have been looked at.
                #expect(try door.post("{").status == 400)
                door.startWriting()
                let replies = try connections.map { try $0.reply() }
                #expect(replies.map(\.status) == [202, 202, 202])
                #expect(replies.compactMap { $0["status"] }.sorted() == ["accepted", "duplicate", "duplicate"])
                #expect(try door.post(body)["status"] == "duplicate")
                #expect(try door.stored().count == 1)
            }
        }
    }

    @Test func `is taken in once of 1,000 copies at the same time`() async throws {
        try await Door.open { door in
            try await door.onThread { door in
                let body = event("e1")
                let connections = try (0..<100).map { _ in try door.connect() }
                let request = Array(repeating: Door.request(body), count: 10).joined()
                for connection in connections { try connection.send(request) }
                var statuses: [String: Int] = [:]
                for connection in connections {
                    for _ in 0..<10 {
                        let reply = try connection.reply()
                        #expect(reply.status == 202)
                        statuses[reply["status"] ?? "", default: 0] += 1
                    }
                }
                #expect(statuses == ["accepted": 1, "duplicate": 999])
                #expect(try door.stored().count == 1)
            }
        }
    }

    @Test func `refuses its id to another body`() async throws {
        try await Door.open { door in
            try await door.onThread { door in
                let time = Door.now()
                #expect(try door.post(event("e1", time: time)).status == 202)
                let reply = try door.post(event("e1", time: time, subject: "u2"))
                #expect(reply.status == 409 && reply["field"] == "id")
                // Only the password is another.
                let one = event("p", kind: "password.updated", password: "one", time: time)
                let two = event("p", kind: "password.updated", password: "two", time: time)
                #expect(try door.post(one).status == 202)
                #expect(try door.post(two).status == 409)
                #expect(try door.post(one)["status"] == "duplicate")
                #expect(try door.stored().map(\.id) == ["e1", "p"])
            }
        }
    }

    @Test func `does not take the id from another source`() async throws {
        let other = Door.source {
            $0.name = "hr"
            $0.signature = WebhookSignature(current: Door.webhookSecret(Door.otherSecret))
        }
        try await Door.open(.init { $0.sources.append(other) }) { door in
            try await door.onThread { door in
                let time = Door.now()
                #expect(try door.post(event("e1", time: time)).status == 202)
                let connection = try door.connect()
                try connection.send(Door.request(event("e1", time: time, subject: "u2"), secret: Door.otherSecret))
                #expect(try connection.reply()["status"] == "accepted")
                #expect(try door.stored().map(\.source) == ["kc", "hr"])
            }
        }
    }

    @Test func `is known again after a restart`() async throws {
        let setup = try Door.Setup { $0.folder = try Folder() }
        let time = Door.now()
        try await Door.open(setup) { door in
            let reply = try await door.onThread { try $0.post(event("e1", time: time)) }
            #expect(reply["status"] == "accepted")
        }
        try await Door.open(setup) { door in
            try await door.onThread { door in
                let reply = try door.post(event("e1", time: time))
                #expect(reply["status"] == "duplicate")
                #expect(try door.post(event("e1", time: time, subject: "u2")).status == 409)
            }
        }
    }

    @Test func `shares its commit with the others that wait`() async throws {
        try await Door.open(.init { $0.isWriting = false }) { door in
            try await door.onThread { door in
                let connections = try (0..<64).map { _ in try door.connect() }
                for (number, connection) in connections.enumerated() {
                    try connection.send(Door.request(event("e\(number)")))
                }
                #expect(try door.post("{").status == 400)
                door.startWriting()
                for connection in connections { #expect(try connection.reply().status == 202) }
                #expect(door.journal.statistics.events == 64)
                // Not every request may have been looked at before the first commit.
                #expect(door.journal.statistics.syncedCommits < 16)
            }
        }
    }

    @Test func `of a batch has its own fate, by the number of its line`() async throws {
        try await Door.open { door in
            try await door.onThread { door in
                let time = Door.now()
                let lines = [
                    event("a", time: time), "", event("b", kind: "nonsense", time: time), event("a", time: time),
                    "  \r", event("c", kind: "password.updated", password: "canary", time: time),
                    event("a", time: time, subject: "u2"), "{", event("d", realm: "other"), "",
                ]
                let reply = try door.post(lines.joined(separator: "\n"), "application/x-ndjson")
                #expect(reply.status == 202)
                #expect(
                    reply.fates == [
                        "1 accepted", "3 refused 400 kind", "4 duplicate", "6 accepted", "7 refused 409 id",
                        "8 refused 400", "9 refused 403 source.realmId",
                    ])
                #expect(!reply.body.contains("canary"))
                #expect(try door.stored().map(\.id) == ["a", "c"])
            }
        }
    }

    @Test func `of a batch of 10,000 is found again in no time, and no more than that are taken`() async throws {
        try await Door.open { door in
            try await door.onThread { door in
                let time = Door.now()
                let lines = (0..<10_000).map { event("e\($0)", time: time) }
                let reply = try door.post(lines.joined(separator: "\n"), "application/x-ndjson")
                #expect(reply.status == 202)
                #expect(reply.fates == (1...10_000).map { "\($0) accepted" })
                #expect(try door.stored().count == 10_000)
                let more = try door.post((lines + [event("x")]).joined(separator: "\n"), "application/x-ndjson")
                #expect(more.status == 413 && more["detail"] == "a batch of at most 10000 events is accepted")
            }
        }
    }
}

/// The `time` of an event that the test wrote.
private func time(of text: String) throws -> Timestamp {
    let value = try #require(try JSONValue(parsing: Array(text.utf8))["time"]?.text)
    return try #require(Timestamp(rfc3339: value.utf8))
}
