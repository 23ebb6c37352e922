import Credentials
import EventModel
import Glibc
import Intake
import Journal
import TargetServers
import Testing

@Suite struct `A refused event` {
    /// A body that must not be taken in, the status, and the field that the answer names.
    static let mistakes: [(body: String, status: Int, field: String?)] = [
        ("", 400, nil),
        ("{", 400, nil),
        ("[]", 400, nil),
        ("\"canary\"", 400, nil),
        (event("e1") + "canary", 400, nil),
        (event("e1").replacing("\"specversion\":\"1\"", with: "\"specversion\":\"2\""), 400, "specversion"),
        (event("e1").replacing("\"specversion\":\"1\"", with: "\"specversion\":1"), 400, "specversion"),
        (event(""), 400, "id"),
        (event("with space"), 400, "id"),
        (event("e1", kind: "password.stolen"), 400, "kind"),
        (event("e1").replacing("\"kind\":\"profile.updated\"", with: "\"kind\":7"), 400, "kind"),
        (event("e1").replacing("\"kind\":\"profile.updated\",", with: ""), 400, "kind"),
        (event("e1").replacing("realmId", with: "realm"), 400, "source.realmId"),
        (
            event("e1", kind: "login.failed", subject: nil).replacing("realmId", with: "realm"), 403, "source.realmId"
        ),
        (event("e1", subject: nil), 400, "subject.id"),
        (event("e1", subject: ""), 400, "subject.id"),
        (event("e1", extra: #","time":"yesterday""#), 400, "time"),
        (event("e1", extra: #","cr\u0065dential":{"type":"password","value":"canary"}"#), 400, "credential"),
        (event("e1", extra: #","changes":{"a":{"new":7}}"#), 400, "changes.a.new"),
        (event("e1", kind: "password.updated", password: ""), 400, "credential.value"),
        (event("e1", password: "canary"), 400, "credential"),
        (
            event("e1", kind: "password.updated", extra: #","credential":{"type":"password","value":["canary"]}"#), 400,
            "credential.value"
        ),
        (
            event("e1", kind: "password.updated", extra: #","credential":{"type":"otp","value":"canary"}"#), 400,
            "credential.type"
        ),
        (
            event("e1", kind: "password.updated", extra: #","credential":{"type":"password","value":"\ud800canary"}"#),
            400, nil
        ),
        (
            event(
                "e1", kind: "password.updated", password: "canary",
                extra: #","credential":{"type":"password","value":"canary"}"#), 400, "credential"
        ),
        (event("e1", kind: "password.updated", password: "canary", instance: "test"), 403, "source.instance"),
        (event("e1", kind: "password.updated", password: "canary", realm: "master"), 403, "source.realmId"),
        (event("e1", time: Timestamp(milliseconds: Door.now().milliseconds - 3_700_000)), 400, "time"),
        (event("e1", time: Timestamp(milliseconds: Door.now().milliseconds + 90_000_000)), 400, "time"),
        (event("e1", subject: #"u1\n2  ldap"#), 400, "subject.id"),
        (event("e1", realm: #"corp\u001b[2J"#), 400, "source.realmId"),
        (event("e1", extra: #","details":{"a":"1","a":"canary"}"#), 400, "details.a"),
    ]

    @Test(arguments: mistakes)
    func `is told which field is wrong, without a word of what it held`(
        body: String, status: Int, field: String?
    ) async throws {
        try await Door.open { door in
            try await door.onThread { door in
                let reply = try door.post(body)
                #expect(reply.status == status)
                #expect(reply.fields["content-type"] == "application/problem+json")
                #expect(reply["field"] == field)
                #expect(reply["type"]?.hasPrefix("urn:runtime-sync:problem:") == true && reply["title"] != nil)
                #expect(!reply.body.contains("canary"))
                // The same words as a line of a batch.
                if !body.isEmpty {
                    let fates = try door.post(body, "application/x-ndjson").fates
                    #expect(fates == [["1 refused \(status)", field].compactMap(\.self).joined(separator: " ")])
                }
                #expect(try door.stored().isEmpty)
                // Nothing half-kept: the id is free.
                #expect(try door.post(event("e1")).status == 202)
            }
        }
    }

    @Test func `may be refused for what its source has no right to say`() async throws {
        let narrow = Door.source {
            $0.kinds = .some([.loginFailed])
            $0.mayCarryPassword = false
        }
        try await Door.open(.init { $0.sources = [narrow] }) { door in
            try await door.onThread { door in
                let kind = try door.post(event("e1"))
                #expect(kind.status == 403 && kind["field"] == "kind")
                #expect(try door.post(event("e2", kind: "login.failed", subject: nil)).status == 202)
            }
        }
        try await Door.open(.init { $0.sources = [Door.source { $0.mayCarryPassword = false }] }) { door in
            try await door.onThread { door in
                let reply = try door.post(event("e1", kind: "password.updated", password: "canary"))
                #expect(reply.status == 403 && reply["field"] == "credential" && !reply.body.contains("canary"))
                #expect(try door.post(event("e2", kind: "password.updated")).status == 202)
                #expect(try door.stored().map(\.id) == ["e2"])
            }
        }
    }

    /// A request whose sender is not believed, and the words of the answer.
    static let strangers: [(request: @Sendable (String) -> String, detail: String)] = [
        ({ Door.request($0, leavingOut: "webhook-id") }, "the header webhook-id is missing"),
        ({ Door.request($0, leavingOut: "webhook-timestamp") }, "the header webhook-timestamp is missing"),
        ({ Door.request($0, leavingOut: "webhook-signature") }, "the header webhook-signature is missing"),
        (
            { Door.request($0, fields: ["webhook-signature: v2,AAAA"], leavingOut: "webhook-signature") },
            "the header webhook-signature is malformed; accepted: v1, and behind the comma"
        ),
        (
            { Door.request($0, fields: ["webhook-timestamp: soon"], leavingOut: "webhook-timestamp") },
            "the header webhook-timestamp is malformed; accepted: whole seconds since 1970"
        ),
        (
            { Door.request($0, fields: ["webhook-id: a.b"], leavingOut: "webhook-id") },
            "the header webhook-id is malformed; accepted: any text without a full stop"
        ),
        ({ Door.request($0, secret: Door.otherSecret) }, "the signature matches no source"),
        ({ Door.request($0).replacing("\"u1\"", with: "\"u2\"") }, "the signature matches no source"),
        ({ Door.request($0, at: Timestamp(milliseconds: Door.now().milliseconds - 310_000)) }, "s off our clock"),
        ({ Door.request($0, at: Timestamp(milliseconds: Door.now().milliseconds + 310_000)) }, "s off our clock"),
    ]

    @Test(arguments: strangers.indices)
    func `comes from who does not show a good signature`(index: Int) async throws {
        try await Door.open { door in
            try await door.onThread { door in
                let connection = try door.connect()
                let body = event("e1", kind: "password.updated", password: "canary")
                try connection.send(Self.strangers[index].request(body))
                let reply = try connection.reply()
                #expect(reply.status == 401 && reply.fields["www-authenticate"] != nil)
                #expect(reply["detail"]?.contains(Self.strangers[index].detail) == true)
                #expect(!reply.body.contains("kc") && !reply.body.contains("canary"))
                #expect(try door.stored().isEmpty)
                // The connection is as good as before, and both live secrets are.
                try connection.send(Door.request(body, secret: Door.formerSecret))
                #expect(try connection.reply().status == 202)
            }
        }
    }

    @Test func `is not at the right place, of the right method or type`() async throws {
        try await Door.open { door in
            try await door.onThread { door in
                let connection = try door.connect()
                func answer(_ request: String, hasBody: Bool = true) throws -> Reply {
                    try connection.send(request)
                    return try connection.reply(hasBody: hasBody)
                }
                #expect(try answer(Door.request("x", path: "/v1/event")).status == 404)
                #expect(try answer(Door.request(event("e0"), path: "/v1/events?x=y")).status == 202)
                let method = try answer(Door.request("x", method: "PUT"))
                #expect(method.status == 405 && method.fields["allow"] == "POST")
                #expect(try answer("GET / HTTP/1.1\r\nhost: x\r\n\r\n").status == 404)
                // A HEAD has no body, or it would be taken for the next answer.
                let head = try answer("HEAD /v1/events HTTP/1.1\r\nhost: x\r\n\r\n", hasBody: false)
                #expect(head.status == 405)
                for type in ["text/plain", "application/jsonx", nil] {
                    let reply = try answer(Door.request(event("e1"), type: type))
                    #expect(reply.status == 415 && reply["field"] == "content-type")
                }
                for type in ["application/json; charset=latin1", "application/x-ndjson;charset=utf-16"] {
                    let reply = try answer(Door.request(event("e1"), type: type))
                    #expect(reply.status == 415 && reply["detail"]?.contains("utf-8") == true)
                }
                let coded = try answer(Door.request(event("e1"), fields: ["content-encoding: gzip"]))
                #expect(coded.status == 415 && coded["field"] == "content-encoding")
                let types = ["Application/JSON; charset=utf-8", "application/json ;v=1; charset=\"UTF-8\""]
                for (number, type) in types.enumerated() {
                    let fine = Door.request(event("t\(number)"), type: type, fields: ["content-encoding: identity"])
                    #expect(try answer(fine).status == 202)
                }
                #expect(try door.stored().map(\.id) == ["e0", "t0", "t1"])
            }
        }
    }

    @Test func `is too large by its word, by its chunks, or as a line`() async throws {
        let setup = Door.Setup {
            $0.limits.bodyBytes = 1_000
            $0.limits.batchBytes = 4_000
        }
        try await Door.open(setup) { door in
            try await door.onThread { door in
                // Told by the head: answered before a byte of the body was sent, then the end.
                let told = try door.connect()
                try told.send(Door.request("", fields: ["content-length: 1001"], framing: .none))
                let reply = try told.reply()
                #expect(reply.status == 413 && reply["detail"] == "a body of at most 1000 bytes is accepted")
                #expect(reply.fields["connection"] == "close")
                #expect(try told.isAtEnd())

                // Not told: answered as soon as it is more, though the last chunk never comes.
                let chunked = try door.connect()
                let chunk = "1f4\r\n\(String(repeating: "x", count: 500))\r\n"
                try chunked.send(Door.request("", fields: ["transfer-encoding: chunked"], framing: .none))
                try chunked.send(chunk + chunk + chunk)
                #expect(try chunked.reply().status == 413)
                #expect(try chunked.isAtEnd())

                // Also where nothing would have been kept anyway.
                let lost = try door.connect()
                try lost.send(Door.request("", path: "/", fields: ["transfer-encoding: chunked"], framing: .none))
                try lost.send(chunk + chunk + chunk)
                #expect(try lost.reply().status == 413)

                let long = event("long", extra: #","error":"\#(String(repeating: "x", count: 1_000))""#)
                let batch = try door.post("\(event("a"))\n\(long)\n\(event("b"))", "application/x-ndjson")
                #expect(batch.fates == ["1 accepted", "2 refused 413", "3 accepted"])

                // Exactly as much as is allowed.
                let room = 1_000 - event("fits", extra: #","error":"""#).utf8.count
                let fits = event("fits", extra: #","error":"\#(String(repeating: "x", count: room))""#)
                #expect(fits.utf8.count == 1_000)
                #expect(try door.post(fits).status == 202)
            }
        }
    }

    @Test func `leaves a batch without a line that was taken in no success to hide behind`() async throws {
        try await Door.open(.init { $0.journal.events = 1 }) { door in
            try await door.onThread { door in
                func post(_ lines: String...) throws -> Reply {
                    try door.post(lines.joined(separator: "\n"), "application/x-ndjson")
                }
                // One event over many lines is no batch.
                let pretty = try post("{", #""id": "e1","#, "}")
                #expect(pretty.status == 400 && pretty.fields["content-type"] == "application/problem+json")
                #expect(pretty["detail"]?.hasPrefix("no line was taken in; line 1: ") == true)
                #expect(pretty.fates == ["1 refused 400", "2 refused 400", "3 refused 400"])
                let foreign = try post(event("a", realm: "x"), event("b", realm: "x"))
                #expect(foreign.status == 403 && foreign["field"] == "source.realmId")
                #expect(try post(event("a", realm: "x"), "{").status == 400)
                // One that was taken in is a success, and so is one that had been before.
                let time = Door.now()
                #expect(try post(event("a", time: time), "{").status == 202)
                let again = try post("{", event("a", time: time))
                #expect(again.status == 202 && again.fates == ["1 refused 400", "2 duplicate"])
                // With the journal full by now, what may come again counts.
                let full = try post("{", event("b"))
                #expect(full.status == 503 && full.fields["retry-after"] == "1")
                #expect(full.fates == ["1 refused 400", "2 refused 503"])
            }
        }
    }

    @Test func `cannot take the memory of all: bodies share a budget`() async throws {
        try await Door.open(.init { $0.limits.receivingBytes = 4_096 }) { door in
            try await door.onThread { door in
                let greedy = try door.connect()
                try greedy.send(Door.request("", fields: ["content-length: 200000"], framing: .none))
                try greedy.send(String(repeating: "x", count: 5_000))
                let reply = try greedy.reply()
                #expect(reply.status == 503 && reply.fields["retry-after"] == "1")
                // What it took is given back.
                #expect(try door.post(event("e1")).status == 202)
            }
        }
    }

    @Test func `is no HTTP`() async throws {
        try await Door.open { door in
            try await door.onThread { door in
                for nonsense in ["canary\r\n\r\n", "POST /v1/events HTTP/1.1\r\ncontent-length: canary\r\n\r\n"] {
                    let connection = try door.connect()
                    try connection.send(nonsense)
                    let reply = try connection.reply()
                    #expect(reply.status == 400 && reply.fields["content-type"] == "application/problem+json")
                    #expect(!reply.body.contains("canary"))
                    #expect(try connection.isAtEnd())
                }
            }
        }
    }

    @Test func `finds the journal full, and says when to come again`() async throws {
        for limit in [\JournalLimits.databaseBytes, \JournalLimits.events] {
            try await Door.open(.init { $0.journal[keyPath: limit] = 1 }) { door in
                try await door.onThread { door in
                    // What is full is known after a commit.
                    let time = Door.now()
                    #expect(try door.post(event("a", time: time)).status == 202)
                    let reply = try door.post(event("e1", time: time))
                    #expect(reply.status == 503 && reply.fields["retry-after"] == "1")
                    #expect(reply["detail"] == "the journal is full")
                    let batch = try door.post("\(event("e1", time: time))\n\(event("e2"))", "application/x-ndjson")
                    #expect(batch.status == 503 && batch.fields["retry-after"] == "1")
                    // A duplicate is none the less one.
                    #expect(try door.post(event("a", time: time))["status"] == "duplicate")
                    #expect(try door.stored().map(\.id) == ["a"])
                }
            }
        }
    }

    @Test func `finds too many waiting for the disk`() async throws {
        let setup = Door.Setup {
            $0.isWriting = false
            $0.journal.waitingEvents = 2
        }
        try await Door.open(setup) { door in
            try await door.onThread { door in
                let waiting = try (0..<2).map { _ in try door.connect() }
                for (number, connection) in waiting.enumerated() {
                    try connection.send(Door.request(event("e\(number)")))
                }
                #expect(try door.post("{").status == 400)
                let time = Door.now()
                let reply = try door.post(event("late", time: time))
                #expect(reply.status == 503 && reply["detail"] == "too many events wait for the disk")
                door.startWriting()
                for connection in waiting { #expect(try connection.reply().status == 202) }
                #expect(try door.post(event("late", time: time))["status"] == "accepted")
            }
        }
    }

    @Test(.enabled(if: geteuid() == 0, "only root can mount a small disk"))
    func `could not be written, and may be sent again when the disk has room`() async throws {
        let folder = try Folder()
        try #require(mkdir("\(folder.path)/journal", 0o700) == 0)
        try #require(mount("tmpfs", "\(folder.path)/journal", "tmpfs", 0, "size=4m,mode=700") == 0)
        defer { umount2("\(folder.path)/journal", 0) }
        let ballast = "\(folder.path)/journal/ballast"
        let file = Glibc.open(ballast, O_WRONLY | O_CREAT, 0o600)
        try #require(posix_fallocate(file, 0, 3 << 20) == 0)
        close(file)
        try await Door.open(.init { $0.folder = folder }) { door in
            try await door.onThread { door in
                let time = Door.now()
                let filler = #","error":"\#(String(repeating: "x", count: 100_000))""#
                var reply = try door.post(event("e0", time: time, extra: filler))
                var number = 0
                while reply.status == 202, number < 100 {
                    number += 1
                    reply = try door.post(event("e\(number)", time: time, extra: filler))
                }
                #expect(reply.status == 503 && reply["detail"] == "the journal could not be written")
                #expect(try door.stored().count == number)
                // Again and in two copies, of which one waits for the other: neither is told that it is kept.
                let copies = try (0..<2).map { _ in try door.connect() }
                for copy in copies { try copy.send(Door.request(event("e\(number)", time: time, extra: filler))) }
                for copy in copies { #expect(try copy.reply().status == 503) }

                unlink(ballast)
                #expect(try door.post(event("e\(number)", time: time, extra: filler))["status"] == "accepted")
                #expect(try door.stored().count == number + 1)
            }
        }
    }
}
