internal import EventModel
internal import Journal
internal import Logging
internal import NIOCore
internal import WorkerProtocol

/// Everything that the dispatcher knows and decides: which provider gets which event, in which order, and what becomes
/// of each delivery. It belongs to the dispatcher's thread; nothing in it is locked, nothing in it waits.
///
/// What happened goes in through its methods; what is to be written collects in ``changes``, what is to be sent goes to
/// the providers' ports.
final class DispatchCore {
    let journal: Journal
    let vault: Vault
    let reader: EnvelopeReader
    let logger: Logger
    var providers: [Provider] = []
    var subjects: SubjectTable
    var bindings: BindingTable
    /// Events whose deliveries are likely to be sent soon, so that they need not be read back.
    var hot = HotEvents()
    /// How many deliveries and dead letters still need an event's secret.
    var secretUses: [Int64: Int] = [:]
    /// Dead letters that still hold a secret, by subject: a newer password ends them.
    var deadSecrets: [Int64: Set<DeliveryKey>] = [:]
    /// What the journal is to be told.
    var changes = JournalChanges() {
        didSet { hasChanges = true }
    }
    private var hasChanges = false
    /// Idempotency keys of deliveries that were retried by hand have a number behind them.
    var manualRetries: [DeliveryKey: Int] = [:]
    /// Every event up to here has been fanned out.
    var fannedOutThrough: Int64 = 0
    private var foldedThrough: Int64 = 0
    var nextRequest: UInt64 = 1
    var random = SystemRandomNumberGenerator()
    private var lastFold = Timestamp(milliseconds: 0)
    private var lastTidy = Timestamp(milliseconds: 0)
    let retention: Int64

    /// One provider and its deliveries.
    struct Provider {
        var route: ProviderRoute
        var lanes = LaneTable()
        var gate: ProviderGate
        var port: (any ProviderPort)?
        var generation = 0
        var inFlight: [UInt64: Flight] = [:]
        /// The request id of the check under way.
        var check: UInt64?
        /// When the check is given up.
        var checkDeadline = Timestamp(milliseconds: 0)
        var isPaused = false
        /// Requests in a row that the plugin did not answer at all.
        var silences = 0
        /// Answers to requests that nobody waits for: a plugin that answers twice or too late.
        var strays = 0
    }

    /// A request that a plugin has not answered yet.
    struct Flight {
        /// What was asked.
        enum Purpose {
            /// Where the account is, before anything is written to it first.
            case locate
            case deliver
        }

        var ticket: LaneTable.Ticket
        var purpose: Purpose
        var deadline: Timestamp
        var isCancelled = false
        var externalID: String?
        /// The account it goes to, once it is known.
        var account: String?
        /// Whether the account is pinned already.
        var isBound: Bool
    }

    init(
        journal: Journal, vault: Vault, reader: EnvelopeReader, routes: [ProviderRoute], retention: Int64,
        logger: Logger
    ) throws {
        self.journal = journal
        self.vault = vault
        self.reader = reader
        self.logger = logger
        self.retention = retention
        subjects = try SubjectTable(journal: journal, vault: vault)
        bindings = BindingTable(journal: journal, vault: vault)
        providers = routes.map { Provider(route: $0, gate: ProviderGate(retry: $0.disposition.retry)) }
    }

    /// Takes up where the last run ended: deliveries that had not ended, events that had not been fanned out.
    func recover(now: Timestamp) throws {
        let progress = try journal.progress()
        fannedOutThrough = progress.fannedOutThrough
        foldedThrough = progress.foldedThrough
        try journal.forEachDelivery { stored in
            if stored.id.deliveryClass == .credential { secretUses[stored.id.sequence, default: 0] += 1 }
            guard let index = index(ofSlot: stored.id.slot) else { return }
            let superseded = providers[index].lanes.enqueue(
                stored.id, subject: stored.subject, kind: stored.kind, attempt: stored.attempt, due: stored.due,
                now: now)
            if let superseded { end(superseded, as: "superseded", provider: index) }
        }
        for letter in try journal.deadLetters(.all) where letter.id.deliveryClass == .credential {
            secretUses[letter.id.sequence, default: 0] += 1
            deadSecrets[letter.subject, default: []].insert(letter.id)
        }
        try journal.forEachEvent(after: min(fannedOutThrough, foldedThrough)) { stored in
            guard let header = try header(of: stored) else { return }
            if stored.sequence <= fannedOutThrough {
                try refold(header, stored, now: now)
            } else {
                try fanOut(
                    header, sequence: stored.sequence, received: stored.received, hasStoredSecret: header.hasSecret,
                    now: now)
            }
        }
    }

