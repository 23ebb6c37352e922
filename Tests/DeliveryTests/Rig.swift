import Credentials
@testable import Delivery
import Dispatch
import EventModel
import Glibc
import Journal
import Logging
import NIOCore
import Synchronization
import Testing
import Workbench

/// A folder that goes with the test.
final class TemporaryFolder: Sendable {
    let path: String

    /// - Parameter inMemory: where there is a file system in memory, there: many schedules need no disk.
    init(inMemory: Bool = false) throws {
        let parent = inMemory && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"
        var template = Array("\(parent)/delivery-test-XXXXXX".utf8CString)
        path = try #require(mkdtemp(&template).map { String(cString: $0) })
    }

    deinit {
        for name in ["journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm", "lock"] {
            unlink("\(path)/journal/\(name)")
        }
        rmdir("\(path)/journal")
        unlink("\(path)/key")
        rmdir(path)
    }
}

/// Hears of commits, and lets the test's thread wait for them.
final class CommitWitness: CommitObserver {
    private let events = Mutex<[CommittedEvent]>([])
    private let heard = DispatchSemaphore(value: 0)

    func committed(_ events: [CommittedEvent]) {
        self.events.withLock { $0 += events }
        heard.signal()
    }

    func next() throws -> [CommittedEvent] {
        try #require(heard.wait(timeout: .now() + 60) == .success, "the journal does not commit")
        return events.withLock { events in
            defer { events = [] }
            return events
        }
    }
}

/// Tells when a barrier is passed.
private final class BarrierGroup: CommitGroup {
    private let done: DispatchSemaphore

    init(_ done: DispatchSemaphore) {
        self.done = done
    }

    func committed(_ results: [CommitResult]) { done.signal() }
    func failed(_ tokens: [UInt64], _ failure: CommitFailure) {}
}

/// The dispatcher's core over a real journal, with the test in the place of its thread, its clock and its workers.
final class Rig {
    let routes: [ProviderRoute]
    let folder: TemporaryFolder
    private(set) var now = Timestamp(milliseconds: 1_800_014_400_000)
    /// How far the wall clock was set since the daemon's start; milliseconds.
    private var wallOffset: Int64 = 0
    private(set) var core: DispatchCore
    private(set) var journal: Journal
    private(set) var vault: Vault
    private(set) var ports: [Int: Port] = [:]
    private var sealer: Sealer
    private var witness: CommitWitness
    private var generation = 0
    private var random: SplitMix
    /// What the core wants written and the journal has not got yet: a kill loses it.
    private var unsent: [JournalChanges] = []
    private var lastEvent: Ticket?
    /// Whether changes wait until ``flush()``.
    var holdsChanges = false
    private let retention: Int64

    /// - Parameter retention: how long an ended event is kept; milliseconds.
    init(
        _ routes: [ProviderRoute]? = nil, seed: UInt64 = 1, retention: Int64 = 86_400_000,
        in folder: TemporaryFolder? = nil
    ) throws {
        self.routes = routes ?? [.test()]
        self.retention = retention
        self.folder = try folder ?? TemporaryFolder()
        random = SplitMix(state: seed)
        (journal, vault, sealer, witness, core) = try Self.open(
            self.folder, self.routes, retention, now, random.next())
        try core.recover(now: now)
        connect()
    }

    /// Nothing of it stays: a journal that is not closed keeps its thread and five descriptors.
    deinit {
        do {
            try journal.close()
        } catch {
            Issue.record("the journal does not close: \(error)")
        }
    }

