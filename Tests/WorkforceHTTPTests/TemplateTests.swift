import RuntimeSyncPlugin
import Testing
import WorkforceRequests

private let values = RequestValues(
    kind: "profile.updated", attempt: 3, idempotencyKey: "key-7", isTemporary: true, externalID: "E-1042",
    account: "acc/9",
    event: .object([
        "subject": .object([
            "username": .string("u\"1042"), "email": .null,
            "attributes": .object(["department": .array([.string("HR"), .string("R & D")]), "grade": .number("7.0")]),
        ])
    ]),
    attributes: .object(["mail": .array([.string("a@b.example")])]))

private func template(
    method: String = "PUT", path: String = "/users", headers: [String: String] = [:], body: JSON = .null
) throws -> RequestTemplate {
    try RequestTemplate(
        .object([
            "method": .string(method), "path": .string(path), "headers": .object(headers.mapValues { .string($0) }),
            "body": body,
        ]),
        at: "requests.test")
}

/// The body as text, for a secret that is text.
private func body(_ json: String, secret: String = "", values: RequestValues = values) throws -> String {
    try Array(secret.utf8).withUnsafeBytes { secret in
        let filled = try template(body: JSON(parsing: json)).filled(with: values, secret: secret)
        return filled.body?.withUnsafeBytes { String(decoding: $0, as: UTF8.self) } ?? "none"
    }
}

private var noSecret: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }

@Suite struct `A path template` {
    private func path(_ written: String, _ values: RequestValues = values) throws -> String {
        try template(path: written).filled(with: values, secret: noSecret).path
    }

    @Test(arguments: [
        ("/users/{{externalId}}/password", "/users/E-1042/password"),
        (
            "/u/{{username}}?dep={{event.subject.attributes.department.1}}&n={{attempt}}",
            "/u/u%221042?dep=R%20%26%20D&n=3"
        ),
        ("/a/{{account}}", "/a/acc%2F9"), ("/x{{event.subject.email?}}/y", "/x/y"), ("", ""),
        (
            "/k/{{kind}}/{{idempotencyKey}}/{{temporary}}/{{attributes.mail.0}}",
            "/k/profile.updated/key-7/true/a%40b.example"
        ),
    ])
    func `is filled in, percent-encoded`(written: String, path: String) throws {
        #expect(try self.path(written) == path)
    }

    @Test(arguments: [
        ("a/b", "a%2Fb"), ("a?b#c", "a%3Fb%23c"), ("a%2Fb", "a%252Fb"), ("..x/y..", "..x%2Fy.."), (".../x", "...%2Fx"),
        ("a.b", "a.b"), ("%2", "%252"),
        ("é😀", "%C3%A9%F0%9F%98%80"),
        ("a b+c", "a%20b%2Bc"), ("-._~", "-._~"), ("@:!$&'()*,;=", "%40%3A%21%24%26%27%28%29%2A%2C%3B%3D"),
    ])
    func `keeps a hostile value inside its segment`(value: String, encoded: String) throws {
        #expect(
            try path("/users/{{externalId}}/password", RequestValues(kind: "", idempotencyKey: "k", externalID: value))
                == "/users/\(encoded)/password")
    }

    @Test(arguments: [".", "..", "a\r\nb", "a\0b", ""])
    func `refuses a value that no encoding makes harmless`(value: String) {
        #expect(throws: Unrenderable.self) {
            try path("/users/{{externalId}}/password", RequestValues(kind: "", idempotencyKey: "k", externalID: value))
        }
    }

    @Test(arguments: [
        "../admins/root", "x/../y", "x/..", "./x", "..\\admins", "x\\..", "%2e%2E/x", "..%2Fadmins", "..%5cadmins",
        "..%252Fadmins", "%25252e./x", "%%32e%%32e/x", "..;a=b/x", "..?x", "..#x", "x/.",
    ])
    func `refuses a value that is a way to another path for one server or another`(value: String) throws {
        let error = try #require(throws: Unrenderable.self) {
            try path("/users/{{externalId}}/password", RequestValues(kind: "", idempotencyKey: "k", externalID: value))
        }
        #expect(error.reason.hasPrefix("the path /users/{{externalId}}/password would get . or .. as a segment"))
    }

    @Test func `takes dots in a query, which nobody resolves`() throws {
        let values = RequestValues(kind: "", idempotencyKey: "k", externalID: "../x")
        #expect(try path("/users?id={{externalId}}", values) == "/users?id=..%2Fx")
    }

    @Test func `refuses dots that come together only when it is filled in`() {
        #expect(throws: Unrenderable.self) {
            try path("/users/.{{externalId}}", RequestValues(kind: "", idempotencyKey: "k", externalID: "."))
        }
        #expect(throws: Unrenderable.self) {
            try path("/users/%2e{{externalId}}/x", RequestValues(kind: "", idempotencyKey: "k", externalID: "."))
        }
    }

    @Test func `names the placeholder that has no value`() {
        let wrong = #expect(throws: Unrenderable.self) { try path("/{{event.subject.email}}") }
        #expect(wrong?.reason == "there is no value for {{event.subject.email}}")
        #expect(throws: Unrenderable.self) { try path("/{{externalId}}", RequestValues(kind: "", idempotencyKey: "k")) }
        #expect(throws: Unrenderable.self) { try path("/{{event.subject.attributes.department}}") }
    }

    @Test func `falls back to the external id where no account is bound`() throws {
        #expect(try path("/{{account}}", RequestValues(kind: "", idempotencyKey: "k", externalID: "E-1")) == "/E-1")
    }

    @Test(arguments: [
        ("users", "a slash"), ("/{{externalID}}", "{{externalID}}"), ("/{{event..x}}", "{{event..x}}"),
        ("/{{externalId", "}}"),
        ("/{{kind.x}}", "{{kind.x}}"), ("/{{}}", "{{}}"), ("/{{secret}}", "{{secret}}"), ("/a b", "RFC 3986"),
        ("/a#b", "fragment"), ("/é", "RFC 3986"), ("/a/../b", ".."), ("/%2E%2e", ".."),
    ])
    func `is refused at the start, with the place`(written: String, hint: String) throws {
        let error = try #require(throws: StartError.self) { try template(path: written) }
        #expect(error.reason.hasPrefix("requests.test.path: "))
        #expect(error.reason.contains(hint))
    }
}

