public import EventModel

/// A provider whose settings its plugin's manifest accepts: everything that its worker is started with.
public struct ResolvedProvider: Hashable, Sendable {
    public var provider: ProviderSettings
    public var manifest: PluginManifest
    /// The kinds that are routed to it: those of its settings that the plugin can deliver.
    public var kinds: Set<EventKind>
    /// The plugin's settings as a JSON object, defaults filled in, files and secrets left out.
    public var settingsJSON: [UInt8]
    /// What reaches the plugin as descriptors, in the order of the settings.
    public var files: [ProviderFile]
    /// Whom the plugin may connect to: the hosts of its URLs, then those of `egress`; none twice.
    public var egress: [HostPort]
    /// What environment variables set of the plugin's own keys.
    public var overrides: [SettingsOverride] = []

    /// What decides whether an event goes to it.
    public func targetingRule(in daemon: DaemonSettings) -> TargetingRule {
        let userTypes: TargetingRule.UserTypes =
            switch provider.userTypes {
            case .all: .all
            case .only(let types): .some(types)
            }
        let fallback = daemon.targeting.defaultUserType
        return TargetingRule(
            syncIsOn: daemon.isEnabled, providerIsOn: provider.isEnabled, kinds: kinds, userTypes: userTypes,
            notify: provider.notify == .all ? .all : .eligible, needsExternalID: provider.externalID == .required,
            defaultUserType: fallback.isEmpty ? nil : fallback,
            takesTemporaryPasswords: manifest.capabilities.contains(.temporaryPassword))
    }
}

extension ResolvedProvider {
    /// A provider whose plugin cannot be used now. What its plugin can do is not known, so everything that the settings
    /// allow is for it; when the plugin is back, it is decided again. No worker can be started with this.
    public init(withoutPlugin provider: ProviderSettings) {
        let kinds: Set<EventKind> =
            switch provider.kinds {
            case .all: Set(EventKind.allCases)
            case .only(let kinds): kinds
            }
        self.init(
            provider: provider, manifest: PluginManifest(unreadable: provider.plugin), kinds: kinds, settingsJSON: [],
            files: [], egress: [])
    }
}

/// A file or secret of a provider's settings.
public struct ProviderFile: Hashable, Sendable {
    /// Where its bytes come from.
    public enum Source: Hashable, Sendable {
        /// A file that may be read by anybody, such as a certificate; absolute.
        case path(String)
        case secret(SecretSource)
    }

    /// The key in the plugin's settings, such as `bind_password`; those above it before it, with dots.
    public var key: String
    public var source: Source

    public init(key: String, source: Source) {
        self.key = key
        self.source = source
    }
}

extension SettingsLoader {
    /// Checks a provider against the manifest of its plugin. Of one that is not enabled, the files and secrets may be
    /// missing.
    ///
    /// - Returns: the provider ready to start, or `nil` if there is an error; and the issues, warnings included.
    public func resolve(
        _ provider: ProviderSettings, against manifest: PluginManifest
    ) -> (provider: ResolvedProvider?, issues: [SettingsIssue]) {
        let slash = provider.file.lastIndex(of: "/") ?? provider.file.startIndex
        var reader = SettingsReader(folder: String(provider.file[..<slash]), file: provider.file)
        var issues: [SettingsIssue] = []

        var variables = SettingsVariables(surroundings.environment)
        var tree = provider.settings
        let prefix = SettingsVariables.prefix("PROVIDER", provider.name) + "SETTINGS_"
        variables.overlay(manifest.settings.keys, prefix: prefix, onto: &tree, &issues, shown: "settings.")
        issues += variables.unknown { !$0.hasPrefix(prefix) || otherVariables.contains($0) }

        var check = SchemaCheck(surroundings: provider.isEnabled ? surroundings : nil)
        let json = reader.descend("settings") { check.value(tree, manifest.settings, &$0) }
        let kinds = kinds(of: provider, manifest, &issues)
        if !provider.mapping.isEmpty, !manifest.delivers(.profile) {
            issues.append(
                SettingsIssue(
                    at: provider.place(of: "mapping"), key: "mapping", "has no meaning: the plugin takes no profiles",
                    accepts: "none"))
        }
        issues = (issues + reader.issues).inOrder
        guard let json, !issues.contains(where: { $0.severity == .error }) else { return (nil, issues) }
        let resolved = ResolvedProvider(
            provider: provider.withDefaults(of: manifest), manifest: manifest, kinds: kinds, settingsJSON: json.bytes,
            files: check.files,
            egress: check.hosts + provider.egress.filter { !check.hosts.contains($0) },
            overrides: variables.overrides)
        return (resolved, issues)
    }

    private func kinds(
        of provider: ProviderSettings, _ manifest: PluginManifest,
        _ issues: inout [SettingsIssue]
    ) -> Set<EventKind> {
        let possible = Set(EventKind.allCases.filter { manifest.delivers($0.deliveryClass) })
        guard case .only(let wanted) = provider.kinds else { return possible }
        let impossible = wanted.subtracting(possible).map(\.name).sorted()
        if !impossible.isEmpty {
            issues.append(
                SettingsIssue(
                    at: provider.place(of: "kinds"), key: "kinds", "names what the plugin cannot deliver",
                    held: impossible.joined(separator: ", "),
                    accepts: possible.map(\.name).sorted().joined(separator: ", ")))
        }
        return wanted.intersection(possible)
    }
}

extension ProviderSettings {
    /// Where a key of the file stands; the whole file for one that is not written.
    fileprivate func place(of key: String) -> SettingsPlace {
        places[key] ?? .file(file, line: 0, column: 0)
    }
}
