internal import ArgumentParser
internal import Control
internal import Delivery
internal import EventModel
internal import FoundationEssentials
internal import HTTPTypes
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import Settings
internal import Supervision
internal import Synchronization
internal import WorkerProtocol

struct Check: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check the settings, the plugins and each target's channel; nothing is changed.",
        discussion: """
            Each provider's plugin is started in its sandbox, as the daemon would, and asked whether deliveries can \
            succeed: it connects, authenticates and looks at its base. The daemon may be running meanwhile: its port \
            and sockets count as free.
            """)

    @OptionGroup var options: SettingsOption
    @Flag(help: "Check the files only; start no plugin.") var offline = false
    @Flag(name: .long, help: "Print JSON; what is wrong is told on stderr all the same.") var json = false

    func run() async throws {
        let loaded = options.loader.load(file: options.path)
        let assembly = ProviderAssembly(loaded, loader: options.loader)
        let settingsIssues = loaded.issues + assembly.issues
        let secretProblems = loaded.daemon.sources.compactMap(Self.problem)
        let isRight = loaded.isUsable && !assembly.hasErrors && secretProblems.isEmpty
        // With settings that are not what was meant, other files would be looked at than are meant.
        let daemon = loaded.isUsable ? try? await loaded.daemon.controlClient.status(seconds: 5) : nil
        let providers = assembly.assembled.count
        let obstacles =
            loaded.isUsable
            ? loaded.daemon.startObstacles(providers: providers, beside: daemon).map { "runtime-sync: error: \($0)" }
            : []
        let orphans = isRight ? await waitingWithoutSettings(daemon, loaded) : []
        options.report(settingsIssues)
        for problem in secretProblems + obstacles { printError(problem) }
        for problem in orphans { printError("runtime-sync: warning: \(forTerminal(problem))") }
        for (provider, reason) in assembly.unusable { printError("provider \(provider): error: \(reason)") }
        var report = CheckReport(settings: options.path, daemon: daemon)
        report.issues = settingsIssues.map { .init($0) }
        report.issues += (secretProblems + obstacles).map { .init(severity: "error", problem: $0) }
        report.issues += orphans.map { .init(severity: "warning", problem: $0) }
        for override in loaded.overrides + assembly.assembled.flatMap(\.settings.overrides) {
            say("settings: \(override)")
        }
        if isRight { say("settings: \(options.path): fine") }
        if !loaded.daemon.isEnabled { say("settings: enabled is false: events are accepted, and skipped") }

        if let daemon {
            say("daemon: running; its intake listens \(daemon.intake.isEmpty ? "soon" : "on \(daemon.intake)")")
        }

        report.providers = assembly.unusable.map { .init(name: $0.provider, isFine: false, detail: $0.reason) }
        LineLogHandler.bootstrap(LogSettings.quiet)
        let spawner = offline ? nil : try Spawner()
        for provider in assembly.assembled where Self.isRight(provider, settingsIssues) {
            let (isGood, words) = await check(provider, loaded.daemon, spawner)
            let settings = provider.settings.provider
            // What only the plugin can tell has no line; the file at least is known.
            let place = isGood ? "" : " [\(settings.file)]"
            report.providers.append(.init(name: settings.name, isFine: isGood, detail: words))
            say("provider \(settings.name): \(forTerminal(words))\(place)")
        }
        report.isFine = isRight && obstacles.isEmpty && report.providers.allSatisfy(\.isFine)
        if json { try printJSON(report) }
        if !isRight { throw ExitCode.settings }
        if !report.isFine { throw ExitCode.failure }
    }

    /// Whether the settings that its worker is started with are what was meant: its own, and the daemon's that concern
    /// every worker.
    private static func isRight(_ provider: AssembledProvider, _ issues: [SettingsIssue]) -> Bool {
        let settings = provider.settings.provider
        return !issues.contains { issue in
            guard issue.severity == .error else { return false }
            if issue.place.file == settings.file { return true }
            return switch issue.place {
            case .variable: true
            case .file: issue.key.isEmpty || issue.key == "sandbox" || issue.key.hasPrefix("plugins")
            }
        }
    }

    /// What waits, at the daemon that runs, for providers that these settings do not name: those that were taken away, and
    /// those that the next start would not find. Only the daemon opens the journal, so without one nothing is known.
    private func waitingWithoutSettings(_ daemon: DaemonStatus?, _ loaded: LoadedSettings) async -> [String] {
        guard daemon != nil,
            let answer = try? await loaded.daemon.controlClient.call(.get, "/providers", seconds: 5),
            let providers = try? JSONDecoder().decode([ProviderStatus].self, from: Data(answer))
        else { return [] }
        let names = Set(loaded.providers.map(\.name))
        return providers.map(\.report).filter { $0.waiting + $0.inFlight > 0 && !names.contains($0.name) }
            .map(\.wordsWithoutSettings)
    }

    /// For people.
    private func say(_ text: String) {
        if !json { print(text) }
    }

    /// What only the signature's own code can tell of a source's secrets; whether they can be read, the settings have
    /// told.
    private static func problem(with source: SourceSettings) -> String? {
        do {
            _ = try source.intakeSource()
            return nil
        } catch is SecretError {
            return nil
        } catch {
            return "source \(source.name): error: \(error)"
        }
    }

    private func check(
        _ provider: AssembledProvider, _ daemon: DaemonSettings, _ spawner: Spawner?
    ) async -> (isFine: Bool, words: String) {
        let settings = provider.settings.provider
        guard settings.isEnabled else { return (true, "disabled; not checked") }
        guard let spawner else { return (true, "settings fine; not asked") }
        do {
            let result = await ChannelCheck.run(
                try provider.configuration(daemon: daemon), spawner: spawner,
                deadline: settings.deadline, canCheck: provider.settings.manifest.capabilities.contains(.check))
            let mode = settings.mode == .observe ? " (it only observes: nothing is sent to it)" : ""
            return (result.isFine, "\(result)\(mode)")
        } catch {
            return (false, "error: \(error)")
        }
    }
}

