import EventModel
import Settings
import Testing

@Suite struct `A provider's file` {
    private static let good = Fixture.provider

    private static let mistakes: [(text: String, line: String)] = [
        (
            "plugin: LDAPPassword\n",
            """
            1:1: error: user_types is missing; accepts a list of user types such as [employee], or ["*"] for all
              hint: Users of these types are served.
            """
        ),
        (
            "plugin: ../evil\nuser_types: [a]\n",
            """
            1:9: error: plugin is not a plugin's name: "../evil"; accepts a plugin's name, such as LDAPPassword: \
            letters, digits and _, beginning with a letter
            """
        ),
        (
            "plugin: P\nuser_types: []\n",
            """
            2:13: error: user_types is empty, which would allow nothing: a list of 0; accepts a list of user \
            types such as [employee], or ["*"] for all
            """
        ),
        (
            "plugin: P\nuser_types: [\"*\", x]\n",
            """
            2:13: error: user_types has "*" beside others: a list of 2; accepts a list of user types such as \
            [employee], or ["*"] for all
            """
        ),
        (
            good + "kinds: [password.update]\n",
            """
            3:9: error: kinds[0] is not a kind of event: "password.update"; accepts password.updated, \
            profile.updated, user.created, user.renamed, user.disabled, user.deleted, login.succeeded, \
            login.failed, logout, event
              hint: did you mean `password.updated`?
            """
        ),
        (
            good + "mapping: {mail: emial}\n",
            """
            3:17: error: mapping.mail is not a source of values: "emial"; accepts email, username, firstName, \
            lastName or attributes.NAME
              hint: did you mean `email`?
            """
        ),
        (
            good + "mapping: {title: jobTitle}\n",
            """
            3:18: error: mapping.title is not a source of values: "jobTitle"; accepts email, username, \
            firstName, lastName or attributes.NAME
              hint: an attribute of the user is written `attributes.jobTitle`
            """
        ),
        (
            good + "mapping:\n  mail: {from: email, sync_mode: owner}\n",
            """
            4:34: error: mapping.mail.sync_mode comes with a later version: "owner"; accepts legacy or force for \
            now
            """
        ),
        (
            good + "mapping:\n  mail: {from: email, sync_mode: forse}\n",
            """
            4:34: error: mapping.mail.sync_mode is none of these words: "forse"; accepts legacy, import, owner, \
            force, inherit
              hint: did you mean `force`?
            """
        ),
        (
            good + "mapping:\n  mail: {sync_mode: force}\n",
            """
            4:9: error: mapping.mail.from is missing; accepts email, username, firstName, lastName or \
            attributes.NAME
              hint: Where the value comes from.
            """
        ),
        (
            good + "egress: [ldap.corp.example]\n",
            """
            3:10: error: egress[0] is not a host and a port: "ldap.corp.example"; accepts HOST:PORT such as \
            ldap.corp.example:636 or [2001:db8::7]:389
            """
        ),
        (
            good + "limits: {memory: 1MiB}\n",
            """
            3:18: error: limits.memory is out of range: "1MiB"; accepts a size, 8MiB to 64GiB
            """
        ),
        (
            good + "retry: {max: 100ms}\n",
            """
            3:14: error: retry.max is shorter than retry.initial: 100ms; accepts 500ms and more
            """
        ),
        (
            good + "settings: [a]\n",
            "3:11: error: settings is not a mapping: a list of 1; accepts the keys of the plugin"
        ),
    ]

    @Test(arguments: mistakes)
    func `says what is wrong with it and where`(text: String, line: String) {
        #expect(Fixture(provider: text).lines == ["/etc/rs/providers/ldap.yaml:" + line])
    }

