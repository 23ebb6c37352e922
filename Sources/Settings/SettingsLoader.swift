/// Reads the settings: the daemon's file, the providers' files beside it, and the environment, which wins over both.
/// It never stops at the first mistake; everything that is wrong comes back at once, each with its place.
public struct SettingsLoader: Sendable {
    /// A settings file has at most so many bytes.
    static let maximumBytes = 1 << 20

    let surroundings: Surroundings
    let otherVariables: Set<String>

    /// - Parameters:
    ///   - surroundings: files and environment; default: this machine and this process.
    ///   - otherVariables: names that begin with `RUNTIME_SYNC_` and are none of the settings, such as one that a
    ///     command-line tool takes the settings file's path from. None by default.
    public init(surroundings: Surroundings = .machine, otherVariables: Set<String> = []) {
        self.surroundings = surroundings
        self.otherVariables = otherVariables
    }

    /// Reads the daemon's settings from `file` and those of its providers. A relative path starts from the working
    /// folder. What the files name is checked (is a secret readable, and by its owner only?); nothing is changed.
    ///
    /// A file that is not YAML hides what is in it. If it is the daemon's, nothing else is read.
    public func load(file: String) -> LoadedSettings {
        var variables = SettingsVariables(surroundings.environment)
        variables.accept(otherVariables)
        var issues: [SettingsIssue] = []
        var daemon = DaemonSettings()
        guard var root = tree(file, &issues) else {
            return LoadedSettings(daemon: daemon, providers: [], issues: issues)
        }
        variables.overlay(DaemonSettings.fields.map { $0.describe(daemon) }, onto: &root, &issues)
        overlaySources(&variables, &root, &issues)
        var reader = SettingsReader(folder: folder(of: file), file: file)
        Field.read(DaemonSettings.fields, from: root, &reader, into: &daemon)
        daemon.providers.folder = reader.absolute(daemon.providers.folder)
        DaemonRules(daemon: daemon, surroundings: surroundings).check(&reader)
        variables.accept(daemon.sources.flatMap(\.secrets).compactMap(\.variable))

        var providers = providers(of: daemon, &variables, &reader)
        applyExternalURL(to: &providers, &variables, &issues)
        issues += reader.issues
        let deferred = providers.map { SettingsVariables.prefix("PROVIDER", $0.name) + "SETTINGS_" }
        issues += variables.unknown { name in deferred.contains { name.hasPrefix($0) } }
        return LoadedSettings(
            daemon: daemon, providers: providers, issues: issues.inOrder, overrides: variables.overrides)
    }

    private func tree(_ file: String, _ issues: inout [SettingsIssue]) -> SettingsNode? {
        switch text(of: file) {
        case .success(let text): return tree(of: text, from: file, &issues)
        case .failure(let failure):
            let whole = SettingsPlace.file(file, line: 0, column: 0)
            issues.append(SettingsIssue(at: whole, key: "", "cannot be read: \(failure.reason)"))
            return nil
        }
    }

    /// A file's text; `nil` if it is not UTF-8.
    private func text(of file: String) -> Result<String?, Surroundings.Failure> {
        var text: String?
        return surroundings.read(file, Self.maximumBytes) { text = String(validating: $0, as: UTF8.self) }.map {
            _ in text
        }
    }

    private func tree(of text: String?, from file: String, _ issues: inout [SettingsIssue]) -> SettingsNode? {
        let whole = SettingsPlace.file(file, line: 0, column: 0)
        guard let text else {
            issues.append(SettingsIssue(at: whole, key: "", "is not UTF-8", accepts: "a YAML text in UTF-8"))
            return nil
        }
        return YAMLText(text: text, origin: whole).read(&issues)
    }

    /// The variables of one source are named after it, so they are known only now.
    private func overlaySources(
        _ variables: inout SettingsVariables, _ root: inout SettingsNode, _ issues: inout [SettingsIssue]
    ) {
        guard let sources = root["sources"], var elements = sources.elements else { return }
        let keys = SourceSettings.fields.map { $0.describe(SourceSettings()) }
        for index in elements.indices {
            guard let name = elements[index]["name"]?.text else { continue }
            variables.overlay(
                keys, prefix: SettingsVariables.prefix("SOURCE", name), onto: &elements[index], &issues,
                shown: "sources[\(index)].")
        }
        root.set(["sources"], to: SettingsNode(content: .list(elements), place: sources.place))
    }

    private func providers(
        of daemon: DaemonSettings, _ variables: inout SettingsVariables, _ reader: inout SettingsReader
    ) -> [ProviderSettings] {
        let names: [String]
        switch surroundings.names(daemon.providers.folder) {
        case .success(let found): names = found.filter { !$0.hasPrefix(".") }.sorted()
        case .failure(let failure):
            reader.refuse(
                key: "providers.folder", "cannot be read: \(failure.reason)", held: "\"\(daemon.providers.folder)\"",
                accepts: "a folder with one NAME.yaml for each provider")
            return []
        }
        for name in names where name.hasSuffix(".yml") {
            reader.warn(
                key: "providers.folder", "holds \(name), which is not read", hint: "provider files end in .yaml")
        }
        let files = names.filter { $0.hasSuffix(".yaml") }
        if files.isEmpty {
            reader.warn(key: "providers.folder", "holds no NAME.yaml: nothing is delivered anywhere")
        }
        return files.map { file in
            provider("\(daemon.providers.folder)/\(file)", String(file.dropLast(5)), daemon, &variables, &reader)
        }
    }