@Suite struct `A header template` {
    private func headers(_ headers: [String: String], _ values: RequestValues = values) throws -> [HeaderLine] {
        try template(headers: headers).filled(with: values, secret: noSecret).headers
    }

    @Test func `is filled in and comes with the idempotency key`() throws {
        #expect(
            try headers(["X-User": "{{username}} #{{attempt}}", "X-Mail": "{{event.subject.email?}}"]) == [
                HeaderLine(name: "X-User", value: "u\"1042 #3"), HeaderLine(name: "Idempotency-Key", value: "key-7"),
            ])
    }

    @Test func `stands in the place of a common one of the same name`() throws {
        let common = try [
            HeaderTemplate(name: "x-a", value: "common", at: "headers"),
            HeaderTemplate(name: "content-type", value: "application/scim+json", at: "headers"),
        ]
        let json = try JSON(parsing: #"{"method": "PUT", "path": "", "headers": {"X-A": "own"}, "body": {}}"#)
        let filled = try RequestTemplate(json, at: "requests.test", common: common).filled(
            with: values, secret: noSecret)
        #expect(filled.headers.map(\.value) == ["application/scim+json", "own", "key-7"])
    }

    @Test func `may look into the event from a common header`() throws {
        let common = try [HeaderTemplate(name: "X-User", value: "{{username}}", at: "headers")]
        let json = try JSON(parsing: #"{"method": "PUT", "path": ""}"#)
        #expect(try RequestTemplate(json, at: "requests.test", common: common).needsEvent)
    }

    @Test(arguments: ["a\r\nX-Evil: 1", "a\nb", "a\0b", "a\u{7F}"])
    func `refuses a value that would start a header of its own`(value: String) {
        #expect(throws: Unrenderable.self) {
            try headers(["X-User": "{{externalId}}"], RequestValues(kind: "", idempotencyKey: "k", externalID: value))
        }
    }

    @Test(arguments: [
        ("X-Secret", "{{secret}}"), ("X A", "1"), ("", "1"), ("Authorization", "Bearer x"), ("hOST", "x"),
        ("Idempotency-Key", "x"), ("X-A", "a\nb"), ("X-A", "{{nothing}}"),
    ])
    func `is refused at the start, with the place`(name: String, value: String) throws {
        let error = try #require(throws: StartError.self) { try template(headers: [name: value]) }
        #expect(error.reason.hasPrefix("requests.test.headers.\(name): "))
    }
}

@Suite struct `A body template` {
    @Test func `keeps the type of a value that is the whole string`() throws {
        #expect(
            try body(
                #"{"n": "{{attempt}}", "t": "{{temporary}}", "a": "{{attributes}}", "g": "{{event.subject.attributes.grade}}"}"#
            )
                == #"{"a":{"mail":["a@b.example"]},"g":7.0,"n":3,"t":true}"#)
    }

    @Test func `escapes a value inside a longer string`() throws {
        #expect(
            try body(#"["user {{username}} of \"{{event.subject.attributes.department.0}}\"", 1.50, true, null]"#)
                == #"["user u\"1042 of \"HR\"",1.50,true,null]"#)
    }

    @Test func `writes null or nothing for an optional value that is absent`() throws {
        #expect(
            try body(#"["{{event.subject.email?}}", "<{{event.subject.email?}}>", "{{secret?}}"]"#)
                == #"[null,"<>",null]"#)
    }

    @Test(arguments: [
        "{{event.subject.email}}", "<{{event.nothing}}>", "{{secret}}", "<{{secret}}>", "<{{attributes}}>",
    ])
    func `refuses a missing value`(text: String) {
        #expect(throws: Unrenderable.self) { try body(#"{"x": "\#(text)"}"#) }
    }

    @Test(arguments: [
        "correct horse", #"quote " backslash \ slash /"#, "line\nfeed\ttab\u{1}\u{7F}", "pässwörd 😀 e\u{301}",
        "{{secret}}", "\0",
        "\\u0041", "</script>",
    ])
    func `carries any password unharmed`(password: String) throws {
        for json in [#"{"password": "{{secret}}"}"#, #"{"password": "x{{secret}}y"}"#] {
            let sent = try JSON(parsing: try body(json, secret: password))["password"]?.string
            #expect(sent == password || sent == "x\(password)y")
            #expect(
                (sent?.unicodeScalars.count).map { $0 - password.unicodeScalars.count }
                    == (json.contains("x{{") ? 2 : 0))
        }
    }

    @Test func `is refused at the start, with the place`() throws {
        let value = try #require(throws: StartError.self) { try body(#"{"a": [{"b": "{{nothing}}"}]}"#) }
        #expect(value.reason.hasPrefix("requests.test.body.a.0.b: there is no placeholder {{nothing}}"))
        let key = try #require(throws: StartError.self) { try body(#"{"a": {"{{kind}}": 1}}"#) }
        #expect(key.reason.hasPrefix("requests.test.body.a: "))
    }
}
