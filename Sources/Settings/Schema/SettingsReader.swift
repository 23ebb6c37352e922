/// What is known while settings are read: where we are, what was wrong so far, and where each key stood.
struct SettingsReader: Sendable {
    /// The folder that relative paths start from: the one of the file that is read.
    let folder: String
    /// The keys and indexes down to the value that is being read, such as `["sources", "[0]", "kinds"]`.
    private(set) var path: [String] = []
    private(set) var issues: [SettingsIssue] = []
    private(set) var places: [String: SettingsPlace] = [:]

    /// - Parameter file: where the settings stand, as a whole.
    init(folder: String, file: String) {
        self.folder = folder
        places[""] = .file(file, line: 0, column: 0)
    }

    /// The key path as issues and documents write it.
    var key: String { Self.key(path) }

    static func key(_ path: some Sequence<String>) -> String {
        path.reduce("") { $0.isEmpty || $1.hasPrefix("[") ? $0 + $1 : "\($0).\($1)" }
    }

    /// Reads one level deeper.
    mutating func descend<Result>(_ name: String, _ body: (inout Self) -> Result) -> Result {
        path.append(name)
        defer { path.removeLast() }
        return body(&self)
    }

    /// Reads an element of the list at hand.
    mutating func descend<Result>(_ index: Int, _ body: (inout Self) -> Result) -> Result {
        descend("[\(index)]", body)
    }

    /// Remembers where the current key stands, for rules that look at several keys later.
    mutating func remember(_ place: SettingsPlace) {
        places[key] = place
    }

    /// Where a key stands; the next one above that was written if it was not.
    func place(of key: String) -> SettingsPlace {
        var key = key[...]
        while true {
            if let place = places[String(key)] { return place }
            guard let dot = key.lastIndex(of: ".") else { break }
            key = key[..<dot]
        }
        return places[""] ?? .file("", line: 0, column: 0)
    }

    /// Whether a key, or one below it, was refused: rules that build on it keep silent then.
    func isBroken(_ key: String) -> Bool {
        issues.contains {
            $0.severity == .error && ($0.key == key || $0.key.hasPrefix(key + ".") || $0.key.hasPrefix(key + "["))
        }
    }

    mutating func note(_ issue: SettingsIssue) {
        issues.append(issue)
    }

    /// The current value is not what it should be.
    mutating func refuse(
        _ node: SettingsNode, _ problem: String, accepts: String?, isSecret: Bool = false, hint: String? = nil
    ) {
        note(
            SettingsIssue(
                at: node.place, key: key, problem, held: isSecret ? nil : node.shown, accepts: accepts, hint: hint))
    }

    /// The current value has the wrong shape. What it holds is not shown: where a whole section went astray, so may a
    /// secret.
    mutating func refuse(shapeOf node: SettingsNode, _ problem: String, accepts: String) {
        note(SettingsIssue(at: node.place, key: key, problem, held: node.kind, accepts: accepts))
    }

    /// An error about a key that was read before, by its path.
    mutating func refuse(
        key: String, _ problem: String, held: String? = nil, accepts: String? = nil, hint: String? = nil
    ) {
        note(SettingsIssue(at: place(of: key), key: key, problem, held: held, accepts: accepts, hint: hint))
    }

    /// A warning about a key that was read before, by its path.
    mutating func warn(key: String, _ problem: String, hint: String? = nil) {
        note(SettingsIssue(.warning, at: place(of: key), key: key, problem, hint: hint))
    }

    /// An absolute path: relative ones start at the folder of the file that holds them.
    func absolute(_ path: String) -> String {
        path.hasPrefix("/") ? path : folder.hasSuffix("/") ? folder + path : "\(folder)/\(path)"
    }
}