    private func provider(
        _ file: String, _ name: String, _ daemon: DaemonSettings, _ variables: inout SettingsVariables,
        _ daemonReader: inout SettingsReader
    ) -> ProviderSettings {
        var settings = ProviderSettings(name: name, file: file, retry: daemon.retry)
        var reader = SettingsReader(folder: folder(of: file), file: file)
        var issues: [SettingsIssue] = []
        defer { (issues + reader.issues).forEach { daemonReader.note($0) } }
        guard Syntax.isName(name) else {
            issues.append(
                SettingsIssue(
                    at: .file(file, line: 0, column: 0), key: "", "has a name that no provider can have",
                    held: "\"\(name)\"", accepts: Syntax.name.accepts + ", before .yaml"))
            return settings
        }
        let written: SettingsNode?
        switch text(of: file) {
        case .success(let text): written = tree(of: text, from: file, &issues)
        case .failure(let failure):
            // No mistake in the settings, and no reason for the others not to start.
            written = nil
            settings = ProviderSettings(name: name, unreadable: file, because: failure.reason, retry: daemon.retry)
            issues.append(
                SettingsIssue(
                    .warning, at: .file(file, line: 0, column: 0), key: "", "cannot be read: \(failure.reason)",
                    hint: "until the next start that can read it, everything waits that may be meant for \(name)"))
        }
        var root = written ?? .empty(at: .file(file, line: 1, column: 1))
        let keys = ProviderSettings.fields.map { $0.describe(settings) }
        variables.overlay(keys, prefix: SettingsVariables.prefix("PROVIDER", name), onto: &root, &issues)
        guard written != nil else {
            // Of the variables, one has a meaning all the same: whether anything is meant for it.
            if let isEnabled = root["enabled"],
                let field = ProviderSettings.fields.first(where: { $0.name == "enabled" })
            {
                reader.descend("enabled") { field.read(isEnabled, &$0, &settings) }
            }
            return settings
        }
        settings.settings = .empty(at: root.place)
        Field.read(ProviderSettings.fields, from: root, &reader, into: &settings)
        if root["retry"] != nil { DaemonRules.check(settings.retry, at: "retry", &reader) }
        settings.places = reader.places
        variables.accept(settings.settings.secretVariables)
        return settings
    }

    private func applyExternalURL(
        to providers: inout [ProviderSettings], _ variables: inout SettingsVariables, _ issues: inout [SettingsIssue]
    ) {
        let name = SettingsVariables.externalAPIURL
        guard let url = variables.value(of: name, shape: .text, &issues) else { return }
        let indices = providers.indices.filter { providers[$0].plugin == SettingsVariables.externalAPIPlugin }
        guard let index = indices.first else {
            issues.append(
                SettingsIssue(.warning, at: url.place, key: "", "has no meaning: no provider's plugin is WorkforceHTTP")
            )
            return
        }
        guard indices.count == 1 else {
            let names = indices.map { SettingsVariables.prefix("PROVIDER", providers[$0].name) + "SETTINGS_BASE_URL" }
            issues.append(
                SettingsIssue(
                    at: url.place, key: "", "could be meant for several providers",
                    accepts: "one provider whose plugin is WorkforceHTTP", hint: "set \(names.joined(separator: ", "))")
            )
            return
        }
        variables.put(url, of: name, at: ["base_url"], in: &providers[index].settings, shown: "settings.")
    }

    private func folder(of file: String) -> String {
        let absolute = file.hasPrefix("/") ? file : "\(surroundings.workingFolder)/\(file)"
        guard let slash = absolute.lastIndex(of: "/"), slash != absolute.startIndex else { return "/" }
        return String(absolute[..<slash])
    }
}

/// What loading gives.
public struct LoadedSettings: Hashable, Sendable {
    /// The daemon's settings; a key that was refused is at its default.
    public var daemon: DaemonSettings
    /// By name.
    public var providers: [ProviderSettings]
    /// Everything that is wrong, file by file and top to bottom; variables last.
    public var issues: [SettingsIssue]

    /// What environment variables set, but for the plugins' own keys.
    public var overrides: [SettingsOverride] = []

    /// Whether the settings may be put in force: there is no error among the issues.
    public var isUsable: Bool {
        !issues.contains { $0.severity == .error }
    }
}

extension SecretSource {
    /// The variable that it names, if it names one.
    fileprivate var variable: String? {
        guard case .environment(let name) = self else { return nil }
        return name
    }
}

extension SettingsNode {
    /// Names behind `env:` at any depth. Which of them are secrets only the plugin's manifest can say; all are spared
    /// the complaint that they are no settings.
    fileprivate var secretVariables: [String] {
        if let entries {
            return entries.flatMap { entry in
                entry.key == "env" ? [entry.value.text].compactMap { $0 } : entry.value.secretVariables
            }
        }
        return elements?.flatMap(\.secretVariables) ?? []
    }
}

extension [SettingsIssue] {
    /// By place; issues at the same place stay as they were found.
    var inOrder: Self {
        enumerated().sorted { ($0.element.place, $0.offset) < ($1.element.place, $1.offset) }.map(\.element)
    }
}
