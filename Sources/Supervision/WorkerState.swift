internal import NIOCore
internal import WorkerProtocol

/// What a provider's process is doing and what has to be done about it. Decides; `Worker` does.
///
/// ```
///                            ┌───────────── stop ────────────────────────────┐
///   idle ─ start ─▶ spawning ─▶ loading ─ READY ─▶ starting ─ STARTED ─▶ running ─ stop ─▶ stopping
///    ▲                 ▲           └──────┬────────────┴──────────┬────────┘                 │
///    │                 │                  ▼                       ▼                          │
///    │              waiting ◀── wanted ── ending ◀── kill, end of socket, exit ◀─────────────┘
///    └──────────────── not wanted ──────────┘
/// ```
///
/// A worker is over when both its socket and its process have ended: only then has everything been read that it ever
/// completed, and only then is the loss told.
struct WorkerState {
    /// In which part of its life the process is.
    enum Phase: Hashable {
        /// There is no process and none is wanted.
        case idle
        /// One is being made.
        case spawning
        /// It locks itself down and loads the plugin.
        case loading
        /// The plugin has its settings and has not answered yet.
        case starting
        /// It takes requests.
        case running
        /// It has been asked to stop; it may still complete requests.
        case stopping
        /// It is lost, and the rest of it is awaited; while the reason is `nil`, its last frame or its exit will tell.
        case ending(WorkerLoss?)
        /// It is lost, and the next one comes after a while.
        case waiting
    }

    /// What is to be done.
    enum Action: Hashable {
        case spawn
        case sendStart
        case sendPing
        case sendStop
        case kill
        /// The worker takes requests from now on.
        case tellReady(WorkerReady)
        /// The worker of this generation is over, after it took requests or before.
        case tellLost(generation: UInt64, WorkerLoss)
        /// Nothing is left and nothing is wanted.
        case tellIdle
    }

    private(set) var phase = Phase.idle
    /// Counts the processes; 0 before the first.
    private(set) var generation: UInt64 = 0
    /// When ``tick(_:)`` has something to do; `nil` = never.
    private(set) var due: NIODeadline?
    private(set) var lastLoss: WorkerLoss?
    /// What the present worker said of itself, or the last one that said anything.
    private(set) var ready: WorkerReady?

    private let timing: WorkerTiming
    private let required: SandboxLayers
    private var isWanted = false
    private var hasProcess = false
    private var hasSocket = false
    private var exit: ExitStatus?
    private var isPinged = false
    private var lastProgress = NIODeadline.distantPast
    private var runningSince: NIODeadline?
    /// Workers lost in a row, none of which served long enough to count as healthy.
    private var losses = 0

    /// - Parameter required: The layers without which a worker is killed.
    init(timing: WorkerTiming, required: SandboxLayers) {
        self.timing = timing
        self.required = required
    }

    /// Whether completions may come in this phase.
    var mayComplete: Bool {
        switch phase {
        case .running, .stopping: true
        // What it completed before its socket was read to the end.
        case .ending: runningSince != nil
        case .idle, .spawning, .loading, .starting, .waiting: false
        }
    }

    // MARK: What is wanted

    mutating func start(_ now: NIODeadline) -> [Action] {
        isWanted = true
        return phase == .idle ? spawn(now) : []
    }

    /// - Parameter patience: How long the plugin has to let go of its target.
    mutating func stop(_ now: NIODeadline, patience: TimeAmount) -> [Action] {
        isWanted = false
        switch phase {
        case .idle: return [.tellIdle]
        case .waiting: return becomeIdle()
        case .spawning, .loading, .starting: return end(.stopped)
        case .running:
            phase = .stopping
            due = now + patience
            return [.sendStop]
        case .stopping, .ending: return []
        }
    }

    /// The process is not trusted any more; there will be another.
    mutating func giveUp(_ why: String) -> [Action] {
        phase == .running ? end(.givenUp(why)) : []
    }

    // MARK: What happens

    /// The process is there, and its socket is connected.
    mutating func spawned() -> [Action] {
        hasProcess = true
        hasSocket = true
        // It may have been given up while it was being made.
        guard phase == .spawning else { return [.kill] }
        phase = .loading
        return []
    }

    mutating func spawnFailed(_ now: NIODeadline, _ why: String) -> [Action] {
        if case .ending = phase {} else { phase = .ending(.notSpawned(why)) }
        return overIfNothingIsLeft(now)
    }

