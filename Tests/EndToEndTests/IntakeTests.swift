import Delivery
import EventModel
import Installations
import TargetServers
import Testing

extension `End to end` {
    @Suite struct `What is posted` {
        /// A daemon with a receiver and, beside `kc`, two sources that may say little.
        private struct House {
            let workforce: HTTPReceiver
            let installation: Installation
            let hr: Signer
            let feed: Signer

            init() async throws {
                workforce = try HTTPReceiver()
                installation = try Installation(sources: [
                    "{name: hr, instance: hr, realms: [people], kinds: [profile.updated], "
                        + "secrets: [{file: secrets/hr}]}",
                    #"{name: feed, instance: prod, realms: [corp], kinds: ["*"], secrets: [{file: secrets/feed}]}"#,
                ])
                hr = try Signer()
                feed = try Signer()
                try installation.folder.write("secrets/hr", hr.text)
                try installation.folder.write("secrets/feed", feed.text)
                try installation.add(workforce, more: "notify: all")
                try await installation.start()
            }

            /// Nothing was stored, and no password is in the log.
            func expectNothing() async throws {
                // A good one at the end shows that there is nothing before it.
                try installation.post(Event(.logout, of: nil))
                _ = try await workforce.requests(1)
                try await installation.settled(1)
                #expect(workforce.requests.count == 1)
                #expect(try installation.queue().isEmpty)
                #expect(try installation.provider("workforce").report.counters == ["made": 1, "delivered": 1])
                #expect(!installation.log.contains("secret"))
            }
        }

        @Test func `an event that says something wrong is refused with the field's name`() async throws {
            let house = try await House()
            func changed(_ change: (inout Event) -> Void) -> [UInt8] {
                var event = Event(password: "posted secret")
                change(&event)
                return event.bytes
            }
            func with(_ name: String, _ value: JSONValue) -> [UInt8] { changed { $0.more[name] = value } }
            let text = String(decoding: Event(password: "posted secret").bytes, as: UTF8.self)
            func credential(_ type: String, _ value: JSONValue) -> [UInt8] {
                with("credential", .object([.init("type", .string(type)), .init("value", value)]))
            }
            let cases: [(body: [UInt8], field: String, what: String)] = [
                ([], "", "nothing"),
                (Array("password=posted secret".utf8), "", "not JSON"),
                (Array(text.utf8.dropLast()), "", "JSON cut short"),
                (Array("[\(text)]".utf8), "", "an array"),
                (Array((text + text).utf8), "", "two events"),
                (with("specversion", .string("2")), "specversion", "another version"),
                (with("id", .number("7")), "id", "a number"),
                (with("id", .string("a b")), "id", "a space"),
                (with("id", .null), "id", "null"),
                (with("kind", .string("password.changed")), "kind", "unknown kind"),
                (with("kind", .array([])), "kind", "a list"),
                (with("time", .string("yesterday")), "time", "no time"),
                (with("source", .string("prod")), "source", "a text"),
                (with("source", .object([.init("realm", .string("corp"))])), "source.instance", "no instance"),
                (with("subject", .null), "subject.id", "a password of nobody"),
                (with("subject", .string("u1")), "subject", "a text"),
                (
                    with(
                        "subject",
                        .object([
                            .init("id", .string("u1")),
                            .init("attributes", .object([.init("syncEnabled", .boolean(true))])),
                        ])), "subject.attributes.syncEnabled", "no list of texts"
                ),
                (with("version", .object([.init("sequence", .number("1"))])), "version.at", "no time"),
                (with("changes", .array([])), "changes", "a list"),
                (with("details", .object([.init("a", .number("1"))])), "details.a", "a number"),
                (with("passwort", .string("posted secret")), "pass…", "an unknown member"),
                (with("posted secret", .boolean(true)), "post…", "a password as a name"),
                (with("credential", .string("posted secret")), "credential", "a text"),
                (changed { $0.password = "" }, "credential.value", "an empty password"),
                (
                    with("credential", .object([.init("type", .string("password"))])), "credential.value",
                    "no password"
                ),
                (credential("otp", .string("posted secret")), "credential.type", "another type"),
                (credential("password", .number("123456")), "credential.value", "a number"),
                (Array(text.replacing("posted secret", with: "posted secret\\x").utf8), "", "a wrong escape"),
                (changed { $0.kind = .profileUpdated }, "credential", "a password with a profile"),
            ]
            let connection = try house.installation.connect()
            for (body, field, what) in cases {
                try connection.send(house.installation.kc.request(body))
                let answer = try connection.answer()
                #expect(answer.status == 400, "\(what)")
                #expect(answer.headers["content-type"] == "application/problem+json", "\(what)")
                #expect(answer.member("field") == field, "\(what): \(answer.text)")
                #expect(!answer.member("detail").isEmpty && !answer.text.contains("secret"), "\(what): \(answer.text)")
            }
            try await house.expectNothing()
        }

