import PluginHarness
import RuntimeSyncPlugin
import Testing
import Workbench
import WorkforceRequests

private func settings(_ json: String, files: Set<String> = []) throws -> WorkforceSettings {
    try WorkforceSettings(JSON(parsing: json), files: files)
}

@Suite struct `The settings` {
    @Test func `need nothing but the base URL`() throws {
        let settings = try settings(#"{"base_url": "https://hr.corp.example/api/"}"#)
        #expect(settings.baseURL.text == "https://hr.corp.example/api")
        #expect(settings.authentication == .none)
        #expect(settings.request(for: "password.updated")?.carriesSecret == true)
        #expect(settings.request(for: "something.new") == settings.request(for: "default"))
    }

    @Test func `replace a built-in request as a whole, and null withdraws it`() throws {
        let settings = try settings(
            """
            {"base_url": "https://hr.corp.example", "requests": {
                "password.updated": {"method": "POST", "path": "/pw", "announce_only": true}, "logout": null, "default": null}}
            """)
        #expect(settings.request(for: "password.updated")?.method == "POST")
        #expect(settings.request(for: "password.updated")?.carriesSecret == false)
        #expect(settings.request(for: "logout") == nil)
        #expect(settings.request(for: "something.new") == nil)
        #expect(settings.request(for: "user.deleted")?.method == "DELETE")
    }

    @Test(arguments: [
        ("{}", "base_url: needed"), ("[]", "settings: an object"), (#"{"base_url": 1}"#, "base_url: a text"),
        (#"{"base_url": "https://h", "colour": 1}"#, "colour: there is no such key"),
        (#"{"base_url": "https://h", "timeout_ms": 99}"#, "timeout_ms: a whole number from 100 to 300000"),
        (#"{"base_url": "https://h", "timeout_ms": "1"}"#, "timeout_ms: a whole number"),
        (#"{"base_url": "https://h", "max_connections": 65}"#, "max_connections: a whole number from 1 to 64"),
        (#"{"base_url": "https://h", "allow_cleartext": "yes"}"#, "allow_cleartext: true or false"),
        (
            #"{"base_url": "https://h", "success_statuses": [200, 500]}"#,
            "success_statuses: a list of statuses from 200"
        ),
        (#"{"base_url": "https://h", "absent_statuses": 404}"#, "absent_statuses: a list"),
        (#"{"base_url": "https://h", "headers": {"A": 1}}"#, "headers.A: a text"),
        (#"{"base_url": "https://h", "headers": []}"#, "headers: an object"),
        (#"{"base_url": "https://h", "account_field": ""}"#, "account_field: a path"),
        (#"{"base_url": "https://h", "check_path": "x"}"#, "check_path: it begins with a slash"),
        (#"{"base_url": "https://h", "check_path": "/{{kind}}"}"#, "check_path: it has no placeholder"),
        (#"{"base_url": "https://h", "basic_user": "u"}"#, "bearer_token, basic_user, basic_password"),
        (
            #"{"base_url": "https://h", "requests": {"event": {"method": "GET", "path": "/"}}}"#,
            "requests.event.method: accepted"
        ),
        (#"{"base_url": "https://h", "requests": {"event": {"method": "PUT"}}}"#, "requests.event.path: needed"),
        (
            #"{"base_url": "https://h", "requests": {"password.update": null}}"#,
            "requests.password.update: no kind is called so; accepted: default, password.updated, "
        ),
        (
            #"{"base_url": "https://h", "requests": {"event": {"method": "PUT", "path": "/", "bdy": 1}}}"#,
            "requests.event.bdy: there is"
        ),
        (
            #"{"base_url": "https://h", "requests": {"password.updated": {"method": "PUT", "path": "/"}}}"#,
            "requests.password.updated.body: needs {{secret}}"
        ),
        (
            #"{"base_url": "https://h", "requests": {"password.updated": {"method": "PUT", "path": "/", "body": "{{event}}"}}}"#,
            "requests.password.updated.body: needs {{secret}}"
        ),
        (
            #"""
            {"base_url": "https://h", "requests": {"password.updated":
                {"method": "PUT", "path": "/", "body": "{{secret}}", "announce_only": true}}}
            """#, "requests.password.updated.announce_only: true is accepted only for a body without"
        ),
        (
            #"{"base_url": "https://h", "requests": {"logout": {"method": "PUT", "path": "/", "announce_only": true}}}"#,
            "requests.logout.announce_only: true is accepted for password.updated only"
        ),
    ])
    func `are refused with the key and what it accepts`(json: String, reason: String) throws {
        let error = try #require(throws: StartError.self) { try settings(json) }
        #expect(error.reason.hasPrefix(reason))
    }

    @Test func `are refused with everything that is wrong with them`() throws {
        let error = try #require(throws: StartError.self) {
            try settings(
                """
                {"base_url": "ftp://h", "allow_cleartext": 1, "headers": {"A": 1, "Host": "x"}, "requests": {
                    "a": {"method": "GET", "path": "x", "body": "{{secre}}", "bdy": 1},
                    "logout": {"method": "PUT", "path": "/", "announce_only": true},
                    "password.updated": {"method": "PUT", "path": "/"}},
                 "basic_user": "u", "timeout_ms": 1, "absent_statuses": 1, "account_field": "", "check_path": "x", "b": 1}
                """, files: ["client_key"])
        }
        #expect(
            error.reasons.map { String($0.prefix { $0 != ":" }) } == [
                "base_url", "allow_cleartext", "headers.A", "headers.Host", "requests.a",
                "requests.a.method", "requests.a.path",
                "requests.a.body", "requests.a.bdy", "requests.logout.announce_only", "requests.password.updated.body",
                "bearer_token, basic_user, basic_password", "client_certificate, client_key", "timeout_ms",
                "account_field", "absent_statuses", "check_path", "b",
            ])
    }

    @Test func `take a token, or a name and a password, or nothing`() throws {
        let plain = #"{"base_url": "https://h"}"#
        let named = #"{"base_url": "https://h", "basic_user": "u"}"#
        #expect(try settings(plain, files: ["bearer_token"]).authentication == .bearer)
        #expect(try settings(named, files: ["basic_password"]).authentication == .basic(user: "u"))
        #expect(throws: StartError.self) { try settings(plain, files: ["basic_password"]) }
        #expect(throws: StartError.self) { try settings(named, files: ["basic_password", "bearer_token"]) }
        #expect(throws: StartError.self) {
            try settings(#"{"base_url": "https://h", "basic_user": "a:b"}"#, files: ["basic_password"])
        }
        #expect(throws: StartError.self) { try settings(plain, files: ["client_key"]) }
    }
}

@Suite struct `The base URL` {
    @Test(arguments: [
        ("https://hr.corp.example", "https://hr.corp.example", "hr.corp.example"),
        ("HTTPS://HR.corp.example:8443/api//", "https://HR.corp.example:8443/api", "hr.corp.example"),
        ("https://[2001:db8::1]:8443/", "https://[2001:db8::1]:8443", "[2001:db8::1]"),
    ])
    func `is taken apart`(written: String, text: String, host: String) throws {
        let url = try BaseURL(written, at: "base_url")
        #expect(url.text == text)
        #expect(url.host == host)
        #expect(url.isEncrypted)
    }

    @Test(arguments: [
        "", "hr.corp.example", "ftp://h", "https://", "https:///x", "https://u:p@h", "https://h?x=1", "https://h#f",
        "https://h:0",
        "https://h:65536", "https://h:x", "https://h:", "https://[::1", "https://[]", "https://h/../x",
        "https://h/{{kind}}",
        "https://h /x", "https://bücher.example", "https://h\\@evil", "https://h/\r\nX: 1", "https://[::1]x",
    ])
    func `is refused`(written: String) throws {
        let error = try #require(throws: StartError.self) { try BaseURL(written, at: "base_url") }
        #expect(error.reason.hasPrefix("base_url: "))
    }

    @Test(arguments: [
        ("http://127.0.0.1", true), ("http://127.255.0.9:80/x", true), ("http://[::1]:80", true),
        ("http://localhost", false),
        ("http://127.1", false), ("http://127.0.0.1.evil.example", false), ("http://127.0.0.256", false),
        ("http://10.0.0.1", false),
        ("http://[::ffff:127.0.0.1]", false), ("http://127.0.0.+1", false),
    ])
    func `is loopback only if it is written as such an address`(written: String, isLoopback: Bool) throws {
        #expect(try BaseURL(written, at: "base_url").isLoopbackLiteral == isLoopback)
    }

    @Test(arguments: [
        ("https://hr.corp.example", false, true, true), ("https://hr.corp.example", true, true, true),
        ("http://127.0.0.1", false, true, false), ("http://127.0.0.1", true, true, true),
        ("http://localhost", false, false, false), ("http://localhost", true, true, false),
        ("http://hr.corp.example", true, true, false),
    ])
    func `decides what goes in cleartext`(url: String, allowed: Bool, starts: Bool, carriesSecrets: Bool) throws {
        func settings(_ requests: String) throws -> WorkforceSettings {
            try WorkforceHTTPTests.settings(
                #"{"base_url": "\#(url)", "allow_cleartext": \#(allowed), "requests": {\#(requests)}}"#)
        }
        #expect(((try? settings("")) != nil) == (starts && carriesSecrets))
        for silent in [
            #""password.updated": null"#,
            #""password.updated": {"method": "POST", "path": "/told", "announce_only": true}"#,
        ] {
            #expect(((try? settings(silent)) != nil) == starts)
            let creating = #", "user.created": {"method": "PUT", "path": "/", "body": "{{secret}}"}"#
            #expect(((try? settings(silent + creating)) != nil) == (starts && carriesSecrets))
        }
    }
}

@Suite struct `The manifest` {
    private let manifest: JSON

    init() throws {
        manifest = try JSON(parsing: Products.manifest(at: Products.library("WorkforceHTTP")))
    }

    @Test func `has the same built-in requests as the code`() throws {
        let kinds = try #require(
            manifest[path: "settings.properties.requests.properties".split(separator: ".").map(String.init)]?.object)
        #expect(JSON.object(kinds.compactMapValues { $0["default"] }) == (try JSON(parsing: RequestTemplate.defaults)))
    }

    @Test func `has the same defaults as the code`() throws {
        let properties = try #require(manifest[path: ["settings", "properties"]]?.object)
        func standard(_ key: String) -> JSON? { properties[key]?["default"] }
        let settings = try settings(#"{"base_url": "https://h"}"#)
        #expect(standard("timeout_ms")?.int == settings.timeout)
        #expect(standard("connect_timeout_ms")?.int == settings.connectTimeout)
        #expect(standard("max_connections")?.int == settings.maxConnections)
        #expect(standard("allow_cleartext")?.bool == settings.allowsCleartext)
        #expect(standard("check_path")?.string == settings.checkPath)
        #expect(Set(standard("absent_statuses")?.array?.compactMap(\.int) ?? []) == settings.rules.absentStatuses)
    }

    @Test func `names exactly the keys that the code reads, each with a description`() throws {
        let properties = try #require(manifest[path: ["settings", "properties"]]?.object)
        #expect(properties.values.allSatisfy { $0["description"]?.string?.isEmpty == false })
        let files = ["bearer_token", "basic_password", "ca_file", "client_certificate", "client_key"]
        #expect(Set(properties.filter { ["file", "secret"].contains($0.value["format"]?.string) }.keys) == Set(files))
        var written: [String: JSON] = ["base_url": .string("https://h")]
        for (key, property) in properties where !files.contains(key) && key != "base_url" && key != "basic_user" {
            written[key] =
                property["default"] ?? ["array": .array([.number("200")]), "object": .object([:])][
                    property["type"]?.string ?? ""] ?? .string("/x")
        }
        #expect(written.count == properties.count - files.count - 1)
        _ = try WorkforceSettings(.object(written), files: [])
    }
}
