import PluginHarness
import RuntimeSyncPlugin
import TargetServers
import Testing

private func harness(
    _ url: String, _ more: String = "", files: [String: String] = [:], window: UInt32 = 64
) throws -> Harness {
    try Harness(
        product: "WorkforceHTTP", settings: #"{"base_url": "\#(url)", "allow_cleartext": true\#(more)}"#, files: files,
        window: window)
}

private func password(_ secret: String = "correct horse", key: String = "key-1", externalID: String = "E-1042")
    -> Request
{
    Request(.credential, kind: "password.updated", idempotencyKey: key, externalID: externalID, secret: secret)
}

private let profile = Request(
    .profile, kind: "profile.updated", externalID: "E-1042", attributes: #"{"mail": ["a@b.example"], "phone": []}"#)

private let logout = Request(.notification, kind: "logout", event: #"{"id": "01J9", "kind": "logout"}"#)

@Suite struct `A delivery` {
    @Test(arguments: [
        "correct horse", #"q"b\s/"#, "tab\tline\n\u{1}", "pässwörd 😀", "{{secret}} %41 &amp; \\u0041",
        String(repeating: "long ", count: 250_000),
    ])
    func `of a password arrives unharmed, as the target expects it`(secret: String) async throws {
        let receiver = try HTTPReceiver(.answer(204))
        defer { receiver.stop() }
        let harness = try harness(receiver.url + "/api/")
        defer { harness.stop() }
        var request = password(secret)
        request.isTemporary = true
        #expect(try await harness.completion(of: harness.deliver(request)).outcome == .delivered)
        let received = try #require(receiver.requests.first)
        #expect(received.method == "PUT")
        #expect(received.path == "/api/users/E-1042/password")
        #expect(try JSON(parsing: received.body) == .object(["password": .string(secret), "temporary": .bool(true)]))
        #expect(received.header("Content-Type") == "application/json")
        #expect(received.header("Idempotency-Key") == "key-1")
        #expect(received.header("User-Agent") == "runtime-sync-workforce-http/1.0.0")
        #expect(received.header("Expect") == nil)
        #expect(received.header("Authorization") == nil)
    }

    @Test func `of each other class has its own request`() async throws {
        let receiver = try HTTPReceiver()
        defer { receiver.stop() }
        let harness = try harness(receiver.url)
        defer { harness.stop() }
        let event = #"{"subject": {"username": "u1042"}}"#
        for request in [
            profile, Request(.lifecycle, kind: "user.created", externalID: "E-1", event: event),
            Request(.lifecycle, kind: "user.renamed", externalID: "E-1", event: event),
            Request(.lifecycle, kind: "user.disabled", externalID: "E-1"),
            Request(.lifecycle, kind: "user.deleted", externalID: "E-1"), logout,
        ] {
            #expect(try await harness.completion(of: harness.deliver(request)).outcome == .delivered)
        }
        #expect(
            receiver.requests.map { "\($0.method) \($0.path) \($0.text)" } == [
                #"PATCH /users/E-1042 {"attributes":{"mail":["a@b.example"],"phone":[]}}"#,
                #"PUT /users/E-1 {"attributes":null,"enabled":true,"username":"u1042"}"#,
                #"PATCH /users/E-1 {"username":"u1042"}"#, #"PATCH /users/E-1 {"enabled":false}"#, "DELETE /users/E-1 ",
                #"POST /events {"id":"01J9","kind":"logout"}"#,
            ])
    }

    @Test func `without a body is sent without one`() async throws {
        let receiver = try HTTPReceiver()
        defer { receiver.stop() }
        let harness = try harness(receiver.url, #", "requests": {"logout": {"method": "POST", "path": "/bye"}}"#)
        defer { harness.stop() }
        #expect(try await harness.completion(of: harness.deliver(logout)).outcome == .delivered)
        let received = try #require(receiver.requests.first)
        #expect(received.header("Content-Length") == "0")
        #expect(received.header("Content-Type") == nil)
    }

    @Test func `of a temporary password goes only where the request says that it is one`() async throws {
        let receiver = try HTTPReceiver()
        defer { receiver.stop() }
        let harness = try harness(
            receiver.url,
            #", "requests": {"password.updated": {"method": "PUT", "path": "/p", "body": {"p": "{{secret}}"}}}"#)
        defer { harness.stop() }
        var request = password()
        request.isTemporary = true
        let refused = try await harness.completion(of: harness.deliver(request))
        #expect(refused.outcome == .refused && refused.detail.contains("requests.password.updated"))
        #expect(receiver.requests.isEmpty)
        #expect(try await harness.completion(of: harness.deliver(password())).outcome == .delivered)
    }

    @Test func `keeps its idempotency key and says which attempt it is`() async throws {
        let receiver = try HTTPReceiver()
        defer { receiver.stop() }
        let harness = try harness(receiver.url, #", "headers": {"X-Attempt": "{{attempt}}"}"#)
        defer { harness.stop() }
        receiver.next(.answer(503, headers: ["Retry-After": "7"], body: "try later"))
        var request = password(key: "event-9")
        let first = try await harness.completion(of: harness.deliver(request))
        #expect(first.outcome == .retry)
        #expect(first.retryAfter == 7_000)
        #expect(first.detail == "HTTP 503: try later")
        request.attempt = 2
        #expect(try await harness.completion(of: harness.deliver(request)).outcome == .delivered)
        #expect(receiver.requests.map { $0.header("Idempotency-Key") } == ["event-9", "event-9"])
        #expect(receiver.requests.map { $0.header("X-Attempt") } == ["1", "2"])
    }

    @Test func `honours a delay that is given as a date`() async throws {
        let receiver = try HTTPReceiver(.answer(429, headers: ["Retry-After": "Fri, 31 Dec 2100 23:59:59 GMT"]))
        defer { receiver.stop() }
        let harness = try harness(receiver.url)
        defer { harness.stop() }
        let completion = try await harness.completion(of: harness.deliver(password()))
        #expect(completion.outcome == .retry)
        #expect(completion.retryAfter == 86_400_000)
    }

    @Test func `that cannot be put as a request reaches nobody`() async throws {
        let receiver = try HTTPReceiver()
        defer { receiver.stop() }
        let harness = try harness(
            receiver.url, #", "headers": {"X-User": "{{username?}}"}, "requests": {"default": null}"#)
        defer { harness.stop() }
        var hostile = password()
        hostile.event = #"{"subject": {"username": "a\r\nX-Evil: 1"}}"#
        var broken = password()
        broken.event = "{"
        for (request, words) in [
            (password(""), "empty password"), (password(externalID: ".."), ".."),
            (password(externalID: "../admins/root"), "the path /users/{{externalId}}/password"),
            (password(externalID: ""), "{{externalId}}"),
            (hostile, "control character"), (broken, "not JSON"),
            (Request(.notification, kind: "new.kind"), "new.kind"),
        ] {
            let completion = try await harness.completion(of: harness.deliver(request))
            #expect(completion.outcome == .refused)
            #expect(completion.detail.contains(words))
        }
        #expect(receiver.requests.isEmpty)
    }

    @Test func `keeps a hostile external id inside its path segment`() async throws {
        let receiver = try HTTPReceiver()
        defer { receiver.stop() }
        let harness = try harness(receiver.url)
        defer { harness.stop() }
        _ = try await harness.completion(of: harness.deliver(password(externalID: "a/admin?x=1#y/ü")))
        #expect(receiver.requests.map(\.path) == ["/users/a%2Fadmin%3Fx%3D1%23y%2F%C3%BC/password"])
    }

    @Test func `reports the account that the answer names, and refuses another one's`() async throws {
        let receiver = try HTTPReceiver(.answer(200, body: #"{"user": {"id": "u-77"}}"#))
        defer { receiver.stop() }
        let harness = try harness(receiver.url, #", "account_field": "user.id""#)
        defer { harness.stop() }
        #expect(try await harness.completion(of: harness.deliver(password())).account == "u-77")
        var bound = password()
        bound.account = "u-78"
        #expect(try await harness.completion(of: harness.deliver(bound)).outcome == .refused)
    }

    @Test(arguments: ["hunter2 \"é\"", "correct horse"])
    func `hides the target's words if they repeat the password`(secret: String) async throws {
        let receiver = try HTTPReceiver()
        defer { receiver.stop() }
        let harness = try harness(receiver.url)
        defer { harness.stop() }
        receiver.next(
            .answer(422, body: #"{"rejected": "hunter2 \"\u00e9\"", "or": "correct horse"}"#),
            .answer(422, body: "too short"))
        let hidden = try await harness.completion(of: harness.deliver(password(secret)))
        #expect(hidden.detail == "HTTP 422; its text repeated the password and is not shown")
        #expect(try await harness.completion(of: harness.deliver(password(secret))).detail == "HTTP 422: too short")
        #expect(harness.logs.isEmpty)
    }

    @Test func `is told of its own answer only`() async throws {
        let receiver = try HTTPReceiver()
        defer { receiver.stop() }
        let harness = try harness(receiver.url)
        defer { harness.stop() }
        receiver.next(
            .answer(400, headers: ["Retry-After": "9"], body: "a long first answer"), .answer(400, body: "second"))
        for words in ["HTTP 400: a long first answer", "HTTP 400: second", "HTTP 204"] {
            #expect(try await harness.completion(of: harness.deliver(logout)).detail == words)
        }
    }

    @Test func `does not follow a redirect`() async throws {
        let elsewhere = try HTTPReceiver()
        defer { elsewhere.stop() }
        let receiver = try HTTPReceiver(.answer(307, headers: ["Location": "\(elsewhere.url)/login?next=x"]))
        defer { receiver.stop() }
        let harness = try harness(receiver.url)
        defer { harness.stop() }
        let completion = try await harness.completion(of: harness.deliver(password()))
        #expect(completion.outcome == .misconfigured)
        #expect(
            completion.detail == "HTTP 307, a redirect to 127.0.0.1:\(elsewhere.port), is not followed; see base_url")
        #expect(elsewhere.connectionCount == 0)
    }
}

@Suite struct `Authentication` {
    @Test func `is a bearer token from its file`() async throws {
        let receiver = try HTTPReceiver()
        defer { receiver.stop() }
        let harness = try harness(receiver.url, files: ["bearer_token": "abc.DEF-123\n"])
        defer { harness.stop() }
        _ = try await harness.completion(of: harness.deliver(logout))
        _ = try await harness.completion(of: harness.check())
        #expect(receiver.requests.map { $0.header("Authorization") } == ["Bearer abc.DEF-123", "Bearer abc.DEF-123"])
    }

    @Test(arguments: [
        ("Aladdin", "open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), ("u", "p", "dTpw"), ("u", "pw", "dTpwdw=="),
        ("ü", "p:ä😀", "w7w6cDrDpPCfmIA="),
    ])
    func `is a name and a password`(user: String, password: String, encoded: String) async throws {
        let receiver = try HTTPReceiver()
        defer { receiver.stop() }
        let harness = try harness(receiver.url, #", "basic_user": "\#(user)""#, files: ["basic_password": password])
        defer { harness.stop() }
        _ = try await harness.completion(of: harness.deliver(logout))
        #expect(receiver.requests.first?.header("Authorization") == "Basic \(encoded)")
    }

    @Test(arguments: [
        ("bearer_token", ""), ("bearer_token", "a b"), ("bearer_token", "a\r\nX-Evil: 1"),
        ("bearer_token", String(repeating: "x", count: 70_000)),
    ])
    func `that is unusable refuses the start and is not repeated`(key: String, value: String) throws {
        let error = #expect(throws: HarnessError.self) { try harness("https://hr.corp.example", files: [key: value]) }
        guard case .startRefused(let reason)? = error else {
            Issue.record("the start was not refused: \(String(describing: error))")
            return
        }
        #expect(reason.hasPrefix("\(key): "))
        #expect(value.isEmpty || !reason.contains(value))
    }
}

@Suite struct `Unusable settings and files` {
    @Test func `are told together`() {
        let error = #expect(throws: HarnessError.self) {
            try Harness(
                product: "WorkforceHTTP", settings: #"{"base_url": "https://127.0.0.1:9", "timeout_ms": 1}"#,
                files: ["ca_file": "", "client_certificate": "", "client_key": "key"]
            ).stop()
        }
        let words = error.map { "\($0)" } ?? ""
        #expect(words.contains("(1) timeout_ms: "), "\(words)")
        #expect(words.contains("(2) ca_file: "), "\(words)")
        #expect(words.contains("(3) client_certificate: "), "\(words)")
    }

    @Test func `are told together of the ways to show who we are`() {
        let error = #expect(throws: HarnessError.self) {
            try Harness(
                product: "WorkforceHTTP", settings: #"{"base_url": "https://127.0.0.1:9"}"#,
                files: ["bearer_token": "two words", "ca_file": ""]
            ).stop()
        }
        let words = error.map { "\($0)" } ?? ""
        #expect(words.contains("(1) bearer_token: ") && words.contains("(2) ca_file: "), "\(words)")
        #expect(!words.contains("two words"))
    }
}

@Suite struct `Cleartext` {
    @Test func `that is to carry a password beyond an address of this machine refuses the start`() throws {
        for settings in [
            #"{"base_url": "http://127.0.0.1:9"}"#, #"{"base_url": "http://localhost:9", "allow_cleartext": true}"#,
            #"{"base_url": "http://hr.corp.example:9", "allow_cleartext": true}"#,
        ] {
            let error = #expect(throws: HarnessError.self) {
                try Harness(product: "WorkforceHTTP", settings: settings).stop()
            }
            let words = error.map { "\($0)" } ?? ""
            #expect(words.contains("requests.password.updated: it carries a password, which is sent over https"))
        }
    }

    @Test func `carries other things where it is allowed`() async throws {
        let receiver = try HTTPReceiver()
        defer { receiver.stop() }
        let harness = try harness(
            "http://localhost:\(receiver.port)", #", "requests": {"password.updated": null}"#)
        defer { harness.stop() }
        #expect(try await harness.completion(of: harness.deliver(logout)).outcome == .delivered)
        #expect(try await harness.completion(of: harness.deliver(password())).outcome == .refused)
        #expect(throws: HarnessError.self) {
            try Harness(product: "WorkforceHTTP", settings: #"{"base_url": "http://localhost:\#(receiver.port)"}"#)
        }
    }
}

@Suite struct `A fault on the way` {
    @Test(arguments: [
        HTTPReceiver.Reply.close, .reset, .half(200, body: "a long enough answer"),
        .half(500, body: "a long enough answer"),
    ])
    func `after the request was sent leaves an account unknown`(fault: HTTPReceiver.Reply) async throws {
        let receiver = try HTTPReceiver(fault)
        defer { receiver.stop() }
        let harness = try harness(receiver.url)
        defer { harness.stop() }
        #expect(try await harness.completion(of: harness.deliver(password())).outcome == .unknown)
        #expect(try await harness.completion(of: harness.deliver(profile)).outcome == .unknown)
        #expect(try await harness.completion(of: harness.deliver(logout)).outcome == .retry)
        #expect(receiver.requests.count == 3)
    }

    @Test(arguments: [HTTPReceiver.Reply.close, .reset])
    func `on a connection that was used before makes no second request`(fault: HTTPReceiver.Reply) async throws {
        let receiver = try HTTPReceiver()
        defer { receiver.stop() }
        let harness = try harness(receiver.url, #", "max_connections": 1"#)
        defer { harness.stop() }
        receiver.next(.answer(204), fault)
        #expect(try await harness.completion(of: harness.deliver(password())).outcome == .delivered)
        #expect(try await harness.completion(of: harness.deliver(password())).outcome == .unknown)
        #expect(receiver.requests.map(\.connection) == [1, 1])
        #expect(try await harness.completion(of: harness.deliver(password())).outcome == .delivered)
        #expect(receiver.requests.count == 3)
        #expect(receiver.requests.last?.connection != 1)
    }

    @Test func `before anything was sent is tried again`() async throws {
        let nobody = try RefusingPort()
        defer { withExtendedLifetime(nobody) {} }
        let harness = try harness(nobody.url)
        defer { harness.stop() }
        let completion = try await harness.completion(of: harness.deliver(password()))
        #expect(completion.outcome == .retry)
        #expect(completion.detail.contains("127.0.0.1"))
        #expect(try await harness.completion(of: harness.check()).outcome == .retry)
    }

    @Test func `in looking up the name is tried again`() async throws {
        let harness = try harness("https://no-such-host.invalid")
        defer { harness.stop() }
        #expect(try await harness.completion(of: harness.deliver(password())).outcome == .retry)
    }

    @Test func `that is silence ends with the deadline`() async throws {
        let receiver = try HTTPReceiver(.held(.answer(204)))
        defer { receiver.stop() }
        let harness = try harness(receiver.url, #", "timeout_ms": 300000"#)
        defer { harness.stop() }
        receiver.next(.answer(204))
        _ = try await harness.completion(of: harness.deliver(password()))
        var request = password()
        request.deadline = 2_000
        #expect(try await harness.completion(of: harness.deliver(request)).outcome == .unknown)
        #expect(receiver.requests.map(\.connection) == [1, 1])
    }

    @Test func `that is a long queue ends with the deadline, too, and nothing was sent`() async throws {
        let receiver = try HTTPReceiver(.held(.answer(204)))
        defer { receiver.stop() }
        let harness = try harness(receiver.url, #", "max_connections": 1"#)
        defer { harness.stop() }
        let first = harness.deliver(password())
        try await receiver.holding(1)
        var request = password()
        request.deadline = 100
        let unsent = try await harness.completion(of: harness.deliver(request))
        #expect(unsent.outcome == .retry)
        #expect(unsent.detail == "no connection was free before the deadline")
        receiver.release()
        #expect(try await harness.completion(of: first).outcome == .delivered)
        #expect(receiver.requests.count == 1)
    }
}

@Suite struct `Many deliveries` {
    @Test func `are in flight at once over few connections`() async throws {
        let receiver = try HTTPReceiver()
        defer { receiver.stop() }
        let harness = try harness(receiver.url, #", "max_connections": 4"#, window: 200)
        defer { harness.stop() }
        receiver.always(.held(.answer(204)))
        let ids = (0..<200).map { harness.deliver(password("secret \($0)", key: "key-\($0)", externalID: "E-\($0)")) }
        try await receiver.holding(4)
        #expect(harness.open.count == 200)
        receiver.always(.answer(204))
        receiver.release()
        let ends = try await harness.completions(of: ids)
        #expect(ends.allSatisfy { $0.outcome == .delivered })
        #expect(receiver.connectionCount == 4)
        #expect(harness.metrics["connections_opened"] == 4)
        #expect(Set(receiver.requests.map { $0.header("Idempotency-Key") }).count == 200)
        for request in receiver.requests {
            let number = request.path.split(separator: "/")[1].dropFirst(2)
            #expect(request.header("Idempotency-Key") == "key-\(number)")
            #expect(request.text.contains("\"secret \(number)\""))
        }
    }

    @Test func `are all ended exactly once by a stop`() async throws {
        let receiver = try HTTPReceiver()
        defer { receiver.stop() }
        let harness = try harness(receiver.url, #", "max_connections": 4"#, window: 200)
        receiver.next(.answer(204), .answer(204), .answer(204))
        receiver.always(.held(.answer(204)))
        let ids = (0..<200).map { harness.deliver(password(key: "key-\($0)")) }
        try await receiver.holding(4)
        harness.stop()
        #expect(harness.open.isEmpty)
        #expect(harness.strayCompletions.isEmpty)
        let outcomes = try await harness.completions(of: ids).map(\.outcome)
        #expect(outcomes.filter { $0 == .delivered }.count == 3)
        #expect(outcomes.filter { $0 == .unknown }.count == 4)
        #expect(outcomes.filter { $0 == .retry }.count == 193)
    }

    @Test func `survive the cancelling of some`() async throws {
        let receiver = try HTTPReceiver(.held(.answer(204)))
        defer { receiver.stop() }
        let harness = try harness(receiver.url, #", "max_connections": 1"#)
        defer { harness.stop() }
        let sent = harness.deliver(password(key: "sent"))
        let waiting = harness.deliver(password(key: "waiting"))
        let last = harness.deliver(password(key: "last"))
        try await receiver.holding(1)
        harness.cancel(waiting)
        harness.cancel(sent)
        harness.cancel(99)
        let unsent = try await harness.completion(of: waiting)
        #expect(unsent.outcome == .retry)
        #expect(unsent.detail == "cancelled before anything was sent")
        let lost = try await harness.completion(of: sent)
        #expect(lost.outcome == .unknown)
        #expect(lost.detail == "cancelled before an answer came")
        try await receiver.holding(2)
        receiver.release()
        #expect(try await harness.completion(of: last).outcome == .delivered)
        #expect(receiver.requests.map { $0.header("Idempotency-Key") } == ["sent", "last"])
        harness.cancel(last)
        #expect(harness.strayCompletions.isEmpty)
    }
}

@Suite struct `A check` {
    @Test func `asks for the base URL or the path of the settings and changes nothing`() async throws {
        let receiver = try HTTPReceiver(.answer(404))
        defer { receiver.stop() }
        let headers = #", "headers": {"X-Tenant": "corp", "X-User": "{{username}}"}"#
        for more in [headers, headers + #", "check_path": "/health?deep=1""#] {
            let harness = try harness(receiver.url + "/api", more)
            defer { harness.stop() }
            #expect(try await harness.completion(of: harness.check()).outcome == .delivered)
        }
        #expect(
            receiver.requests.map { "\($0.method) \($0.path) \($0.text)" } == ["GET /api ", "GET /api/health?deep=1 "])
        #expect(receiver.requests.allSatisfy { $0.header("Idempotency-Key") == nil })
        #expect(receiver.requests.allSatisfy { $0.header("X-Tenant") == "corp" && $0.header("X-User") == nil })
    }
}

@Suite struct `The harness` {
    @Test func `passes on why a start was refused`() {
        #expect(throws: HarnessError.startRefused("base_url: needed, such as https://hr.corp.example/api")) {
            try Harness(product: "WorkforceHTTP")
        }
        #expect(throws: HarnessError.startRefused("settings: not JSON at byte 0: expected a value")) {
            try Harness(product: "WorkforceHTTP", settings: "")
        }
    }

    @Test func `gives up after the limit`() async throws {
        let harness = try harness("https://hr.corp.example")
        defer { harness.stop() }
        await #expect(throws: HarnessError.noCompletion(id: 9)) {
            try await harness.completion(of: 9, within: .milliseconds(20))
        }
        #expect(await harness.log(containing: "never said", within: .milliseconds(20)) == nil)
    }

    @Test func `says what is wrong with a library`() {
        #expect(throws: HarnessError.self) { try Harness(path: "/nonexistent.so") }
    }
}
