internal import Settings

/// What `check --json` prints.
struct CheckReport: Encodable {
    /// Something wrong in the settings; absent members are not known or not needed.
    struct Issue: Encodable {
        /// `error` or `warning`.
        var severity: String
        /// Absent for an environment variable and for what no file shows.
        var file: String?
        /// From 1, as the column.
        var line: Int?
        var column: Int?
        var key: String?
        var problem: String
        var held: String?
        var accepts: String?
        var hint: String?
    }

    struct Provider: Encodable {
        var name: String
        /// Whether deliveries can be expected to succeed, as far as it was asked.
        var isFine: Bool
        var detail: String
    }

    /// The settings file.
    var settings: String
    /// The daemon that runs on the control socket of these settings; absent if none does.
    var daemon: DaemonStatus?
    /// Whether there is neither an error in the settings nor a provider that is not fine.
    var isFine = false
    var issues: [Issue] = []
    /// Without those whose settings are wrong.
    var providers: [Provider] = []
}

extension CheckReport.Issue {
    init(_ issue: SettingsIssue) {
        self.init(
            severity: issue.severity.rawValue, file: issue.place.file, line: issue.place.line,
            column: issue.place.column, key: issue.key.isEmpty ? nil : issue.key, problem: issue.problem,
            held: issue.held, accepts: issue.accepts, hint: issue.hint)
    }
}