        @Test func `who did not sign is not heard`() async throws {
            let house = try await House()
            let installation = house.installation
            let body = Event(password: "posted secret").bytes
            let stranger = try Signer()
            let cases: [(request: [UInt8], what: String)] = [
                (Signer.unsigned(body), "unsigned"),
                (stranger.request(body), "another secret"),
                (installation.kc.request(body, age: 301), "five minutes ago"),
                (installation.kc.request(body, age: -310), "in the future"),
                (
                    Signer.unsigned(
                        body,
                        headers: "webhook-id: m\r\nwebhook-timestamp: soon\r\nwebhook-signature: v1,\(body.count)\r\n"),
                    "malformed"
                ),
                (
                    Array(
                        String(decoding: installation.kc.request(body), as: UTF8.self)
                            .replacing("posted secret", with: "forged secret").utf8),
                    "another body"
                ),
            ]
            for (request, what) in cases {
                let answer = try installation.post(request)
                #expect(answer.status == 401, "\(what)")
                #expect(!answer.text.contains("secret"), "\(what)")
                #expect(!answer.member("detail").isEmpty, "\(what)")
            }
            // Four minutes are tolerated.
            let late = installation.kc.request(Event(.logout, of: nil).bytes, age: 240)
            #expect(try installation.post(late).status == 202)
            _ = try await house.workforce.requests(1)
        }

        @Test func `a source says what it may say and no more`() async throws {
            let house = try await House()
            let installation = house.installation
            var profile = Event(.profileUpdated)
            (profile.instance, profile.realm) = ("hr", "people")
            func changed(_ change: (inout Event) -> Void) -> Event {
                var event = profile
                event.id += "-changed"
                change(&event)
                return event
            }
            let cases: [(event: Event, signer: Signer, field: String)] = [
                (changed { $0.instance = "prod" }, house.hr, "source.instance"),
                (changed { $0.realm = "corp" }, house.hr, "source.realmId"),
                (changed { $0.kind = .loginFailed }, house.hr, "kind"),
                (Event(password: "posted secret"), house.feed, "credential"),
            ]
            for (event, signer, field) in cases {
                let answer = try installation.post(event, as: signer)
                #expect(answer.status == 403)
                #expect(answer.member("field") == field, "\(answer.text)")
                #expect(!answer.text.contains("secret"))
            }
            var old = Event(password: "posted secret")
            old.more["time"] = .string("\(Event.now + -8 * 86_400_000)")
            let answer = try installation.post(old)
            #expect(answer.status == 400)
            #expect(answer.member("field") == "time")
            try await house.expectNothing()
            #expect(try installation.post(profile, as: house.hr).status == 202)
        }

        @Test func `what is no event at all is refused by its head`() async throws {
            let house = try await House()
            let installation = house.installation
            let body = Event(password: "posted secret").bytes
            let kc = installation.kc
            #expect(try installation.post(kc.request(body, type: "text/plain")).status == 415)
            #expect(try installation.post(kc.request(body, type: "")).status == 415)
            #expect(try installation.post(kc.request(body, path: "/v2/events")).status == 404)
            #expect(try installation.post(kc.request(body, path: "/")).status == 404)
            for method in ["GET", "PUT", "DELETE"] {
                let answer = try installation.post(kc.request([], method: method))
                #expect(answer.status == 405)
                #expect(answer.headers["allow"] == "POST")
            }
            var large = Event(password: "posted secret")
            large.profile["username"] = String(repeating: "x", count: 262_144)
            #expect(try installation.post(kc.request(large.bytes)).status == 413)
            let head = "POST /v1/events HTTP/1.1\r\nHost: intake\r\nContent-Type: application/json\r\n"
            let size = String(large.bytes.count, radix: 16)
            let chunked = Array("\(head)Transfer-Encoding: chunked\r\n\r\n\(size)\r\n".utf8) + large.bytes
            #expect(try installation.post(chunked + Array("\r\n0\r\n\r\n".utf8)).status == 413)
            try await house.expectNothing()
        }

        @Test func `a repeated event is a duplicate, and another one with its id a conflict`() async throws {
            let house = try await House()
            let body = Event(password: "fixed secret").bytes
            let request = house.installation.kc.request(body)
            #expect(try house.installation.post(request).member("status") == "accepted")
            for _ in 0..<2 {
                let answer = try house.installation.post(house.installation.kc.request(body))
                #expect(answer.status == 202)
                #expect(answer.member("status") == "duplicate")
            }
            let other = Array(String(decoding: body, as: UTF8.self).replacing("fixed", with: "other").utf8)
            let conflict = try house.installation.post(house.installation.kc.request(other))
            #expect(conflict.status == 409)
            #expect(conflict.member("field") == "id")

            // So it is after a restart, and after a crash.
            try await house.installation.crash()
            try await house.installation.start()
            #expect(
                try house.installation.post(house.installation.kc.request(body)).member("status") == "duplicate")
            #expect(try house.installation.post(house.installation.kc.request(other)).status == 409)
            try await house.installation.settled(1)
            // What was delivered and not yet noted when the daemon was killed is delivered again, and says so.
            let fixed = house.workforce.requests.filter { $0.text.contains("fixed secret") }
            #expect(1...2 ~= fixed.count)
            #expect(Set(fixed.map { $0.header("idempotency-key") }).count == 1)
            #expect(!house.workforce.requests.contains { $0.text.contains("other secret") })
        }

