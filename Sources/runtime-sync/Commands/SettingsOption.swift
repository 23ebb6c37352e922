internal import ArgumentParser
internal import Glibc
internal import Settings

/// `--settings FILE`, which every command has.
struct SettingsOption: ParsableArguments {
    @Option(
        name: .long,
        help: "The settings file; default: $\(RuntimeSync.settingsVariable), or \(RuntimeSync.defaultSettings).")
    var settings: String?

    /// The file's path.
    var path: String {
        settings ?? getenv(RuntimeSync.settingsVariable).map { String(cString: $0) } ?? RuntimeSync.defaultSettings
    }

    var loader: SettingsLoader {
        SettingsLoader(otherVariables: [RuntimeSync.settingsVariable])
    }

    /// Reads the settings; tells everything that is wrong, and ends the command if it is too much.
    ///
    /// - Parameter tellsWarnings: whether warnings are told too: for commands that are about the settings.
    func load(tellsWarnings: Bool = false) throws -> LoadedSettings {
        let loaded = loader.load(file: path)
        report(loaded.issues.filter { tellsWarnings || $0.severity == .error })
        guard loaded.isUsable else { throw ExitCode.settings }
        return loaded
    }

    /// Writes issues to stderr, a line or two each.
    func report(_ issues: [SettingsIssue]) {
        for issue in issues { printError("\(issue)") }
    }
}

/// Writes a line to stderr, behind what was logged before. It may be the last, so it is waited for; not for ever.
func printError(_ text: String) {
    LogWriter.stderr.write(Array("\(text)\n".utf8))
    LogWriter.stderr.flush(within: 5_000)
}