    private static func open(
        _ folder: TemporaryFolder, _ routes: [ProviderRoute], _ retention: Int64, _ now: Timestamp, _ seed: UInt64
    ) throws -> (Journal, Vault, Sealer, CommitWitness, DispatchCore) {
        let ring = try KeyRing.open(path: "\(folder.path)/key", now: now)
        let journal = try Journal(folder: "\(folder.path)/journal")
        let stored = try journal.dataKeys().compactMap {
            WrappedKey(
                id: $0.id, purpose: $0.purpose, ringKey: $0.ringKey, created: $0.created, wrapped: $0.wrapped)
        }
        let keys = try DataKeys(ring: ring, stored: stored) { key in
            var changes = JournalChanges()
            changes.dataKeys.append(
                .put(
                    DataKeyRow(
                        id: key.id, purpose: key.purpose.rawValue, ringKey: key.ringKey, created: key.created,
                        wrapped: key.wrapped)))
            try? journal.submit(changes)
        }
        for route in routes { _ = try journal.slot(for: route.name) }
        let sealer = Sealer(keys: keys)
        let vault = Vault(sealer: sealer, ring: ring)
        var logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        logger.logLevel = .critical
        let box = CoreBox()
        let core = try DispatchCore(
            journal: journal, vault: vault, reader: EnvelopeReader(), routes: routes, retention: retention,
            logger: logger, now: now, random: SplitMix(state: seed), aside: { work in box.core.map { work()($0) } })
        box.core = core
        let witness = CommitWitness()
        journal.start(observer: witness) { Issue.record("the journal died: \($0)") }
        return (journal, vault, sealer, witness, core)
    }

    private final class CoreBox {
        weak var core: DispatchCore?
    }

    // MARK: What happens

    /// Posts an event; it is on disk, and fanned out, when this returns.
    ///
    /// - Returns: its number in the journal.
    @discardableResult
    func post(_ event: TestEvent) throws -> Int64 {
        lastEvent = try journal.submit(record(of: event), group: nil, token: 0)
        let events = try witness.next()
        try core.committed(events, now: now)
        try turn()
        return try #require(events.first).sequence
    }

    /// Posts many events at once.
    func post(_ events: [TestEvent]) throws {
        lastEvent = try journal.submit(events.map(record), group: nil, token: 0)
        var left = events.count
        while left > 0 {
            let committed = try witness.next()
            try core.committed(committed, now: now)
            left -= committed.count
        }
        try turn()
    }

    private func record(of event: TestEvent) throws -> EventRecord {
        var body = event.body(now: wall)
        return try body.withUnsafeMutableBytes { body in
            let envelope = try EnvelopeReader().read(UnsafeRawBufferPointer(body))
            let header = envelope.header
            var secret: [UInt8]?
            var stored = Array(body)
            if let range = envelope.secret {
                secret = sealer.seal(
                    UnsafeRawBufferPointer(rebasing: body[range]), as: .secret, in: header.secretContext, at: wall)
                stored.removeSubrange(range)
            }
            return EventRecord(
                id: header.id, mac: Hash128(1, 2), kind: header.kind, received: wall, source: "prod",
                flags: secret == nil ? [] : .hasSecret,
                body: stored.withUnsafeBytes {
                    sealer.seal($0, as: .body, in: SealContext(event: header.id), at: wall)
                }, secret: secret, context: header)
        }
    }

    /// One turn of the dispatcher's thread.
    func turn() throws {
        try core.housekeep(now: now, wall: wall)
        core.pump(now: now)
        if let changes = core.takeChanges() { unsent.append(changes) }
        if !holdsChanges { try send() }
    }

    private func send() throws {
        for changes in unsent { try journal.submit(changes) }
        unsent = []
    }

    /// Waits until everything is on disk.
    func flush() throws {
        try send()
        let done = DispatchSemaphore(value: 0)
        if let lastEvent {
            // A barrier is committed at once, and what was submitted before it with it.
            try journal.submit(barrier: lastEvent, group: BarrierGroup(done), token: 0)
        } else {
            var barrier = JournalChanges()
            barrier.onCommit = { _ in done.signal() }
            try journal.submit(barrier)
        }
        try #require(done.wait(timeout: .now() + 60) == .success, "the journal does not commit")
    }

    func advance(_ milliseconds: Int64) throws {
        now = now + milliseconds
        try turn()
    }

    /// What the wall clock says.
    var wall: Timestamp { now + wallOffset }

    /// Somebody sets the wall clock.
    func setClock(ahead milliseconds: Int64) {
        wallOffset += milliseconds
    }

    /// The clock goes on, and nobody looks.
    func sleep(_ milliseconds: Int64) throws {
        now = now + milliseconds
    }

