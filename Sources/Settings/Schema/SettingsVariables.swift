/// The environment variables of the settings: which exist, and putting those that are set over what the files say.
struct SettingsVariables: Sendable {
    static let prefix = "RUNTIME_SYNC_"
    /// Gives the provider of the bundled HTTP plugin its `settings.base_url`.
    static let externalAPIURL = prefix + "EXTERNAL_API_URL"
    static let externalAPIPlugin = "WorkforceHTTP"

    let environment: [String: String]
    /// Every variable that would have been taken, set or not.
    private(set) var known: Set<String> = []
    /// Those that are set, and what they win over.
    private(set) var overrides: [SettingsOverride] = []

    init(_ environment: [String: String]) {
        self.environment = environment
    }

    /// The variable of the key at `path` below `prefix`: `journal.max_size` is `RUNTIME_SYNC_JOURNAL_MAX_SIZE`.
    static func name(_ prefix: String, _ path: some Sequence<String>) -> String {
        prefix + path.map(spelled).joined(separator: "_")
    }

    /// The prefix of the variables of one provider or source: `legacy-ldap` has `RUNTIME_SYNC_PROVIDER_LEGACY_LDAP_`.
    static func prefix(_ what: String, _ name: String) -> String {
        "\(prefix)\(spelled(what))_\(spelled(name))_"
    }

    private static func spelled(_ name: String) -> String {
        String(name.uppercased().map { $0 == "-" || $0 == "." ? "_" : $0 })
    }

    /// Puts the variables of these keys and of those below them over `root`.
    mutating func overlay(
        _ keys: [KeyDescription], prefix: String = prefix, path: [String] = [], onto root: inout SettingsNode,
        _ issues: inout [SettingsIssue], shown: String = ""
    ) {
        for key in keys {
            let keyPath = path + [key.name]
            guard !key.isSection else {
                overlay(key.children, prefix: prefix, path: keyPath, onto: &root, &issues, shown: shown)
                continue
            }
            let name = key.variable ?? Self.name(prefix, keyPath)
            guard !name.isEmpty else { continue }
            if let value = value(of: name, shape: key.shape, &issues) {
                put(value, of: name, at: keyPath, in: &root, shown: shown)
            }
        }
    }

    /// Puts what a variable holds over what the file says.
    mutating func put(
        _ value: SettingsNode, of name: String, at path: [String], in root: inout SettingsNode,
        shown prefix: String = ""
    ) {
        let former = path.reduce(root as SettingsNode?) { $0?[$1] }
        root.set(path, to: value)
        overrides.append(
            SettingsOverride(
                variable: name, key: prefix + path.joined(separator: "."), former: former?.place,
                file: root.place.file))
    }

    /// What a variable holds, read as its key's shape wants it; `nil` if it is not set or cannot be read.
    mutating func value(of name: String, shape: KeyShape, _ issues: inout [SettingsIssue]) -> SettingsNode? {
        known.insert(name)
        guard let text = environment[name] else { return nil }
        let place = SettingsPlace.variable(name)
        switch shape {
        case .text: return SettingsNode(content: .scalar(text, isPlain: false), place: place)
        case .word: return SettingsNode(content: .scalar(text, isPlain: true), place: place)
        case .list where !text.hasPrefix("["):
            let elements = text.split(separator: ",").map { $0.trimmed }.filter { !$0.isEmpty }
            return SettingsNode(
                content: .list(elements.map { SettingsNode(content: .scalar($0, isPlain: true), place: place) }),
                place: place)
        case .list, .yaml: return YAMLText(text: text, origin: place).read(&issues)
        }
    }

    /// Takes further names for known ones, such as those that hold secrets.
    mutating func accept(_ names: some Sequence<String>) {
        known.formUnion(names)
    }

    /// Issues for variables that begin like ours and are none. What they hold is not shown.
    func unknown(except isDeferred: (String) -> Bool) -> [SettingsIssue] {
        let candidates = known.compactMap { $0.afterPrefix(Self.prefix).map(String.init) }
        return environment.keys.sorted().compactMap { name in
            guard let rest = name.afterPrefix(Self.prefix), !known.contains(name), !isDeferred(name) else { return nil }
            return SettingsIssue(
                at: .variable(name), key: "", "is not a variable of any key",
                hint: NearestName.of(String(rest), among: candidates).map { "did you mean \(Self.prefix)\($0)?" })
        }
    }
}

/// A key that an environment variable sets. What it sets is not told: it may be a secret.
public struct SettingsOverride: Hashable, Sendable, CustomStringConvertible {
    public var variable: String
    /// In its file.
    public var key: String
    /// Where the value stands that counts no longer; `nil` if the file does not set the key.
    public var former: SettingsPlace?
    /// The file that the key belongs to.
    public var file: String?

    public var description: String {
        if let former { return "\(variable) wins over \(key) at \(former)" }
        return "\(variable) sets \(key)\(file.map { ", which \($0) does not" } ?? "")"
    }
}

extension StringProtocol {
    /// Without spaces and tabs at either end.
    var trimmed: String {
        let isBlank: (Character) -> Bool = { $0 == " " || $0 == "\t" }
        guard let last = lastIndex(where: { !isBlank($0) }) else { return "" }
        return String(self[...last].drop(while: isBlank))
    }
}
