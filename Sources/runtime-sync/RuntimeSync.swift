internal import ArgumentParser

/// `runtime-sync`: the daemon and its tools.
@main
struct RuntimeSync: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "runtime-sync",
        abstract: "Carries what happens to a user in Keycloak to the systems that cannot ask it.",
        discussion: """
            Exit codes: 0 all is well; 1 something failed, and stderr says what; 2 the settings are wrong; \
            64 the command line is.
            """,
        version: "0.1.0",
        subcommands: [Serve.self, Check.self, Plugins.self, Providers.self, Queue.self, Explain.self, Send.self])

    /// Where the settings are unless the command line or the environment says otherwise.
    static let defaultSettings = "/etc/runtime-sync/runtime-sync.yaml"
    /// Names the settings file.
    static let settingsVariable = "RUNTIME_SYNC_SETTINGS"
}

extension ExitCode {
    /// The settings are wrong.
    static let settings = ExitCode(2)
}
