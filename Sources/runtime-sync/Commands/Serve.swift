internal import ArgumentParser
internal import Settings

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run the daemon, in the foreground, until SIGTERM or SIGINT.",
        discussion: "It logs to stderr. Settings are read once; `runtime-sync check` tells what is wrong with them.")

    @OptionGroup var options: SettingsOption
    @Flag(help: "Begin a new journal although there is a key file; what an earlier one held is given up.")
    var newJournal = false

    func run() async throws {
        let loaded = try options.load(tellsWarnings: true)
        LineLogHandler.bootstrap(loaded.daemon.log)
        try await Daemon(loaded, loader: options.loader, beginsAnew: newJournal).run()
    }
}
