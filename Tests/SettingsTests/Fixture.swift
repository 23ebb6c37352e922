import Settings
import Testing

/// Files and environment variables that exist in a test only.
struct Fixture {
    struct File {
        var text: String
        var mode: UInt32 = 0o600
    }

    static let secret = "canary-secret-long-enough-for-a-source"
    static let source = """
        sources:
          - {name: keycloak, instance: prod, realms: [corp], kinds: ["*"], secrets: [{file: secrets/keycloak}]}

        """
    static let provider = "plugin: LDAPPassword\nuser_types: [employee]\n"

    var files: [String: File]
    var environment: [String: String] = [:]

    /// A daemon's file with one source and one provider, to which `daemon` and `provider` are added.
    init(
        daemon: String = "", source: String = source, provider: String = provider, environment: [String: String] = [:]
    ) {
        files = [
            "/etc/rs/daemon.yaml": File(text: daemon + source),
            "/etc/rs/secrets/keycloak": File(text: Self.secret + "\n"),
            "/etc/rs/providers/ldap.yaml": File(text: provider),
        ]
        self.environment = environment
    }

    var loader: SettingsLoader { loader() }

    func loader(otherVariables: Set<String> = []) -> SettingsLoader {
        let files = files
        let surroundings = Surroundings(
            environment: environment, workingFolder: "/etc/rs",
            status: { path in
                files[path].map { .success(.init(isRegularFile: true, mode: $0.mode)) }
                    ?? .failure(.init("No such file or directory"))
            },
            names: { folder in
                let names = files.keys.compactMap { path -> String? in
                    guard path.hasPrefix(folder + "/") else { return nil }
                    let rest = path.dropFirst(folder.count + 1)
                    return rest.contains("/") ? nil : String(rest)
                }
                return names.isEmpty ? .failure(.init("No such file or directory")) : .success(names)
            },
            read: { path, limit, use in
                // A relative path starts from the working folder.
                let path = path.hasPrefix("/") ? path : "/etc/rs/" + path
                guard let file = files[path] else { return .failure(.init("No such file or directory")) }
                guard file.text.utf8.count <= limit else { return .failure(.init("it has more than \(limit) bytes")) }
                Array(file.text.utf8).withUnsafeBytes(use)
                return .success(())
            })
        return SettingsLoader(surroundings: surroundings, otherVariables: otherVariables)
    }

    func load() -> LoadedSettings {
        loader.load(file: "daemon.yaml")
    }

    /// The issues as an operator reads them.
    var lines: [String] { load().issues.map(\.description) }
}

extension Fixture {
    /// A plugin that can do everything and takes these settings.
    static func manifest(
        _ schema: String, name: String = "LDAPPassword", capabilities: String = #""credential", "profile""#
    ) throws -> PluginManifest {
        let json = """
            {"name": "\(name)", "version": "1.0.0", "abi": "1.0", "capabilities": [\(capabilities)], "settings": \(schema)}
            """
        return try PluginManifest(parsing: Array(json.utf8))
    }

    /// Loads, and checks the one provider against a manifest with this schema.
    func resolve(_ schema: String) throws -> (provider: ResolvedProvider?, lines: [String]) {
        let loaded = load()
        try #require(loaded.issues == [])
        let provider = try #require(loaded.providers.first)
        let (resolved, issues) = loader.resolve(provider, against: try Self.manifest(schema))
        return (resolved, issues.map(\.description))
    }
}

extension ResolvedProvider {
    var settingsText: String { String(decoding: settingsJSON, as: UTF8.self) }
}
