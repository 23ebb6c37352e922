internal import EventModel
internal import Glibc
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import Synchronization
internal import WorkerProtocol

/// Does what ``WorkerState`` decides, and tells it what happened. Lives on one event loop.
final class WorkerLife {
    private let configuration: WorkerConfiguration
    private let eventLoop: any EventLoop
    private let spawner: Spawner
    private let logger: Logger
    private weak let delegate: (any WorkerDelegate)?
    private let board: WorkerBoard
    /// Knows the secrets of every process that this starts.
    let redactor: Redactor

    private var state: WorkerState
    private var process: WorkerProcess?
    private var channel: (any Channel)?
    private var timer: (due: NIODeadline, task: Scheduled<Void>)?
    private var stopped: [EventLoopPromise<Void>] = []
    private var lines: RateLimit
    private var metricNames: Set<String> = []

    /// A plugin that makes up names for its counters gets no further.
    static let maxMetrics = 64
    /// Of a line in the log; bytes. What a plugin logs is cut, what it prints falls into several.
    static let longestLine = 4 << 10

    init(
        _ configuration: WorkerConfiguration, eventLoop: any EventLoop, spawner: Spawner, logger: Logger,
        delegate: (any WorkerDelegate)?, board: WorkerBoard
    ) {
        self.configuration = configuration
        self.eventLoop = eventLoop
        self.spawner = spawner
        self.logger = logger
        self.delegate = delegate
        self.board = board
        state = WorkerState(timing: configuration.timing, required: configuration.requiredLayers)
        lines = RateLimit(perSecond: configuration.logLines)
        redactor = Redactor(capacity: Self.rememberedSecrets)
        for file in configuration.files where file.isSecret { file.descriptor.lendContents(redactor.keep) }
    }

    /// So many passwords are known beyond those of outstanding requests.
    private static let rememberedSecrets = 64

    // MARK: What is wanted

    func start() {
        perform(state.start(.now()))
    }

    func stop(patience: TimeAmount, _ promise: EventLoopPromise<Void>) {
        stopped.append(promise)
        perform(state.stop(.now(), patience: patience))
    }

    func giveUp(_ generation: UInt64, _ why: String) {
        guard generation == state.generation else { return }
        perform(state.giveUp(why))
    }

    func send(_ frames: ByteBuffer, to generation: UInt64) {
        guard generation == state.generation, state.mayComplete, let channel else { return wipe(frames) }
        redactor.remember(secretsOf: frames)
        channel.writeAndFlush(frames).whenComplete { _ in wipe(frames) }
    }

    // MARK: What happens

    var mayComplete: Bool {
        state.mayComplete
    }

    func received(_ frame: WorkerFrame) {
        perform(state.received(frame, .now()))
    }

    func completed(_ requests: [CompletedRequest]) {
        state.progressed(.now())
        delegate?.workerCompleted(generation: state.generation, requests)
    }

    func violated(_ what: String) {
        perform(state.violated(what))
    }

    func socketEnded() {
        channel = nil
        perform(state.socketEnded(.now()))
    }

    func log(_ level: PluginLogLevel, _ line: some Collection<UInt8>) {
        guard let unsaid = lines.pass(.now()) else { return board.status.withLock { $0.droppedLines += 1 } }
        var metadata: Logger.Metadata = ["text": "\(redactor.words(line, atMost: Self.longestLine))"]
        if unsaid > 0 { metadata["unsaid"] = "\(unsaid)" }
        logger.log(level: Logger.Level(level), "plugin says", metadata: metadata)
    }

    func count(_ name: String, _ delta: Int64) {
        if !metricNames.contains(name) {
            // Looked at once: a counter does not end when somebody takes its name for a password.
            guard metricNames.count < Self.maxMetrics, !redactor.finds(in: name.utf8) else {
                return board.status.withLock { $0.droppedLines += 1 }
            }
            metricNames.insert(name)
        }
        delegate?.workerCounted(name, delta)
    }

    func wrote(_ bytes: Int) {
        board.status.withLock { $0.outputBytes += UInt64(bytes) }
        logger.debug("plugin wrote to its output", metadata: ["bytes": "\(bytes)"])
    }

    private func spawned(_ result: Result<WorkerProcess, SystemError>, _ frames: Descriptor, _ output: Descriptor) {
        switch result {
        case .success(let process):
            self.process = process
            perform(state.spawned())
            connect(frames, output)
        case .failure(let error):
            perform(state.spawnFailed(.now(), error.description))
        }
    }

    private func exited(_ status: ExitStatus) {
        process = nil
        perform(state.exited(status, .now()))
    }

    // MARK: Doing

    private func perform(_ actions: [WorkerState.Action]) {
        // First, so that whoever is told something can look it up.
        board.status.withLock { status in
            status.state = state.phase.seen
            status.generation = state.generation
            status.pid = process?.id
            status.lastLoss = state.lastLoss
            status.sandbox = state.ready
        }
        for action in actions { perform(action) }
        keepTime()
    }