extension LogSettings {
    /// Only what went wrong.
    fileprivate static var quiet: Self {
        var settings = Self()
        settings.level = .error
        return settings
    }
}

/// Starts one worker, asks it once whether deliveries can succeed, and ends it.
private final class ChannelCheck: WorkerDelegate, Sendable {
    enum Result: CustomStringConvertible, Sendable {
        case answered(Completion)
        case noCheck
        case lost(String)
        case silent(Duration)

        var isFine: Bool {
            switch self {
            case .answered(let completion): completion.outcome == .delivered
            case .noCheck: true
            case .lost, .silent: false
            }
        }

        var description: String {
            switch self {
            case .answered(let completion) where completion.outcome == .delivered: "fine: \(completion.detail)"
            case .answered(let completion): "\(completion.outcome.name): \(completion.detail)"
            case .noCheck: "started; its plugin has no check"
            case .lost(let reason): "worker lost: \(reason)"
            case .silent(let deadline): "no answer within \(deadline)"
            }
        }
    }

    private let worker = Mutex<Worker?>(nil)
    private let waiting: Mutex<CheckedContinuation<Result, Never>?>
    private let canCheck: Bool

    private init(_ continuation: CheckedContinuation<Result, Never>, canCheck: Bool) {
        waiting = Mutex(continuation)
        self.canCheck = canCheck
    }

    static func run(
        _ configuration: WorkerConfiguration, spawner: Spawner, deadline: Duration, canCheck: Bool
    ) async -> Result {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let box = Mutex<ChannelCheck?>(nil)
        let result = await withCheckedContinuation { continuation in
            let check = ChannelCheck(continuation, canCheck: canCheck)
            box.withLock { $0 = check }
            let worker = Worker(
                configuration, eventLoop: loop, spawner: spawner, logger: Logger(label: "check"), delegate: check)
            check.worker.withLock { $0 = worker }
            worker.start()
            loop.scheduleTask(in: .milliseconds(deadline.wholeMilliseconds)) { check.end(.silent(deadline)) }
        }
        let worker = box.withLock { $0?.worker.withLock { $0 } }
        try? await worker?.stop(patience: .seconds(2)).get()
        return result
    }

    private func end(_ result: Result) {
        waiting.withLock { continuation in
            continuation?.resume(returning: result)
            continuation = nil
        }
    }

    func workerIsReady(generation: UInt64, _ ready: WorkerReady) {
        guard canCheck else { return end(.noCheck) }
        var frame = ByteBuffer()
        frame.writeCheckFrame(id: 1)
        worker.withLock { $0 }?.send(generation: generation, frame)
    }

    func workerIsLost(generation: UInt64, _ loss: WorkerLoss) {
        end(.lost("\(loss)"))
    }

    func workerCompleted(generation: UInt64, _ requests: [CompletedRequest]) {
        if let answer = requests.first(where: { $0.id == 1 }) { end(.answered(answer.completion)) }
    }

    func workerCounted(_ name: String, _ delta: Int64) {}
}
