internal import ArgumentParser
internal import Glibc

/// `runtime-sync`: the daemon and its tools.
struct RuntimeSync: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "runtime-sync",
        abstract: "Carries what happens to a user in Keycloak to the systems that cannot ask it.",
        discussion: """
            Exit codes: 0 all is well; 1 something failed, and stderr says what; 2 the settings are wrong; \
            64 the command line is.
            """,
        version: version,
        subcommands: [Serve.self, Check.self, Plugins.self, Providers.self, Queue.self, Explain.self, Send.self])

    /// This program's version.
    static let version = "0.1.0"
    /// Where the settings are unless the command line or the environment says otherwise.
    static let defaultSettings = "/etc/runtime-sync/runtime-sync.yaml"
    /// Names the settings file.
    static let settingsVariable = "RUNTIME_SYNC_SETTINGS"
}

extension ExitCode {
    /// The settings are wrong.
    static let settings = ExitCode(2)
}

/// Where the process begins and, whatever fails, ends: with one line on stderr and an exit code.
@main
enum Program {
    static func main() async {
        do {
            try Hardening.apply()
        } catch {
            end(with: error)
        }
        var command: any ParsableCommand
        do {
            command = try await RuntimeSync.asyncParseAsRoot()
        } catch {
            RuntimeSync.exit(withError: error)
        }
        do {
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            LogWriter.stderr.flush()
        } catch {
            end(with: error)
        }
    }

    private static func end(with error: any Error) -> Never {
        // The parser prints its own errors, and the help, which is one to it.
        if error is ExitCode || RuntimeSync.exitCode(for: error) != .failure {
            LogWriter.stderr.flush()
            RuntimeSync.exit(withError: error)
        }
        printError("runtime-sync: error: \(error)")
        exit((error as? StartFailure)?.isSettings == true ? ExitCode.settings.rawValue : ExitCode.failure.rawValue)
    }
}
