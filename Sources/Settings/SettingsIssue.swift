/// Something wrong in the settings, told in a way that the reader can mend it: where it stands, which key, what it
/// holds, and what would be accepted. All issues of all files come at once.
///
/// A value that is a secret, or that may be one by mistake, is never repeated here.
public struct SettingsIssue: Error, Hashable, Sendable {
    /// How bad it is.
    public enum Severity: String, Hashable, Sendable {
        /// The settings are not used; running ones are kept.
        case error
        /// The settings are used as they stand.
        case warning
    }

    public var severity: Severity
    public var place: SettingsPlace
    /// The key and those above it, such as `intake.tls.key` or `sources[0].kinds[1]`; empty for a whole file.
    public var key: String
    /// What is wrong: "is not a size".
    public var problem: String
    /// What the key holds, shortened; `nil` for a secret, and where nothing can be shown.
    public var held: String?
    /// What would be accepted; `nil` if the problem says it all.
    public var accepts: String?
    /// What to do next.
    public var hint: String?

    public init(
        _ severity: Severity = .error, at place: SettingsPlace, key: String, _ problem: String, held: String? = nil,
        accepts: String? = nil, hint: String? = nil
    ) {
        self.severity = severity
        self.place = place
        self.key = key
        self.problem = problem
        self.held = held
        self.accepts = accepts
        self.hint = hint
    }
}

extension SettingsIssue: CustomStringConvertible {
    /// One line, as compilers write it, and a second one with the hint:
    ///
    ///     config/runtime-sync.yaml:7:13: error: journal.max_size is not a size: "12 GB"; accepts 1MiB to 16TiB, …
    ///       hint: …
    public var description: String {
        var line = "\(place): \(severity.rawValue): \(key.isEmpty ? "" : "\(key) ")\(problem)"
        if let held { line += ": \(held)" }
        if let accepts { line += "; accepts \(accepts)" }
        if let hint { line += "\n  hint: \(hint)" }
        return line
    }
}

/// Where a setting stands.
public enum SettingsPlace: Hashable, Sendable {
    /// In a file. Lines and columns count from 1, columns in Unicode scalars; 0 stands for the whole file.
    case file(String, line: Int, column: Int)
    /// In an environment variable.
    case variable(String)

    /// The file's path as it was given; `nil` for a variable.
    public var file: String? {
        guard case .file(let path, _, _) = self else { return nil }
        return path
    }

    /// The line in the file, from 1; `nil` for a variable and for a whole file.
    public var line: Int? {
        guard case .file(_, let line, _) = self, line > 0 else { return nil }
        return line
    }

    /// The column in the line, from 1; `nil` for a variable and for a whole file.
    public var column: Int? {
        guard case .file(_, let line, let column) = self, line > 0 else { return nil }
        return column
    }
}

extension SettingsPlace: CustomStringConvertible {
    public var description: String {
        switch self {
        case .file(let path, 0, _): path
        case .file(let path, let line, let column): "\(path):\(line):\(column)"
        case .variable(let name): "environment variable \(name)"
        }
    }
}

extension SettingsPlace: Comparable {
    /// Files by name, then top to bottom; variables last.
    public static func < (one: Self, other: Self) -> Bool {
        switch (one, other) {
        case (.file(let path, let line, let column), .file(let otherPath, let otherLine, let otherColumn)):
            (path, line, column) < (otherPath, otherLine, otherColumn)
        case (.variable(let name), .variable(let otherName)): name < otherName
        case (.file, .variable): true
        case (.variable, .file): false
        }
    }
}
