internal import EventModel
internal import Journal
internal import Threads

/// The thread that owns the core: takes the inbox, lets the core decide, hands the changes to the journal.
final class DispatchThread: @unchecked Sendable {  // touched by its own thread only, once started
    private let core: DispatchCore
    private let inbox: DispatchInbox
    private let journal: Journal
    private let clock: @Sendable () -> ClockReading
    /// When the core's clock was set.
    private let start: ClockReading
    private let fatal: @Sendable (String) -> Void

    init(
        core: DispatchCore, inbox: DispatchInbox, journal: Journal, clock: @escaping @Sendable () -> ClockReading,
        start: ClockReading, fatal: @escaping @Sendable (String) -> Void
    ) {
        self.core = core
        self.inbox = inbox
        self.journal = journal
        self.clock = clock
        self.start = start
        self.fatal = fatal
    }

    func run() {
        do {
            try SystemThread.detached("dispatcher") { self.work() }
        } catch {
            preconditionFailure("no thread for the dispatcher: \(error)")
        }
    }

    private func work() {
        var stopped: (() -> Void)?
        while stopped == nil {
            let batch = inbox.take(waiting: core.idleTime(now: clock().time(since: start)))
            let reading = clock()
            do {
                try turn(batch, now: reading.time(since: start), wall: reading.wall)
            } catch {
                return fatal("the dispatcher cannot go on: \(error)")
            }
            stopped = batch.stopped
        }
        stopped?()
    }

    private func turn(_ batch: DispatchInbox.Batch, now: Timestamp, wall: Timestamp) throws {
        for happening in batch.happenings {
            switch happening {
            case .ready(let port, let generation, let slot):
                core.portReady(port, generation: generation, slot: slot, now: now)
            case .lost(let generation, let slot, let reason):
                core.portLost(generation: generation, slot: slot, reason: reason, now: now)
            case .answered(let answers, let generation, let slot):
                core.answered(answers, generation: generation, slot: slot, now: now)
            }
        }
        if !batch.events.isEmpty { try core.committed(batch.events, now: now) }
        for question in batch.questions { question(core, now) }
        try core.housekeep(now: now, wall: wall)
        if batch.stopped == nil { core.pump(now: now) }
        let changes = core.takeChanges()
        if let changes { try journal.submit(changes) }
    }
}
