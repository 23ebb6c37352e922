import EventModel
import Settings
import Testing

@Suite struct `The environment` {
    @Test func `wins over a top key, a nested key and a list`() throws {
        let fixture = Fixture(
            daemon: "enabled: true\njournal: {max_size: 1GiB}\nplugins: {folders: [/a]}\n",
            environment: [
                "RUNTIME_SYNC_ENABLED": "false", "RUNTIME_SYNC_JOURNAL_MAX_SIZE": "2GiB",
                "RUNTIME_SYNC_PLUGINS_FOLDERS": "/b, c", "RUNTIME_SYNC_INTAKE_TLS_CERTIFICATE": "",
            ])
        let loaded = fixture.load()
        #expect(loaded.issues == [])
        #expect(!loaded.daemon.isEnabled)
        #expect(loaded.daemon.journal.maxSize.bytes == 2 << 30)
        #expect(loaded.daemon.plugins.folders == ["/b", "/etc/rs/c"])
    }

    @Test func `is told by name, with what it wins over, and without what it holds`() throws {
        let manifest = try Fixture.manifest(
            #"{"properties": {"base_url": {"type": "string", "format": "uri"}}, "required": ["base_url"]}"#,
            name: "WorkforceHTTP")
        let fixture = Fixture(
            daemon: "enabled: true\n",
            provider: "plugin: WorkforceHTTP\nuser_types: [a]\nsettings: {base_url: \"https://old.example\"}\n",
            environment: [
                "RUNTIME_SYNC_ENABLED": "false", "RUNTIME_SYNC_SHUTDOWN_DRAIN": "1s",
                "RUNTIME_SYNC_EXTERNAL_API_URL": "https://canary.example",
                "RUNTIME_SYNC_PROVIDER_LDAP_SETTINGS_BASE_URL": "https://canary.example",
            ])
        let loaded = fixture.load()
        #expect(
            loaded.overrides.map(\.description) == [
                "RUNTIME_SYNC_ENABLED wins over enabled at daemon.yaml:1:10",
                "RUNTIME_SYNC_SHUTDOWN_DRAIN sets shutdown.drain, which daemon.yaml does not",
                "RUNTIME_SYNC_EXTERNAL_API_URL wins over settings.base_url at /etc/rs/providers/ldap.yaml:3:22",
            ])
        let resolved = fixture.loader.resolve(try #require(loaded.providers.first), against: manifest).provider
        #expect(resolved?.overrides.map(\.variable) == ["RUNTIME_SYNC_PROVIDER_LDAP_SETTINGS_BASE_URL"])
        #expect(resolved?.overrides.map(\.key) == ["settings.base_url"])
    }

    @Test func `wins over a value that the file has wrong`() {
        #expect(Fixture(daemon: "enabled: 7\n", environment: ["RUNTIME_SYNC_ENABLED": "true"]).lines == [])
    }

    @Test func `does not hide what is wrong around it`() {
        let lines = Fixture(daemon: "retry: 5m\n", environment: ["RUNTIME_SYNC_RETRY_MAX": "1m"]).lines
        #expect(lines.count == 1 && lines.first?.hasPrefix("daemon.yaml:1:8: error: retry is not a mapping") == true)
        let broken = Fixture(provider: "mode: [", environment: ["RUNTIME_SYNC_PROVIDER_LDAP_MODE": "observe"]).lines
        #expect(broken.count == 1 && broken.first?.contains("ldap.yaml:2:1: error: is not YAML") == true, "\(broken)")
    }

    @Test func `reaches keys of one source and of one provider`() throws {
        let loaded = Fixture(environment: [
            "RUNTIME_SYNC_SOURCE_KEYCLOAK_KINDS": "logout,login.failed",
            "RUNTIME_SYNC_SOURCE_KEYCLOAK_MAX_EVENT_AGE": "1h", "RUNTIME_SYNC_PROVIDER_LDAP_MODE": "observe",
            "RUNTIME_SYNC_PROVIDER_LDAP_LIMITS_MEMORY": "64MiB", "RUNTIME_SYNC_PROVIDER_LDAP_MAPPING": "{mail: email}",
            "RUNTIME_SYNC_PROVIDER_LDAP_EGRESS": "[\"h:1\", 'i:2']",
        ]).load()
        #expect(loaded.issues == [])
        #expect(loaded.daemon.sources.first?.kinds == .only([.logout, .loginFailed]))
        #expect(loaded.daemon.sources.first?.maxEventAge == .seconds(3_600))
        let provider = try #require(loaded.providers.first)
        #expect(provider.mode == .observe && provider.limits.memory.bytes == 64 << 20)
        #expect(provider.mapping == [AttributeMapping(target: "mail", source: .email)])
        #expect(provider.egress == [HostPort(host: "h", port: 1), HostPort(host: "i", port: 2)])
    }

