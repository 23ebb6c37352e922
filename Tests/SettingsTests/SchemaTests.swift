import EventModel
import Settings
import Testing

@Suite struct `A plugin's manifest` {
    @Test func `says who the plugin is and what it can do`() throws {
        let manifest = try Fixture.manifest(
            "{}", capabilities: #""credential", "notification", "check", "verify_password""#)
        #expect(manifest.name == "LDAPPassword" && manifest.version == "1.0.0" && manifest.abi == "1.0")
        #expect(manifest.capabilities == [.credential, .notification, .check, .verifyPassword])
        #expect(
            EventKind.allCases.filter { manifest.delivers($0.deliveryClass) }.map(\.name) == [
                "password.updated", "login.succeeded", "login.failed", "logout", "event",
            ])
    }

    @Test func `may bring a default for in_flight, which counts unless the settings say otherwise`() throws {
        func inFlight(_ written: String, _ environment: [String: String] = [:], brings: String) throws -> Int? {
            let fixture = Fixture(provider: Fixture.provider + written, environment: environment)
            let provider = try #require(fixture.load().providers.first)
            let manifest = try PluginManifest(
                parsing: Array(
                    """
                    {"name": "LDAPPassword", "version": "1", "abi": "1.0", "capabilities": ["credential"]\(brings)}
                    """.utf8))
            return fixture.loader.resolve(provider, against: manifest).provider?.provider.inFlight
        }
        let brings = ", \"in_flight\": 16"
        #expect(try inFlight("", brings: "") == 64)
        #expect(try inFlight("", brings: brings) == 16)
        #expect(try inFlight("in_flight: 64\n", brings: brings) == 64)
        #expect(try inFlight("", ["RUNTIME_SYNC_PROVIDER_LDAP_IN_FLIGHT": "5"], brings: brings) == 5)
        for wrong in ["0", "4097", "1.5", "\"16\"", "null"] {
            let error = #expect(throws: ManifestError.self) {
                try inFlight("", brings: ", \"in_flight\": \(wrong)")
            }
            #expect(error?.problems == ["`in_flight` must be a whole number, 1 to 4096"])
        }
    }

    @Test func `that is wrong is told completely`() {
        let error = #expect(throws: ManifestError.self) {
            try PluginManifest(
                parsing: Array(#"{"name": "a/b", "version": "", "abi": "2.0", "capabilities": ["checks"]}"#.utf8))
        }
        #expect(
            error?.problems == [
                "`name` must be letters, digits and _, beginning with a letter",
                "`version` must be a text that is not empty", "`abi` must be 1.MINOR, which is what this daemon speaks",
                "`capabilities` may hold credential, profile, lifecycle, notification, check, verify_password, "
                    + "read_record, temporary_password; did you mean `check`?",
            ])
        let notJSON = #expect(throws: ManifestError.self) { try PluginManifest(parsing: Array("{name}".utf8)) }
        #expect(notJSON?.description.hasPrefix("the plugin's manifest is not usable: is not JSON: ") == true)
    }

    private static let unusable: [(schema: String, problem: String)] = [
        (#"{"multipleOf": 2}"#, "`settings.multipleOf` is not supported"),
        (#"{"propertys": {}}"#, "`settings.propertys` is not supported; did you mean `properties`?"),
        (#"{"properties": {"a": {"type": "text"}}}"#, "`settings.properties.a.type` is not what that keyword takes"),
        (#"{"properties": {"a": 7}}"#, "`settings.properties.a` must be a JSON object"),
        (#"{"required": ["a"]}"#, "`settings` speaks of `a`, which is none of its properties"),
        (#"{"properties": {"a": {"pattern": "("}}}"#, "`settings.properties.a.pattern` is not what that keyword takes"),
        (
            #"{"properties": {"a": {"format": "email"}}}"#,
            "`settings.properties.a.format` is not what that keyword takes"
        ),
        (
            #"{"properties": {"a": {"type": "integer", "format": "uri"}}}"#,
            "`settings.properties.a.format` goes with the type string"
        ),
        (
            #"{"properties": {"a": {"format": "secret", "default": "x"}}}"#,
            "`settings.properties.a.default`: a secret has no default"
        ),
        (
            #"{"properties": {"a": {"items": {"format": "secret"}}}}"#,
            "`settings.properties.a.items.format`: a file or secret inside a list would have no name"
        ),
        (
            #"{"properties": {"a": {"type": "integer", "default": "x"}}}"#,
            "`settings.properties.a.default` is not what the schema itself accepts"
        ),
        (#"{"oneOf": [{"properties": {}}]}"#, "`settings.oneOf` is not what that keyword takes"),
        (#"{"not": {"type": "string"}}"#, "`settings.not` is not what that keyword takes"),
        (
            ##"{"properties": {"a": {"$ref": "#/$defs/x"}}}"##,
            "`settings.properties.a.$ref` must be `#/$defs/NAME`, and not lead back to itself"
        ),
        (
            ##"{"$defs": {"x": {"items": {"$ref": "#/$defs/x"}}}, "properties": {"a": {"$ref": "#/$defs/x"}}}"##,
            "`settings.properties.a.items.$ref` must be `#/$defs/NAME`, and not lead back to itself"
        ),
        (
            #"{"properties": {"a": {"minLength": -1}}}"#,
            "`settings.properties.a.minLength` is not what that keyword takes"
        ),
    ]

    @Test(arguments: unusable)
    func `with a rule that is not understood is not used`(schema: String, problem: String) {
        let error = #expect(throws: ManifestError.self) { try Fixture.manifest(schema) }
        #expect(error?.problems == [problem])
    }
}

@Suite struct `A plugin's settings` {
    private static let schema = ##"""
        {
          "type": "object", "required": ["url"],
          "oneOf": [{"required": ["dn"]}, {"required": ["filter"]}],
          "not": {"required": ["token", "user"]}, "dependentRequired": {"user": ["port"]},
          "$defs": {"request": {"type": ["object", "null"], "required": ["path"],
            "properties": {"path": {"type": "string", "pattern": "^/"}, "body": {"default": null}}}},
          "properties": {
            "url": {"type": "string", "format": "uri", "pattern": "^ldaps?://"},
            "dn": {"type": "string", "minLength": 2, "maxLength": 5}, "filter": {"type": "string"},
            "token": {"type": "string", "format": "secret"}, "user": {"type": "string"},
            "ca": {"type": "string", "format": "file"},
            "port": {"type": "integer", "minimum": 1, "maximum": 9}, "ratio": {"type": "number", "default": 0.5},
            "method": {"enum": ["auto", "modify"], "default": "auto"}, "tls": {"type": "boolean", "default": true},
            "hosts": {"type": "array", "items": {"type": "string", "format": "uri"}, "maxItems": 2, "uniqueItems": true},
            "codes": {"type": "array", "items": {"type": "integer"}, "minItems": 1},
            "either": {"type": ["integer", "string"]}, "exact": {"const": 1},
            "headers": {"type": "object", "additionalProperties": {"type": "string"}},
            "request": {"$ref": "#/$defs/request", "default": {"path": "/x"}},
            "deep": {"type": "object", "properties": {"key": {"type": "string", "format": "secret"}}},
            "free": {}
          }
        }
        """##

    private func resolve(_ settings: String, environment: [String: String] = [:]) throws -> (
        provider: ResolvedProvider?, lines: [String]
    ) {
        var fixture = Fixture(provider: Fixture.provider + "settings: \(settings)\n", environment: environment)
        fixture.files["/etc/rs/providers/pw"] = .init(text: Fixture.secret)
        fixture.files["/etc/rs/providers/../ca.pem"] = .init(text: "", mode: 0o644)
        return try fixture.resolve(Self.schema)
    }

    private static let accepted: [(settings: String, json: String)] = [
        (#"{url: "ldap://h", dn: "no"}"#, #"{"url":"ldap://h","dn":"no","#),
        (#"{url: "ldap://h", dn: 123}"#, #"{"url":"ldap://h","dn":"123","#),
        (
            #"{url: "ldap://h", filter: yes, port: 9, ratio: 1e3, method: modify, tls: false, request: null}"#,
            #"{"url":"ldap://h","filter":"yes","port":9,"ratio":1e3,"method":"modify","tls":false,"request":null}"#
        ),
        (#"{url: "ldap://h", dn: ab, either: 7}"#, #"{"url":"ldap://h","dn":"ab","either":7,"#),
        (#"{url: "ldap://h", dn: ab, either: "7"}"#, #"{"url":"ldap://h","dn":"ab","either":"7","#),
        (#"{url: "ldap://h", dn: ab, exact: 1.0}"#, #"{"url":"ldap://h","dn":"ab","exact":1.0,"#),
        (#"{url: "ldap://h", dn: ab, headers: {X-A: 1}}"#, #"{"url":"ldap://h","dn":"ab","headers":{"X-A":"1"},"#),
        (
            #"{url: "ldap://h", dn: ab, request: {path: /y, body: {a: ["{{b}}", true, ~]}}}"#,
            #"{"url":"ldap://h","dn":"ab","request":{"path":"/y","body":{"a":["{{b}}",true,null]}},"#
        ),
        (
            #"{url: "ldap://h", dn: ab, free: {a: [1, "2", x]}}"#,
            #"{"url":"ldap://h","dn":"ab","free":{"a":[1,"2","x"]},"#
        ),
    ]

    @Test(arguments: accepted)
    func `become JSON with the types of the schema and its defaults`(settings: String, json: String) throws {
        let resolved = try resolve(settings)
        #expect(resolved.lines == [])
        let text = try #require(resolved.provider).settingsText
        #expect(text.hasPrefix(json), "\(text)")
        #expect(text.contains(#""ratio":"#) && text.contains(#""request":"#))
    }

    @Test func `send files and secrets another way, and name the hosts`() throws {
        let resolved = try resolve(
            #"{url: "ldaps://A.example", dn: ab, token: {file: pw}, ca: ../ca.pem, hosts: ["ldap://b:1", "ldap://c"], deep: {key: {env: K}}}"#,
            environment: ["K": "x"])
        #expect(resolved.lines == [])
        let provider = try #require(resolved.provider)
        #expect(
            provider.files == [
                ProviderFile(key: "token", source: .secret(.file("/etc/rs/providers/pw"))),
                ProviderFile(key: "ca", source: .path("/etc/rs/providers/../ca.pem")),
                ProviderFile(key: "deep.key", source: .secret(.environment("K"))),
            ])
        #expect(provider.egress.map(\.description) == ["a.example:636", "b:1", "c:389"])
        #expect(!provider.settingsText.contains("token") && !provider.settingsText.contains("ca.pem"))
        #expect(provider.settingsText.contains(#""deep":{}"#))
    }

    private static let refused: [(settings: String, line: String)] = [
        (
            #"{dn: ab}"#,
            "3:11: error: settings.url is missing; accepts a URL such as ldaps://host or https://host:8443/path, without user and password"
        ),
        (#"{url: "ldap://h"}"#, "3:11: error: settings lacks one of several keys; accepts exactly one of dn, filter"),
        (
            #"{url: "ldap://h", dn: ab, filter: x}"#,
            "3:11: error: settings has keys that exclude each other; accepts exactly one of dn, filter"
        ),
        (
            #"{url: "ldap://h", dn: ab, token: {file: pw}, user: u, port: 1}"#,
            "3:11: error: settings has keys that exclude each other; accepts not all of token, user"
        ),
        (
            #"{url: "ldap://h", dn: ab, user: u}"#,
            "3:11: error: settings.port is missing: it goes with user; accepts a whole number, 1 to 9"
        ),
        (
            #"{url: "http://h", dn: ab}"#,
            "3:17: error: settings.url is not what the plugin takes: \"http://h\"; accepts a URL such as ldaps://host or https://host:8443/path, without user and password"
        ),
        (
            #"{url: "ldap://h:0", dn: ab}"#,
            "3:17: error: settings.url has a port that is none: \"ldap://h:0\"; accepts a URL such as ldaps://host or https://host:8443/path, without user and password"
        ),
        (
            #"{url: "ldap://h", dn: abcdef}"#,
            "3:33: error: settings.dn is not what the plugin takes: \"abcdef\"; accepts a text of 2 to 5 characters"
        ),
        (
            #"{url: "ldap://h", dn: ab, port: 10}"#,
            "3:43: error: settings.port is not what the plugin takes: \"10\"; accepts a whole number, 1 to 9"
        ),
        (
            #"{url: "ldap://h", dn: ab, port: 0}"#,
            "3:43: error: settings.port is not what the plugin takes: \"0\"; accepts a whole number, 1 to 9"
        ),
        (
            #"{url: "ldap://h", dn: ab, port: "9"}"#,
            "3:43: error: settings.port is not what the plugin takes: \"9\"; accepts a whole number, 1 to 9"
        ),
        (
            #"{url: "ldap://h", dn: ab, port: 1.5}"#,
            "3:43: error: settings.port is not what the plugin takes: \"1.5\"; accepts a whole number, 1 to 9"
        ),
        (
            #"{url: "ldap://h", dn: ab, port: }"#,
            "3:43: error: settings.port is not what the plugin takes: nothing; accepts a whole number, 1 to 9"
        ),
        (
            #"{url: "ldap://h", dn: ab, tls: yes}"#,
            "3:42: error: settings.tls is not what the plugin takes: \"yes\"; accepts true or false"
        ),
        (
            #"{url: "ldap://h", dn: ab, method: modfy}"#,
            "3:45: error: settings.method is none of the values that the plugin takes: \"modfy\"; accepts auto, modify\n  hint: did you mean `modify`?"
        ),
        (
            #"{url: "ldap://h", dn: ab, exact: 2}"#,
            "3:44: error: settings.exact is none of the values that the plugin takes: \"2\"; accepts 1"
        ),
        (
            #"{url: "ldap://h", dn: ab, hosts: ["ldap://a", "ldap://a"]}"#,
            "3:57: error: settings.hosts[1] stands twice in the list: \"ldap://a\""
        ),
        (
            #"{url: "ldap://h", dn: ab, codes: []}"#,
            "3:44: error: settings.codes is not what the plugin takes: a list of 0; accepts a list of at least 1 elements, each a whole number"
        ),
        (
            #"{url: "ldap://h", dn: ab, codes: [x]}"#,
            "3:45: error: settings.codes[0] is not what the plugin takes: \"x\"; accepts a whole number"
        ),
        (
            #"{url: "ldap://h", dn: ab, codes: 7}"#,
            "3:44: error: settings.codes is not what the plugin takes: \"7\"; accepts a list of at least 1 elements, each a whole number"
        ),
        (
            #"{url: "ldap://h", dn: ab, prot: 7}"#,
            "3:37: error: settings.prot is not a key that the plugin knows; accepts url, dn, filter, token, user, ca, port, ratio, method, tls, hosts, codes, either, exact, headers, request, deep, free\n  hint: did you mean `port`?"
        ),
        (
            #"{url: "ldap://h", dn: ab, request: {path: y}}"#,
            "3:53: error: settings.request.path is not what the plugin takes: \"y\"; accepts a text that matches ^/"
        ),
        (
            #"{url: "ldap://h", dn: ab, request: {}}"#,
            "3:46: error: settings.request.path is missing; accepts a text that matches ^/"
        ),
        (
            #"{url: "ldap://h", dn: ab, ca: none.pem}"#,
            "3:41: error: settings.ca cannot be used: No such file or directory: \"none.pem\"; accepts the path of a file, absolute or relative to this file"
        ),
        (
            #"{url: "ldap://h", dn: ab, token: {env: NOPE}}"#,
            "3:44: error: settings.token cannot be used: environment variable NOPE is not set; accepts a secret"
        ),
    ]

    @Test(arguments: refused)
    func `are refused with place, key, what they held and what is accepted`(settings: String, line: String) throws {
        let resolved = try resolve(settings)
        #expect(resolved.provider == nil)
        #expect(resolved.lines == ["/etc/rs/providers/ldap.yaml:" + line])
    }

    @Test func `of a provider that is off may name files that are not there yet`() throws {
        let settings = "settings: {url: \"ldap://h\", dn: ab, token: {file: later}, ca: later.pem}\n"
        let off = try Fixture(provider: Fixture.provider + settings + "enabled: false\n").resolve(Self.schema)
        #expect(off.lines == [] && off.provider?.files.count == 2)
        #expect(try Fixture(provider: Fixture.provider + settings).resolve(Self.schema).lines.count == 2)
    }

    @Test func `are told completely`() throws {
        let resolved = try resolve(#"{url: 7, port: x, tls: y, nope: 1}"#)
        #expect(resolved.lines.count == 5, "\(resolved.lines)")
    }

    @Test func `are reached by variables, nested ones too`() throws {
        let prefix = "RUNTIME_SYNC_PROVIDER_LDAP_SETTINGS_"
        let resolved = try resolve(
            #"{url: "ldap://h", dn: ab}"#,
            environment: [
                prefix + "URL": "ldaps://other", prefix + "DN": "55", prefix + "PORT": "3", prefix + "CODES": "1, 2",
                prefix + "DEEP_KEY": "{env: K}", "K": "x", prefix + "REQUEST": "{path: /z}",
            ])
        #expect(resolved.lines == [])
        let provider = try #require(resolved.provider)
        #expect(provider.settingsText.contains(#""url":"ldaps://other","dn":"55","port":3"#))
        #expect(provider.settingsText.contains(#""codes":[1,2]"#) && provider.settingsText.contains(#""path":"/z""#))
        #expect(provider.files.map(\.key) == ["deep.key"])
        let unknown = try resolve(#"{url: "ldap://h", dn: ab}"#, environment: [prefix + "PROT": "3"])
        #expect(
            unknown.lines == [
                "environment variable \(prefix)PROT: error: is not a variable of any key\n  hint: did you mean \(prefix)PORT?"
            ])
    }
}

@Suite struct `A resolved provider` {
    @Test func `gets the kinds that it wants and the plugin can deliver`() throws {
        let all = try Fixture(provider: Fixture.provider).resolve("{}").provider
        #expect(all?.kinds == [.passwordUpdated, .profileUpdated])
        let one = try Fixture(provider: Fixture.provider + "kinds: [profile.updated]\n").resolve("{}").provider
        #expect(one?.kinds == [.profileUpdated])
        let resolved = try Fixture(provider: Fixture.provider + "kinds: [logout, user.deleted]\n").resolve("{}")
        #expect(resolved.provider == nil)
        #expect(
            resolved.lines == [
                "/etc/rs/providers/ldap.yaml:3:8: error: kinds names what the plugin cannot deliver: logout, user.deleted; "
                    + "accepts password.updated, profile.updated"
            ])
    }

    @Test func `has no mapping that the plugin ignores`() throws {
        let fixture = Fixture(provider: "plugin: LDAPPassword\nuser_types: [a]\nmapping: {mail: email}\n")
        let provider = try #require(fixture.load().providers.first)
        let manifest = try Fixture.manifest("{}", capabilities: #""credential""#)
        #expect(
            fixture.loader.resolve(provider, against: manifest).issues.map(\.description) == [
                "/etc/rs/providers/ldap.yaml:3:10: error: mapping has no meaning: the plugin takes no profiles; accepts none"
            ])
    }

    @Test func `gets every kind that it wants while its plugin cannot be read`() throws {
        let all = try #require(Fixture(provider: Fixture.provider).load().providers.first)
        #expect(ResolvedProvider(withoutPlugin: all).kinds == Set(EventKind.allCases))
        let some = Fixture(provider: Fixture.provider + "kinds: [profile.updated]\n").load()
        let resolved = ResolvedProvider(withoutPlugin: try #require(some.providers.first))
        #expect(resolved.kinds == [.profileUpdated])
        #expect(resolved.targetingRule(in: some.daemon).userTypes == .some(["employee"]))
    }

    @Test func `decides by its settings who is served`() throws {
        let fixture = Fixture(
            daemon: "targeting: {default_user_type: guest}\n", provider: Fixture.provider + "external_id: optional\n")
        let rule = try #require(try fixture.resolve("{}").provider).targetingRule(in: fixture.load().daemon)
        #expect(
            rule
                == TargetingRule(
                    kinds: [.passwordUpdated, .profileUpdated], userTypes: .some(["employee"]), needsExternalID: false,
                    defaultUserType: "guest"))
    }
}