    func index(ofSlot slot: Int) -> Int? {
        providers.firstIndex { $0.route.slot == slot }
    }

    func index(named name: String) -> Int? {
        providers.firstIndex { $0.route.name == name }
    }

    /// Reads an event of the journal again.
    func header(of stored: StoredEvent) throws -> EventHeader? {
        let body = try vault.openBody(stored.body, id: stored.id)
        return try body.withUnsafeBytes { try reader.read($0, isStored: true).header }
    }

    /// Counts for the conservation law: what is made ends as one of the others, or still waits.
    func count(_ name: String, provider index: Int, _ delta: Int64 = 1) {
        changes.counters[CounterKey(slot: providers[index].route.slot, name: name), default: 0] += delta
    }

    /// A delivery is over: its row goes, and its secret with the last that needs it.
    func end(_ key: DeliveryKey, as name: String, provider index: Int, keepsSecret: Bool = false) {
        changes.deliveries.append(.end(key))
        count(name, provider: index)
        if key.deliveryClass == .credential, !keepsSecret { releaseSecret(of: key.sequence) }
    }

    func releaseSecret(of sequence: Int64) {
        guard let uses = secretUses[sequence] else { return }
        guard uses <= 1 else {
            secretUses[sequence] = uses - 1
            return
        }
        secretUses[sequence] = nil
        changes.erasedSecrets.append(sequence)
        hot.forgetSecret(of: sequence)
    }

    /// Hands over what the journal is to be told; `nil` if that is nothing.
    func takeChanges() -> JournalChanges? {
        guard hasChanges else { return nil }
        let taken = changes
        changes = JournalChanges()
        hasChanges = false
        return taken
    }

    /// How long there is nothing to do unless something happens; milliseconds. An idle daemon wakes once in a while
    /// only; one that waits for an answer or a time, when that is due.
    func idleTime(now: Timestamp) -> Int64 {
        var idle: Int64 = subjects.hasChanges || foldedThrough != fannedOutThrough ? 2_000 : 60_000
        for provider in providers {
            if !provider.inFlight.isEmpty || provider.check != nil { idle = min(idle, 500) }
            guard provider.port != nil, !provider.isPaused else { continue }
            if let wakeUp = provider.gate.wakeUp { idle = min(idle, wakeUp - now) }
            if provider.gate.isOpen, let due = provider.lanes.nextDue { idle = min(idle, due - now) }
        }
        return max(0, idle)
    }

    /// What is done again and again: states are written, deadlines watched, old things let go.
    func housekeep(now: Timestamp) throws {
        watchDeadlines(now: now)
        if now - lastFold >= 2_000 {
            lastFold = now
            subjects.fold(into: &changes, now: now)
            if foldedThrough != fannedOutThrough {
                foldedThrough = fannedOutThrough
                changes.foldedThrough = foldedThrough
            }
        }
        if now - lastTidy >= 60_000 {
            lastTidy = now
            bindings.tidy(now: now)
            try endOldSecrets(now: now)
            try retire(now: now)
        }
    }

    /// A dead letter keeps its password for a day.
    private func endOldSecrets(now: Timestamp) throws {
        for (subject, keys) in deadSecrets {
            for key in keys {
                guard let letter = try journal.deadLetter(key), now - letter.at >= 86_400_000 else { continue }
                endDeadSecret(key, of: subject)
            }
        }
    }

    func endDeadSecret(_ key: DeliveryKey, of subject: Int64) {
        guard deadSecrets[subject]?.remove(key) != nil else { return }
        if deadSecrets[subject]?.isEmpty == true { deadSecrets[subject] = nil }
        releaseSecret(of: key.sequence)
    }

    /// Events that nobody needs any more go, a few thousand at a time.
    private func retire(now: Timestamp) throws {
        let retirable = try journal.retirableEvents(
            before: now + -retention, through: min(foldedThrough, fannedOutThrough), atMost: 4_096)
        if let retirable { changes.endedEvents.append(retirable) }
    }
}
