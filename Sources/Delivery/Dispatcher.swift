public import EventModel
public import Journal
public import Logging
internal import Synchronization
internal import Threads

/// Takes committed events to the providers: one thread that owns the ``DispatchCore``, and the inbox through which
/// everybody else talks to it. All methods may be called from any thread; none blocks for long.
///
/// Everything that happened since the last turn is taken in at once; then one `JournalChanges` goes to the journal
/// and one buffer of frames to each provider: the number of wake-ups does not grow with the number of events.
public final class Dispatcher: CommitObserver, Sendable {
    private let inbox = DispatchInbox()
    /// The journal, once started.
    let started = Mutex<Journal?>(nil)
    private let clock: @Sendable () -> ClockReading
    private let fatal: @Sendable (String) -> Void

    /// - Parameters:
    ///   - clock: what is waited for is timed by its steady part; the wall clock's is for what counts over restarts.
    ///   - fatal: called when the dispatcher cannot go on, on its thread; the daemon is to exit.
    public init(
        clock: @escaping @Sendable () -> ClockReading, fatal: @escaping @Sendable (String) -> Void
    ) {
        self.clock = clock
        self.fatal = fatal
    }

    /// Reads back what the last run left, then starts the thread. Events may be committed from now on.
    ///
    /// - Parameters:
    ///   - routes: the providers.
    ///   - retention: how long an ended event's id is remembered; milliseconds.
    public func start(
        journal: Journal, vault: Vault, names: AttributeNames, routes: [ProviderRoute], retention: Int64,
        logger: Logger
    ) throws {
        let start = clock()
        let core = try DispatchCore(
            journal: journal, vault: vault, reader: EnvelopeReader(names: names), routes: routes,
            retention: retention, logger: logger, now: start.wall,
            aside: { [inbox] work in
                // It may wait for the disk, which neither the dispatcher nor Swift's tasks should. If there is no thread
                // now: what was wanted is wanted again later.
                try? SystemThread.detached("aside") {
                    let findings = work()
                    inbox.add { $0.questions.append { core, _ in findings(core) } }
                }
            })
        started.withLock { $0 = journal }
        try core.recover(now: start.wall)
        let thread = DispatchThread(
            core: core, inbox: inbox, journal: journal, clock: clock, start: start, fatal: fatal)
        thread.run()
    }

    public func committed(_ events: [CommittedEvent]) {
        inbox.add { $0.events += events }
    }

    /// A worker is ready to take requests.
    public func ready(_ port: any ProviderPort, generation: Int, slot: Int) {
        inbox.add { $0.happenings.append(.ready(port, generation, slot)) }
    }

    /// A worker is gone.
    public func lost(generation: Int, slot: Int, reason: String) {
        inbox.add { $0.happenings.append(.lost(generation, slot, reason)) }
    }

    /// A provider can have no worker until the next start: its deliveries wait.
    public func obstruct(slot: Int, reason: String) {
        inbox.add { batch in
            batch.questions.append { core, _ in
                if let index = core.index(ofSlot: slot) { core.providers[index].route.obstacle = reason }
            }
        }
    }

    /// A worker answered.
    public func answered(_ answers: [(id: UInt64, Completion)], generation: Int, slot: Int) {
        inbox.add { $0.happenings.append(.answered(answers, generation, slot)) }
    }

    /// Ends the thread after a last turn; nothing is sent any more.
    public func stop() async {
        await withCheckedContinuation { continuation in
            inbox.add { $0.stopped = { continuation.resume() } }
        }
    }

    /// How many requests no plugin has answered yet.
    public func inFlight() async -> Int {
        (try? await ask { core, _ in core.providers.reduce(0) { $0 + $1.inFlight.count } }) ?? 0
    }

    public func providers() async throws -> [ProviderReport] {
        try await ask { core, _ in try core.report() }
    }

    public func show(_ delivery: Int64) async throws -> DeliveryReport {
        try await ask { try $0.show(delivery, now: $1) }
    }

    public func retry(_ delivery: Int64) async throws -> BulkReport {
        try await ask { try $0.retry(delivery, now: $1) }
    }

    public func drop(_ delivery: Int64) async throws {
        try await ask { try $0.drop(delivery, now: $1) }
    }

    /// Nothing is sent to a provider until it is said otherwise, restarts included. On disk when this returns; the
    /// caller's thread waits for that. One that goes on is asked at once, if it was held back.
    ///
    /// - Returns: how it stands then; `nil` before the start.
    public func pause(_ provider: String, _ isPaused: Bool) async throws -> ProviderReport? {
        guard let journal = started.withLock(\.self) else { return nil }
        let slot = try await ask { try $0.pause(provider, isPaused, now: $1) }
        try journal.setPaused(isPaused, slot: slot)
        return try await providers().first { $0.name == provider }
    }

    public func explain(instance: String, realm: String, user: String) async throws -> SubjectReport {
        try await ask { try $0.explain(instance: instance, realm: realm, user: user, now: $1) }
    }

    /// Nothing is sent to any provider from now on; what is in flight may end.
    public func holdAll() async throws {
        try await ask { core, _ in
            for index in core.providers.indices { core.providers[index].isPaused = true }
        }
    }

    func ask<Answer: Sendable>(
        _ question: @escaping @Sendable (DispatchCore, Timestamp) throws -> Answer
    ) async throws -> Answer {
        try await withCheckedThrowingContinuation { continuation in
            inbox.add { batch in
                batch.questions.append { core, now in
                    continuation.resume(with: Result { try question(core, now) })
                }
            }
        }
    }
}
