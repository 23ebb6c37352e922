import Foundation
import Settings
import Testing

/// The committed files follow from the code. To write them anew: `SETTINGS_WRITE=1 swift test --filter SettingsTests`.
@Suite struct `The shipped settings` {
    private static let root = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

    /// What stands in the shipped provider files besides the defaults.
    private static let examples: [(name: String, plugin: String, values: [String: String])] = [
        (
            "legacy-ldap", "LDAPPassword",
            [
                "enabled": "false", "user_types": "[employee]",
                "mapping": "{mail: email, givenName: firstName, sn: lastName}",
                "settings.url": "ldaps://ldap.corp.example", "settings.ca_file": "/etc/ssl/certs/ca-certificates.crt",
                "settings.bind_dn": "\"cn=runtime-sync,ou=services,dc=corp,dc=example\"",
                "settings.bind_password": "{file: ../secrets/legacy-ldap}",
                "settings.base": "\"ou=people,dc=corp,dc=example\"",
                "settings.account_filter": "\"(&(objectClass=inetOrgPerson)(employeeNumber={{externalId}}))\"",
            ]
        ),
        (
            "workforce", "WorkforceHTTP",
            [
                "enabled": "false", "user_types": "[employee]", "mapping": "{email: email}",
                "settings.base_url": "https://workforce.corp.example/api",
                "settings.bearer_token": "{file: ../secrets/workforce}",
            ]
        ),
    ]

    /// A bundled plugin's manifest, as its C source has it: plain JSON in the macro's parentheses.
    private static func manifest(_ plugin: String) throws -> PluginManifest {
        let source = try String(contentsOfFile: "\(root)/Plugins/\(plugin)/Manifest/manifest.c", encoding: .utf8)
        let start = try #require(source.range(of: "RTS_MANIFEST(")).upperBound
        let end = try #require(source.lastIndex(of: ")"))
        return try PluginManifest(parsing: Array(source[start..<end].utf8))
    }

    private static func document(_ name: String) throws -> String {
        guard let example = examples.first(where: { $0.name == name }) else { return SettingsReference.daemonDocument }
        return SettingsReference.providerDocument(
            name: name, manifest: try manifest(example.plugin), examples: example.values)
    }

    @Test(arguments: ["runtime-sync", "legacy-ldap", "workforce"])
    func `are what the code says`(name: String) throws {
        let path = "\(Self.root)/config/\(name == "runtime-sync" ? "" : "providers/")\(name).yaml"
        let document = try Self.document(name)
        if ProcessInfo.processInfo.environment["SETTINGS_WRITE"] == "1" {
            try document.write(toFile: path, atomically: false, encoding: .utf8)
        }
        #expect(try String(contentsOfFile: path, encoding: .utf8) == document)
        #expect(
            document.split(separator: "\n").allSatisfy { $0.hasPrefix("#") || $0.count <= 120 || !$0.contains("# ") })
    }

    @Test func `stand in the README's table`() throws {
        let path = "\(Self.root)/README.md"
        var text = try String(contentsOfFile: path, encoding: .utf8)
        let start = try #require(text.range(of: "SettingsTests writes it. -->\n")).upperBound
        let end = try #require(text.range(of: "<!-- end of the table -->")).lowerBound
        let table = "\n\(SettingsReference.markdownTable)\n"
        if ProcessInfo.processInfo.environment["SETTINGS_WRITE"] == "1" {
            text.replaceSubrange(start..<end, with: table)
            try text.write(toFile: path, atomically: false, encoding: .utf8)
        } else {
            #expect(text[start..<end] == table)
        }
    }

    /// The shipped files in a folder of their own, with the secrets that they name.
    private func installed() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        _ = try folder.write("runtime-sync.yaml", Self.document("runtime-sync"), mode: 0o644)
        for example in Self.examples {
            // The certificates of the machine may not be there.
            let text = try Self.document(example.name).replacing(
                "/etc/ssl/certs/ca-certificates.crt", with: "../ca.pem")
            _ = try folder.write("providers/\(example.name).yaml", text, mode: 0o644)
        }
        _ = try folder.write("ca.pem", "", mode: 0o644)
        for secret in ["keycloak", "legacy-ldap", "workforce"] {
            _ = try folder.write("secrets/\(secret)", "a secret that is long enough: \(secret)", mode: 0o600)
        }
        return folder
    }

    @Test func `give no issue, and the defaults`() throws {
        let folder = try installed()
        let loader = SettingsLoader(surroundings: .machine(environment: [:]))
        let loaded = loader.load(file: folder.path + "/runtime-sync.yaml")
        #expect(loaded.issues == [])
        #expect(loaded.daemon.journal == JournalSettings() && loaded.daemon.intake == IntakeSettings())
        #expect(loaded.providers.map(\.name) == ["legacy-ldap", "workforce"])
        var inFlight: [Int] = []
        for provider in loaded.providers {
            let (found, issues) = loader.resolve(provider, against: try Self.manifest(provider.plugin))
            #expect(issues == [])
            let resolved = try #require(found)
            #expect(resolved.egress.count == 1)
            inFlight.append(resolved.provider.inFlight)
        }
        #expect(inFlight == [64, 16])
    }

    @Test func `give no issue with every key switched on, and the same values`() throws {
        let folder = try installed()
        let loader = SettingsLoader(surroundings: .machine(environment: [:]))
        let before = loader.load(file: folder.path + "/runtime-sync.yaml")
        let text = try Self.document("runtime-sync").split(separator: "\n", omittingEmptySubsequences: false)
            .map { $0.replacing(/^( *)#(?=[a-z_]+:)/) { $0.output.1 } }.joined(separator: "\n")
        #expect(text.contains("\n  folder: /var/lib/runtime-sync\n"))
        _ = try folder.write("runtime-sync.yaml", text, mode: 0o644)
        let after = loader.load(file: folder.path + "/runtime-sync.yaml")
        #expect(after.issues == [])
        #expect(after.daemon == before.daemon)
    }

    @Test func `name a missing secret`() throws {
        let folder = try installed()
        try FileManager.default.removeItem(atPath: folder.path + "/secrets/keycloak")
        let issues = SettingsLoader(surroundings: .machine(environment: [:]))
            .load(file: folder.path + "/runtime-sync.yaml").issues
        #expect(issues.count == 1)
        #expect(issues.first?.problem.contains("/secrets/keycloak cannot be read: No such file or directory") == true)
    }

    @Test func `have a table with a row for every key, and a variable in it`() {
        let rows = SettingsReference.markdownTable.split(separator: "\n").filter { $0.hasPrefix("| `") }
        let keys = SettingsReference.daemonDocument.split(separator: "\n").filter {
            $0.contains(/^\ *(- )?#?[a-z_]+: ./)
        }
        let providerRows = rows.drop { !$0.hasPrefix("| `plugin` ") }
        #expect(rows.count - providerRows.count == keys.count && providerRows.count > 15)
        for row in rows where !row.hasPrefix("| `sources.name` ") {
            #expect(row.contains(/\| `RUNTIME_SYNC_[A-Z_]+` \|$/), "\(row)")
        }
        for seed in ["RUNTIME_SYNC_ENABLED", "RUNTIME_SYNC_DEFAULT_USER_TYPE"] {
            #expect(rows.contains { $0.contains("`\(seed)`") })
        }
    }
}
