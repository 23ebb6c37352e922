/// The documents that follow from the lists of fields: the commented settings files in `config/` and the table in the
/// README. A test compares the committed ones with what stands here.
public enum SettingsReference: Sendable {
    /// Comments are wrapped so that no line is longer.
    private static let width = 120

    // MARK: Settings files

    /// `config/runtime-sync.yaml`: every key at its default, commented out, and one source for an example.
    public static var daemonDocument: String {
        document(
            """
            # Runtime Sync: the daemon. Each key stands here with its default; take the # away and change it.
            # An environment variable wins over the key; it is named at the end of each comment.
            # Durations are written 200ms, 30s, 5m, 1h, 7d; sizes 64KiB, 256MiB, 8GiB.
            # Relative paths start at this file's folder. `runtime-sync check` says everything that is wrong at once.
            """,
            DaemonSettings.fields.map { $0.describe(DaemonSettings()) }, prefix: SettingsVariables.prefix,
            examples: [
                "sources.name": "keycloak", "sources.instance": "prod", "sources.realms": "[corp]",
                "sources.kinds": "[\"*\"]", "sources.may_carry_password": "true",
                "sources.secrets": "[{file: secrets/keycloak}]",
            ])
    }

    /// A provider's file: every key at its default, commented out, those of its plugin included.
    ///
    /// - Parameters:
    ///   - name: the provider's name, for the names of its variables.
    ///   - manifest: of its plugin.
    ///   - examples: what is written, as YAML, for keys that have no default or another value than that, by their paths:
    ///     `["user_types": "[employee]", "settings.url": "ldaps://ldap.corp.example"]`.
    public static func providerDocument(
        name: String, manifest: PluginManifest, examples: [String: String] = [:]
    ) -> String {
        let file = ProviderSettings(name: name, file: "", retry: RetrySettings()).withDefaults(of: manifest)
        let keys = ProviderSettings.fields.map { field in
            let key = field.describe(file)
            return key.name == "settings" ? key.with(children: manifest.settings.keys) : key
        }
        let seed =
            manifest.name == SettingsVariables.externalAPIPlugin
            ? "\n# \(SettingsVariables.externalAPIURL) sets settings.base_url, if no other provider has this plugin."
            : ""
        return document(
            """
            # Runtime Sync: the provider \(name). Each key stands here with its default; take the # away and change it.
            # An environment variable wins over the key; it is named at the end of each comment.
            # Secrets do not stand here: write {file: PATH} (mode 0600), {env: NAME} or {credential: NAME}.
            # Relative paths start at this file's folder.\(seed)
            """,
            keys, prefix: SettingsVariables.prefix("PROVIDER", name),
            examples: ["plugin": manifest.name].merging(examples) { $1 })
    }

    private static func document(
        _ head: String, _ keys: [KeyDescription], prefix: String, examples: [String: String]
    ) -> String {
        var lines = head.split(separator: "\n").map(String.init)
        for key in keys {
            lines.append("")
            lines += text(of: key, KeyPosition(prefix: prefix), indent: "", examples)
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func text(
        of key: KeyDescription, _ position: KeyPosition, indent: String, _ examples: [String: String]
    ) -> [String] {
        let position = position.below(key)
        if key.isSection {
            return comment(key.about, indent) + ["\(indent)\(key.name):"]
                + key.children.flatMap { text(of: $0, position, indent: indent + "  ", examples) }
        }
        if key.isRecordList {
            var element = key.children.flatMap { text(of: $0, position, indent: indent + "    ", examples) }
            // An element begins with a dash, at the first key that is written.
            if let first = element.firstIndex(where: { !$0.trimmed.hasPrefix("#") }) {
                element[first] = "\(indent)  - \(element[first].trimmed)"
            }
            return comment(key.about, indent) + ["\(indent)\(key.name):"] + element
        }
        let variable = position.variable(of: key)
        let accepts = (key.isRequired ? "Required: " : "Accepts ") + key.accepts + "."
        let about =
            comment(key.about, indent) + comment(variable.isEmpty ? accepts : "\(accepts) \(variable)", indent)
        if let example = examples[position.keys.joined(separator: ".")] {
            return about + ["\(indent)\(key.name): \(example)"]
        }
        let defaultText = key.isRequired ? "" : key.defaultText ?? ""
        return about + ["\(indent)#\(key.name):\(defaultText.isEmpty ? "" : " \(defaultText)")"]
    }

    /// The text as comment lines of at most ``width`` columns.
    private static func comment(_ text: String, _ indent: String) -> [String] {
        guard !text.isEmpty else { return [] }
        var lines: [String] = []
        var line = "\(indent)#"
        for word in text.split(separator: " ") {
            if line.count + word.count + 1 > width, line.count > indent.count + 1 {
                lines.append(line)
                line = "\(indent)#"
            }
            line += " \(word)"
        }
        return lines + [line]
    }

    // MARK: Table

    /// The README's table: the daemon's keys, then those of every provider (with `NAME` for its name).
    public static var markdownTable: String {
        let daemon = DaemonSettings.fields.flatMap {
            rows($0.describe(DaemonSettings()), KeyPosition(prefix: SettingsVariables.prefix))
        }
        let fresh = ProviderSettings(name: "NAME", file: "", retry: RetrySettings())
        let provider = ProviderSettings.fields.flatMap {
            rows($0.describe(fresh), KeyPosition(prefix: SettingsVariables.prefix("PROVIDER", "NAME")))
        }
        let head = ["| key | default | accepts | variable |", "|---|---|---|---|"]
        return
            (["**The daemon: `runtime-sync.yaml`**", ""] + head + daemon
            + ["", "**A provider: `providers/NAME.yaml`**", ""] + head + provider).joined(separator: "\n") + "\n"
    }

    private static func rows(_ key: KeyDescription, _ position: KeyPosition) -> [String] {
        let position = position.below(key)
        guard key.children.isEmpty else { return key.children.flatMap { rows($0, position) } }
        let variable = position.variable(of: key)
        let cells = [
            "`\(position.keys.joined(separator: "."))`", key.isRequired ? "required" : "`\(key.defaultText ?? "")`",
            key.accepts, variable.isEmpty ? "" : "`\(variable)`",
        ]
        return ["| \(cells.joined(separator: " | ")) |"]
    }
}

/// Where a document is: the keys down to it, and how its variables are named.
private struct KeyPosition: Sendable {
    var keys: [String] = []
    var prefix: String
    var variableKeys: [String] = []

    init(prefix: String) {
        self.prefix = prefix
    }

    func below(_ key: KeyDescription) -> Self {
        var position = self
        position.keys.append(key.name)
        position.variableKeys.append(key.name)
        if key.isRecordList {
            // The elements of `sources` have variables of their own: RUNTIME_SYNC_SOURCE_NAME_MAX_EVENT_AGE.
            position.prefix = SettingsVariables.prefix(String(key.name.dropLast()), "NAME")
            position.variableKeys = []
        }
        return position
    }

    func variable(of key: KeyDescription) -> String {
        key.variable ?? SettingsVariables.name(prefix, variableKeys)
    }
}

extension KeyDescription {
    /// The same key with those below it, which only a plugin's manifest knows.
    fileprivate func with(children: [KeyDescription]) -> Self {
        Self(
            name: name, about: about, accepts: accepts, isRequired: isRequired, defaultText: defaultText,
            variable: variable, shape: shape, children: children, isRecordList: isRecordList)
    }
}
