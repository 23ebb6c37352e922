internal import ArgumentParser
internal import EventModel
internal import Glibc
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
            succeed: it connects, authenticates and looks at its base. The daemon may be running meanwhile.
            """)

    @OptionGroup var options: SettingsOption
    @Flag(help: "Check the files only; start no plugin.") var offline = false

    func run() async throws {
        try Hardening.apply()
        let loaded = options.loader.load(file: options.path)
        options.report(loaded.issues)
        let assembly = ProviderAssembly(loaded, loader: options.loader)
        options.report(assembly.issues)
        for (provider, reason) in assembly.unusable { printError("provider \(provider): error: \(reason)") }
        for source in loaded.daemon.sources {
            do {
                _ = try source.intakeSource()
            } catch {
                printError("source \(source.name): error: \(error)")
                throw ExitCode.settings
            }
        }
        guard loaded.isUsable, !assembly.hasErrors else { throw ExitCode.settings }
        print("settings: \(options.path): fine")
        guard !offline else {
            if !assembly.unusable.isEmpty { throw ExitCode.failure }
            return
        }
        LineLogHandler.bootstrap(LogSettings.quiet)
        var isFine = assembly.unusable.isEmpty
        let spawner = try Spawner()
        for provider in assembly.assembled where provider.settings.provider.isEnabled {
            let name = provider.settings.provider.name
            do {
                let configuration = try provider.configuration(daemon: loaded.daemon, ownListeners: [])
                let deadline = provider.settings.provider.deadline
                let result = await ChannelCheck.run(
                    configuration, spawner: spawner, deadline: deadline,
                    canCheck: provider.settings.manifest.capabilities.contains(.check))
                isFine = isFine && result.isFine
                print("provider \(name): \(result)")
            } catch {
                isFine = false
                print("provider \(name): error: \(error)")
            }
        }
        if !isFine { throw ExitCode.failure }
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
            loop.scheduleTask(in: .seconds(deadline.components.seconds)) { check.end(.silent(deadline)) }
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