    @Test func `fills every property`() throws {
        let loaded = Fixture(
            provider: """
                plugin: WorkforceHTTP
                enabled: false
                mode: observe
                user_types: ["*"]
                kinds: [password.updated, login.failed]
                notify: all
                external_id: optional
                mapping:
                  mail: email
                  dept: {from: attributes.department, sync_mode: force}
                retry: {initial: 1s}
                deadline: 5s
                in_flight: 4
                limits: {memory: 64MiB, descriptors: 32, log_lines_per_second: 5}
                egress: ["10.0.0.7:389", "[2001:DB8::7]:636"]
                """
        ).load()
        #expect(loaded.issues == [])
        let provider = try #require(loaded.providers.first)
        #expect(provider.name == "ldap")
        #expect(provider.libraryName == "libWorkforceHTTP.so")
        #expect(!provider.isEnabled && provider.mode == .observe && provider.userTypes == .all)
        #expect(provider.kinds == .only([.passwordUpdated, .loginFailed]))
        #expect(provider.notify == .all && provider.externalID == .optional)
        #expect(
            provider.mapping == [
                AttributeMapping(target: "mail", source: .email),
                AttributeMapping(target: "dept", source: .attribute("department"), syncMode: .force),
            ])
        #expect(provider.retry.policy == RetryPolicy(initial: 1_000, maximum: 300_000))
        #expect(provider.deadline == .seconds(5) && provider.inFlight == 4)
        #expect(provider.limits.memory.bytes == 64 << 20 && provider.limits.descriptors == 32)
        #expect(provider.egress.map(\.description) == ["10.0.0.7:389", "[2001:db8::7]:636"])
    }

    @Test func `takes the daemon's retry where it is silent`() throws {
        let fixture = Fixture(daemon: "retry: {initial: 2s, max: 9s}\n", provider: Self.good + "retry: {max: 8s}\n")
        let provider = try #require(fixture.load().providers.first)
        #expect(provider.retry.initial == .seconds(2) && provider.retry.max == .seconds(8))
    }

    @Test(arguments: ["Ldap.yaml", "7.yaml", "l_d.yaml", ".yaml"])
    func `needs a name that can be a provider's`(name: String) {
        var fixture = Fixture()
        fixture.files["/etc/rs/providers/\(name)"] = .init(text: Self.good)
        let found = fixture.lines.filter { $0.contains("has a name that no provider can have") }
        // Hidden files are not looked at.
        #expect(found.count == (name == ".yaml" ? 0 : 1))
    }

    @Test func `that ends in yml is not passed over in silence`() {
        var fixture = Fixture()
        fixture.files["/etc/rs/providers/hr.yml"] = .init(text: "")
        #expect(
            fixture.lines == [
                """
                daemon.yaml:1:1: warning: providers.folder holds hr.yml, which is not read
                  hint: provider files end in .yaml
                """
            ])
    }

    @Test func `that cannot be read leaves a provider for whom everything may be meant`() throws {
        var fixture = Fixture()
        fixture.files["/etc/rs/providers/other.yaml"] = .init(text: String(repeating: "#", count: 1 << 20 | 1))
        let loaded = fixture.load()
        #expect(loaded.isUsable)
        #expect(
            loaded.issues.map(\.description) == [
                """
                /etc/rs/providers/other.yaml: warning: cannot be read: it has more than 1048576 bytes
                  hint: until the next start that can read it, everything waits that may be meant for other
                """
            ])
        let provider = try #require(loaded.providers.last)
        #expect(provider.name == "other" && provider.unreadable == "it has more than 1048576 bytes")
        #expect(loaded.providers.first?.unreadable == nil)
        let rule = ResolvedProvider(withoutPlugin: provider).targetingRule(in: loaded.daemon)
        #expect(rule.kinds == Set(EventKind.allCases) && rule.userTypes == .all)
        #expect(rule.notify == .all && !rule.needsExternalID)
    }

    @Test func `that cannot be read can be switched off all the same`() throws {
        var fixture = Fixture()
        fixture.files["/etc/rs/providers/other.yaml"] = .init(text: String(repeating: "#", count: 1 << 20 | 1))
        for isEnabled in [true, false] {
            fixture.environment["RUNTIME_SYNC_PROVIDER_OTHER_ENABLED"] = "\(isEnabled)"
            let loaded = fixture.load()
            #expect(loaded.isUsable)
            #expect(loaded.providers.last?.name == "other" && loaded.providers.last?.isEnabled == isEnabled)
        }
        fixture.environment["RUNTIME_SYNC_PROVIDER_OTHER_ENABLED"] = "perhaps"
        #expect(!fixture.load().isUsable)
    }
}