    @Test func `may list all sources`() {
        let loaded = Fixture(
            source: "",
            environment: [
                "RUNTIME_SYNC_SOURCES":
                    "[{name: s, instance: i, realms: [r], kinds: [logout], secrets: [{env: RUNTIME_SYNC_S}]}]",
                "RUNTIME_SYNC_S": Fixture.secret,
            ]
        ).load()
        #expect(loaded.issues == [])
        #expect(loaded.daemon.sources.map(\.secrets) == [[.environment("RUNTIME_SYNC_S")]])
    }

    @Test(arguments: [
        (
            "RUNTIME_SYNC_ENABLED", "on",
            """
            environment variable RUNTIME_SYNC_ENABLED: error: enabled is neither true nor false: "on"; \
            accepts true or false
            """
        ),
        (
            "RUNTIME_SYNC_ENABLED", "",
            """
            environment variable RUNTIME_SYNC_ENABLED: error: enabled is neither true nor false: nothing; \
            accepts true or false
            """
        ),
        (
            "RUNTIME_SYNC_JOURNAL_MAX_EVENT", "canary",
            """
            environment variable RUNTIME_SYNC_JOURNAL_MAX_EVENT: error: is not a variable of any key
              hint: did you mean RUNTIME_SYNC_JOURNAL_MAX_EVENTS?
            """
        ),
        (
            "RUNTIME_SYNC_PROVIDER_LDAP_MODES", "canary",
            """
            environment variable RUNTIME_SYNC_PROVIDER_LDAP_MODES: error: is not a variable of any key
              hint: did you mean RUNTIME_SYNC_PROVIDER_LDAP_MODE?
            """
        ),
        (
            "RUNTIME_SYNC_EXTERNAL_API_URL", "https://hr.example",
            """
            environment variable RUNTIME_SYNC_EXTERNAL_API_URL: warning: has no meaning: no provider's \
            plugin is WorkforceHTTP
            """
        ),
    ])
    func `is told what is wrong with a variable`(name: String, value: String, line: String) {
        #expect(Fixture(environment: [name: value]).lines == [line])
    }

    @Test func `may hold other variables that the caller knows`() {
        let surroundings = Fixture(environment: ["RUNTIME_SYNC_SETTINGS": "x"]).loader
        #expect(surroundings.load(file: "daemon.yaml").issues.count == 1)
        let fixture = Fixture(environment: ["RUNTIME_SYNC_SETTINGS": "x"])
        #expect(fixture.loader(otherVariables: ["RUNTIME_SYNC_SETTINGS"]).load(file: "daemon.yaml").issues == [])
    }

    // MARK: The three names of the seed

    @Test func `sets the default user type by the seed's name`() {
        let loaded = Fixture(
            daemon: "targeting: {default_user_type: guest}\n",
            environment: ["RUNTIME_SYNC_DEFAULT_USER_TYPE": "employee"]
        ).load()
        #expect(loaded.issues == [] && loaded.daemon.targeting.defaultUserType == "employee")
    }

    @Test func `gives the HTTP provider its URL, over the file`() throws {
        let manifest = try Fixture.manifest(
            #"{"properties": {"base_url": {"type": "string", "format": "uri"}}, "required": ["base_url"]}"#,
            name: "WorkforceHTTP")
        for written in ["", "settings: {base_url: \"https://old.example\"}\n"] {
            let fixture = Fixture(
                provider: "plugin: WorkforceHTTP\nuser_types: [a]\n" + written,
                environment: ["RUNTIME_SYNC_EXTERNAL_API_URL": "https://hr.example:8443/api"])
            let loaded = fixture.load()
            #expect(loaded.issues == [])
            let provider = try #require(loaded.providers.first)
            let resolved = try #require(fixture.loader.resolve(provider, against: manifest).provider)
            #expect(resolved.settingsText == #"{"base_url":"https://hr.example:8443/api"}"#)
            #expect(resolved.egress == [HostPort(host: "hr.example", port: 8_443)])
        }
    }

    @Test func `does not guess which of two HTTP providers an URL is for`() {
        var fixture = Fixture(
            provider: "plugin: WorkforceHTTP\nuser_types: [a]\n",
            environment: ["RUNTIME_SYNC_EXTERNAL_API_URL": "https://hr.example"])
        fixture.files["/etc/rs/providers/other.yaml"] = .init(text: "plugin: WorkforceHTTP\nuser_types: [a]\n")
        #expect(
            fixture.lines == [
                """
                environment variable RUNTIME_SYNC_EXTERNAL_API_URL: error: could be meant for several \
                providers; accepts one provider whose plugin is WorkforceHTTP
                  hint: set RUNTIME_SYNC_PROVIDER_LDAP_SETTINGS_BASE_URL, \
                RUNTIME_SYNC_PROVIDER_OTHER_SETTINGS_BASE_URL
                """
            ])
    }
}