        @Test func `a thousand posts of one event at once are one event`() async throws {
            let house = try await House()
            let request = house.installation.kc.request(Event(password: "posted secret").bytes)
            let connections = try (0..<20).map { _ in try house.installation.connect() }
            for connection in connections {
                try connection.send(Array(repeatElement(request, count: 50).joined()))
            }
            var fates: [String: Int] = [:]
            for connection in connections {
                for _ in 0..<50 {
                    let answer = try connection.answer()
                    #expect(answer.status == 202)
                    fates[answer.member("status"), default: 0] += 1
                }
            }
            #expect(fates == ["accepted": 1, "duplicate": 999])
            _ = try await house.workforce.requests(1)
            try await house.installation.settled(1)
            #expect(house.workforce.requests.count == 1)
            #expect(try house.installation.provider("workforce").report.counters == ["made": 1, "delivered": 1])
        }

        @Test func `each line of a batch has its fate, and a bad one blocks nothing`() async throws {
            let house = try await House()
            let good = Event(password: "posted secret")
            let other = Event(of: "u2", password: "posted secret")
            let first = good.bytes
            var bad = Event(password: "posted secret")
            bad.more["kind"] = .string("nonsense")
            var foreign = Event(password: "posted secret")
            foreign.instance = "elsewhere"
            let lines = [first, Array("{".utf8), bad.bytes, foreign.bytes, first, other.bytes]
            let body = Array(lines.joined(separator: [10])) + [10]
            let answer = try house.installation.post(
                house.installation.kc.request(body, type: "application/x-ndjson"))
            #expect(answer.status == 202)
            let results = answer.json["results"]?.elements ?? []
            #expect(
                results.map { $0["status"]?.text ?? "" } == [
                    "accepted", "refused", "refused", "refused", "duplicate", "accepted",
                ])
            #expect(results.map { $0["problem"]?["field"]?.text } == [nil, nil, "kind", "source.instance", nil, nil])
            #expect(results[0]["id"]?.text == good.id)
            #expect(!answer.text.contains("secret"))
            _ = try await house.workforce.requests(2)
            try await house.installation.settled(2)
            #expect(house.workforce.requests.count == 2)

            let nothing = try house.installation.post(
                house.installation.kc.request([10, 10], type: "application/x-ndjson"))
            #expect(nothing.status == 400)
        }

        @Test func `a batch is as large as the room for it, and a larger one is told how large it may be`() async throws
        {
            let installation = try Installation(intake: #"listen: "127.0.0.1:0", max_pending: 3"#)
            try await installation.start()
            let lines = (0..<4).map { Event(.logout, of: "u\($0)").bytes }
            func post(_ count: Int) throws -> Answer {
                let body = Array(lines.prefix(count).joined(separator: [10]))
                return try installation.post(installation.kc.request(body, type: "application/x-ndjson"))
            }
            let large = try post(4)
            #expect(large.status == 413)
            #expect(large.member("detail") == "a batch of at most 3 events is accepted")
            let fits = try post(3)
            #expect(fits.status == 202)
            #expect(fits.json["results"]?.elements?.map { $0["status"]?.text } == ["accepted", "accepted", "accepted"])
        }

        @Test func `requests on one connection are answered in their order`() async throws {
            let house = try await House()
            let kc = house.installation.kc
            let events = (0..<3).map { Event(of: "u\($0)", password: "posted secret") }
            let requests = [
                kc.request(events[0].bytes), kc.request(Array("{".utf8)), kc.request(events[1].bytes),
                kc.request([], method: "GET"), Signer.unsigned(events[2].bytes), kc.request(events[2].bytes),
            ]
            let connection = try house.installation.connect()
            try connection.send(Array(requests.joined()))
            let answers = try requests.map { _ in try connection.answer() }
            #expect(answers.map(\.status) == [202, 400, 202, 405, 401, 202])
            #expect(answers.map { $0.member("id") } == [events[0].id, "", events[1].id, "", "", events[2].id])
        }

        @Test func `who leaves before the answer has posted all the same, and half a request is nothing`() async throws
        {
            let house = try await House()
            var half: Connection? = try house.installation.connect()
            try half?.send(Array(house.installation.kc.request(Event(password: "half secret").bytes).dropLast(3)))
            half = nil
            var gone: Connection? = try house.installation.connect()
            try gone?.send(house.installation.kc.request(Event(password: "whole secret").bytes))
            gone = nil
            let requests = try await house.workforce.requests(1)
            #expect(requests.map { $0.text.contains("whole secret") } == [true])
            try await house.installation.settled(1)
            #expect(try house.installation.counter("made", of: "workforce") == 1)
        }
    }
}