    private func perform(_ action: WorkerState.Action) {
        switch action {
        case .spawn: spawn()
        case .sendStart: sendStart()
        case .sendPing: write { $0.writePingFrame() }
        case .sendStop: write { $0.writeStopFrame() }
        case .kill:
            if let process { spawner.kill(process) }
        case .tellReady(let ready):
            logger.info(
                "worker serves",
                metadata: [
                    "generation": "\(state.generation)", "pid": "\(process?.id ?? 0)",
                    "sandbox": "\(ready.layers.names.joined(separator: " "))", "landlock.abi": "\(ready.landlockABI)",
                ])
            delegate?.workerIsReady(generation: state.generation, ready)
        case .tellLost(let generation, let loss):
            logger.log(
                level: loss == .stopped ? .info : .warning, "worker is over",
                metadata: ["generation": "\(generation)", "reason": "\(loss)"])
            delegate?.workerIsLost(generation: generation, loss)
            tellStopped()
        case .tellIdle:
            tellStopped()
        }
    }

    /// Whoever asked for a stop waits for the end of that process, even if the next one is already wanted.
    private func tellStopped() {
        let waiting = stopped
        stopped = []
        for promise in waiting { promise.succeed() }
    }

    private func spawn() {
        // Not at the last one's end: what it printed may be read later.
        redactor.allEnded()
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        do throws(SystemError) {
            let wiring = try WorkerWiring(configuration)
            let (frames, broker, output) = wiring.ours
            let policy = EgressPolicy(
                rules: configuration.egress, ownListeners: configuration.ownListeners,
                machine: IPAddress.ofThisMachine(), ownName: Self.hostName)
            try EgressBroker.start(
                on: broker, policy: policy, patience: configuration.timing.connect, refusals: board.refusals,
                redactor: redactor, logger: logger)
            let theirs = wiring.theirs
            spawner.spawn(
                Spawner.Order(
                    executable: configuration.executable, provider: configuration.provider, output: theirs.output,
                    frames: theirs.frames, broker: theirs.broker, plugin: configuration.plugin.library,
                    lockdown: theirs.lockdown, files: configuration.files.map(\.descriptor)
                ) { [eventLoop] result in
                    eventLoop.execute { bound.value.spawned(result, frames, output) }
                } exited: { [eventLoop] status in
                    eventLoop.execute { bound.value.exited(status) }
                })
        } catch {
            perform(state.spawnFailed(.now(), error.description))
        }
    }

    /// What gethostname(2) says; it may change while the daemon runs.
    private static var hostName: String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { name in
            guard let start = name.baseAddress, gethostname(start, name.count) == 0 else { return "" }
            return String(cString: start)
        }
    }

    /// Gives our ends to the event loop; it closes them.
    private func connect(_ frames: Descriptor, _ output: Descriptor) {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        let showsOutput = configuration.showsOutput
        do throws(SystemError) {
            ClientBootstrap(group: eventLoop)
                .channelOption(.recvAllocator, value: Self.readBuffers)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        bound.value.channel = channel
                        try channel.pipeline.syncOperations.addHandler(FrameHandler(life: bound.value))
                    }
                }
                .withConnectedSocket(try frames.duplicate())
                .whenFailure { error in
                    bound.value.violated("nothing: its socket is of no use (\(error))")
                    bound.value.socketEnded()
                }
            NIOPipeBootstrap(group: eventLoop)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let handler = OutputHandler(life: bound.value, showsLines: showsOutput)
                        try channel.pipeline.syncOperations.addHandler(handler)
                    }
                }
                .takingOwnershipOfDescriptor(input: try output.duplicate())
                .whenFailure { bound.value.violated("nothing: its output is of no use (\($0))") }
        } catch {
            violated("nothing: \(error)")
            if channel == nil { socketEnded() }
        }
    }

    /// Small for a worker that has little to say, and large enough to read hundreds of completions at once.
    private static let readBuffers = AdaptiveRecvByteBufferAllocator(
        minimum: 1 << 11, initial: 1 << 14, maximum: 1 << 18)

    private func sendStart() {
        var buffer = ByteBuffer()
        do throws(FrameTooLarge) {
            try buffer.writeStartFrame(
                window: configuration.window, logLines: configuration.logLines, provider: configuration.provider,
                settings: configuration.settings, fileKeys: configuration.files.map(\.key))
            channel?.writeAndFlush(buffer, promise: nil)
        } catch {
            perform(state.received(.started(refusal: "its settings are too large: \(error)"), .now()))
        }
    }

    private func write(_ frame: (inout ByteBuffer) -> Void) {
        var buffer = ByteBuffer()
        frame(&buffer)
        channel?.writeAndFlush(buffer, promise: nil)
    }

    /// One timer, for the state's next deadline.
    private func keepTime() {
        guard timer?.due != state.due else { return }
        timer?.task.cancel()
        timer = nil
        guard let due = state.due else { return }
        let task = eventLoop.assumeIsolated().scheduleTask(deadline: due) { [self] in
            timer = nil
            perform(state.tick(.now()))
        }
        timer = (due, task)
    }
}

extension Logger.Level {
    fileprivate init(_ level: PluginLogLevel) {
        switch level {
        case .debug: self = .debug
        case .info: self = .info
        case .warning: self = .warning
        case .error: self = .error
        }
    }
}