    /// A frame, other than completions, log lines and metrics.
    mutating func received(_ frame: WorkerFrame, _ now: NIODeadline) -> [Action] {
        switch (frame, phase) {
        case (.ready(let ready), .loading):
            self.ready = ready
            let missing = required.subtracting(ready.layers)
            guard missing.isEmpty else { return end(.unprotected(missing: missing)) }
            phase = .starting
            return [.sendStart]
        case (.started(refusal: let why?), .starting), (.started(refusal: let why?), .ending(nil)):
            return end(.refused(why))
        case (.started(refusal: nil), .starting):
            guard let ready else { return [] }
            phase = .running
            runningSince = now
            progressed(now)
            due = now + timing.ping
            return [.tellReady(ready)]
        case (_, .ending(.some)):
            return []
        case (.failed(let stage, let why), _):
            return end(.failed(stage, why))
        case (_, .ending(nil)):
            // Its process had ended before this was read.
            return []
        case (.pong, .running):
            progressed(now)
            return []
        case (.pong, .stopping):
            return []
        default:
            return violated("a frame at the wrong time (\(frame.name) while \(phase.seen))")
        }
    }

    /// Requests were completed: whoever does that is alive.
    mutating func progressed(_ now: NIODeadline) {
        lastProgress = now
        isPinged = false
    }

    mutating func violated(_ what: String) -> [Action] {
        if case .ending(.some) = phase { return [] }
        return end(.violation(what))
    }

    /// The worker's end of the socket is closed, and everything in it was read.
    mutating func socketEnded(_ now: NIODeadline) -> [Action] {
        hasSocket = false
        switch phase {
        case .loading, .starting, .running, .stopping:
            if phase != .stopping { phase = .ending(nil) }
            // A process that ends closes its socket a little earlier. One that closed it on purpose must not stay.
            due = now + timing.exit
        case .ending, .idle, .spawning, .waiting: break
        }
        return overIfNothingIsLeft(now)
    }

    mutating func exited(_ status: ExitStatus, _ now: NIODeadline) -> [Action] {
        hasProcess = false
        due = nil
        exit = status
        switch phase {
        case .ending: break
        case .stopping where status == .exited(code: 0): phase = .ending(.stopped)
        // Its last words may still be in the socket, and say more than the status.
        default: phase = .ending(nil)
        }
        return overIfNothingIsLeft(now)
    }

    /// Time has passed.
    mutating func tick(_ now: NIODeadline) -> [Action] {
        guard let due, due <= now else { return [] }
        switch phase {
        case .idle: return []
        case .spawning, .loading, .starting: return end(.startTimeout)
        case .running:
            if isPinged { return end(.unresponsive) }
            guard lastProgress + timing.ping <= now else {
                self.due = lastProgress + timing.ping
                return []
            }
            isPinged = true
            self.due = now + timing.pong
            return [.sendPing]
        case .stopping: return end(.stopTimeout)
        case .ending(let reason): return end(reason ?? .hungUp)
        case .waiting: return spawn(now)
        }
    }

    // MARK: Steps

    private mutating func spawn(_ now: NIODeadline) -> [Action] {
        phase = .spawning
        generation += 1
        due = now + timing.start
        runningSince = nil
        exit = nil
        return [.spawn]
    }

    /// SIGKILL cannot be refused, so there is no deadline for what comes next.
    private mutating func end(_ reason: WorkerLoss) -> [Action] {
        phase = .ending(reason)
        due = nil
        return hasProcess ? [.kill] : []
    }

    private mutating func overIfNothingIsLeft(_ now: NIODeadline) -> [Action] {
        guard !hasProcess, !hasSocket, case .ending(let reason) = phase else { return [] }
        let loss = reason ?? exit.map(WorkerLoss.init) ?? .hungUp
        lastLoss = loss
        let tell = Action.tellLost(generation: generation, loss)
        guard isWanted else { return [tell] + becomeIdle() }
        // It was stopped, and wanted again before it was over.
        guard loss != .stopped else { return [tell] + spawn(now) }
        let wasHealthy = runningSince.map { $0 + timing.healthy <= now } ?? false
        losses = wasHealthy ? 1 : losses + 1
        phase = .waiting
        due = now + timing.restart(afterLosing: losses)
        return [tell]
    }

    private mutating func becomeIdle() -> [Action] {
        phase = .idle
        due = nil
        losses = 0
        return [.tellIdle]
    }
}

extension WorkerState.Phase {
    /// The phase as others see it.
    var seen: WorkerStatus.State {
        switch self {
        case .idle: .idle
        case .spawning, .loading, .starting: .starting
        case .running: .running
        case .stopping: .stopping
        case .ending: .ending
        case .waiting: .waiting
        }
    }
}

extension WorkerFrame {
    fileprivate var name: String {
        switch self {
        case .ready: "READY"
        case .started: "STARTED"
        case .done: "DONE"
        case .log: "LOG"
        case .metric: "METRIC"
        case .pong: "PONG"
        case .failed: "FAILED"
        }
    }
}