    /// All workers are ready.
    func connect() {
        for route in routes where ports[route.slot] == nil {
            generation += 1
            let port = Port()
            ports[route.slot] = port
            core.portReady(port, generation: generation, slot: route.slot, now: now)
        }
    }

    func loseWorker(_ slot: Int = 0) throws {
        guard ports.removeValue(forKey: slot) != nil, let index = core.index(ofSlot: slot) else { return }
        core.portLost(generation: core.providers[index].generation, slot: slot, reason: "killed", now: now)
        try turn()
    }

    /// The daemon ends and starts again.
    ///
    /// - Parameter killed: what was not handed to the journal is lost.
    func restart(killed: Bool = false, routes: [ProviderRoute]? = nil) throws {
        if killed { unsent = [] } else { try send() }
        try journal.close()
        ports = [:]
        lastEvent = nil
        now = wall
        wallOffset = 0
        (journal, vault, sealer, witness, core) = try Self.open(
            folder, routes ?? self.routes, retention, now, random.next())
        try core.recover(now: now)
        connect()
        try turn()
    }

    /// Answers a request.
    func answer(_ request: SeenRequest, _ completion: Completion, slot: Int = 0) throws {
        ports[slot]?.take(request.id)
        let index = try #require(core.index(ofSlot: slot))
        core.answered([(request.id, completion)], generation: core.providers[index].generation, slot: slot, now: now)
        try turn()
    }

    /// Answers the only request there is.
    @discardableResult
    func answer(
        _ outcome: Outcome, account: String? = nil, detail: String = "", retryAfter: UInt32 = 0, slot: Int = 0
    ) throws -> SeenRequest {
        let request = try only(slot)
        try answer(
            request, Completion(outcome, detail: detail, account: account, retryAfter: retryAfter), slot: slot)
        return request
    }

    func answerCheck(_ outcome: Outcome, slot: Int = 0) throws {
        let index = try #require(core.index(ofSlot: slot))
        let check = try #require(ports[slot]?.takeChecks().last)
        core.answered(
            [(check, Completion(outcome, detail: "check"))], generation: core.providers[index].generation, slot: slot,
            now: now)
        try turn()
    }

    // MARK: What can be seen

    func requests(_ slot: Int = 0) -> [SeenRequest] { ports[slot]?.requests ?? [] }

    func only(_ slot: Int = 0, sourceLocation: SourceLocation = #_sourceLocation) throws -> SeenRequest {
        let requests = requests(slot)
        try #require(requests.count == 1, "\(requests)", sourceLocation: sourceLocation)
        return requests[0]
    }

    func report(_ slot: Int = 0) throws -> ProviderReport {
        let reports = try core.report()
        return reports[try #require(core.index(ofSlot: slot))]
    }

    /// The counters of a provider that are not zero, without `made`.
    func ended(_ slot: Int = 0) throws -> [String: Int64] {
        try report(slot).counters.filter { $0.key != "made" && $0.value != 0 }
    }

    /// The events whose secrets are on disk.
    func storedSecrets() throws -> [Int64] {
        try flush()
        return try journal.eventsWithSecrets()
    }
}

extension ProviderRoute {
    /// A provider that takes everything; each has a name of its own.
    static func test(
        _ slot: Int = 0, kinds: Set<EventKind> = Set(EventKind.allCases), notify: TargetingRule.Notify = .eligible,
        needsExternalID: Bool = true, giveUpAfter: Int64 = defaultGiveUpAfter, window: Int = 16,
        canCheck: Bool = true, canRead: Bool = false, isObserving: Bool = false, takesTemporaryPasswords: Bool = false
    ) -> ProviderRoute {
        ProviderRoute(
            slot: slot, name: "provider-\(slot)",
            targeting: TargetingRule(
                kinds: kinds, userTypes: .some(["employee"]), notify: notify, needsExternalID: needsExternalID,
                takesTemporaryPasswords: takesTemporaryPasswords),
            classes: Set(DeliveryClass.allCases),
            mapping: AttributeMapping(rules: [.init(target: "mail", origin: .email)]), giveUpAfter: giveUpAfter,
            window: window, canCheck: canCheck, canRead: canRead, isObserving: isObserving)
    }
}
