internal import Credentials
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
///
/// `now` is the time of a clock that was set by the wall clock at the start and runs evenly since: no wait gets longer or
/// shorter because somebody sets the clock. Ages that count over restarts go by the wall clock, while it is trusted.
final class DispatchCore {
    let journal: Journal
    let vault: Vault
    let reader: EnvelopeReader
    let logger: Logger
    var providers: [Provider] = []
    var subjects: SubjectTable
    var bindings: BindingTable
    /// Events whose deliveries have not ended, so that they need not be read back.
    var hot = HotEvents()
    /// How many deliveries and dead letters still need an event's secret.
    var secretUses: [Int64: Int] = [:]
    /// Dead letters that still hold a secret, by subject, and since when: a newer password ends them.
    var deadSecrets: [Int64: [DeliveryKey: Timestamp]] = [:]
    /// Dead letters that are gone, whatever the disk says, and the number of the changes that say so.
    var removedLetters: [DeliveryKey: UInt64] = [:]
    /// Waiting deliveries of providers that are not configured any more.
    var orphans = OrphanTable()
    /// Those of the orphans up to this event have expired.
    private var orphansExpiredThrough: Int64 = 0
    /// Dead letters of a kind that there is not.
    var unreadableLetters = 0
    /// What the journal is to be told.
    var changes = JournalChanges() {
        didSet { hasChanges = true }
    }
    private var hasChanges = false
    /// The number of ``changes`` among all that were ever handed over.
    private(set) var changeNumber: UInt64 = 1
    private let ledger = CommitLedger()
    /// The counters since the journal began, with what is not on disk yet.
    private(set) var totals: [CounterKey: Int64] = [:]
    /// Idempotency keys of deliveries that were retried by hand have a number behind them.
    var manualRetries: [DeliveryKey: Int] = [:]
    /// What targets said last about deliveries that wait, for lists; not kept over a restart.
    private(set) var lastWords: [DeliveryKey: String] = [:]
    /// Every event up to here has been fanned out.
    var fannedOutThrough: Int64 = 0
    private var foldedThrough: Int64 = 0
    var nextRequest: UInt64 = 1
    var random: any RandomNumberGenerator
    private var lastFold = Timestamp(milliseconds: 0)
    private var lastTidy = Timestamp(milliseconds: 0)
    private(set) var watch: ClockWatch
    /// What the wall clock showed when the journal was told of it.
    private var clockNoted = Timestamp(milliseconds: 0)
    /// Which events have reached an age at which deliveries end, by that age in milliseconds. Each search begins below the
    /// oldest delivery that waited at the start.
    private var oldEvents: [Int64: OldEvents] = [:]
    /// Which events have reached the age at which they may go.
    private var retiring = OldEvents()
    /// Where the search for events that nobody needs any more goes on; `nil` if it is done for this time.
    private var retiresFrom: Int64?
    /// The data key for secrets when unused ones were last looked for.
    private var lastKey: UInt32 = 0
    let retention: Int64
    /// Reads of the journal that may take long are done beside the dispatcher's thread; what they found comes back to it.
    let aside: (@escaping @Sendable () -> @Sendable (DispatchCore) -> Void) -> Void

    /// One provider and its deliveries.
    struct Provider {
        var route: ProviderRoute
        var lanes = LaneTable()
        var gate: ProviderGate
        /// `nil` without a worker, and from the moment when the worker is to end: nothing is sent to it any more.
        var port: (any ProviderPort)?
        var generation = 0
        var inFlight: [UInt64: Flight] = [:]
        /// The request id of the check under way.
        var check: UInt64?
        /// When the check is given up.
        var checkDeadline = Timestamp(milliseconds: 0)
        /// By an operator, until the operator says otherwise; or because the daemon ends.
        var isPaused = false
        /// Deliveries of events up to here are too old.
        var expiredThrough: Int64 = 0
        /// Up to this event nothing that can expire waited at the start, so nobody has looked how old those are.
        var expirySeed: Int64 = 0
        /// Judges answers to requests that nobody waits for; of this worker, anew for the next.
        var strays = StrayAnswers()
    }

    /// A request that a plugin has not answered yet.
    struct Flight {
        /// What was asked.
        enum Purpose {
            /// Where the account is, before anything is written to it first.
            case locate
            case deliver
        }

        /// How long its answer is waited for.
        enum Patience {
            case untilDeadline
            /// It was cancelled, and may still be answered.
            case untilGraceEnds
            /// The worker ends for it.
            case over
        }

        var ticket: LaneTable.Ticket
        var purpose: Purpose
        /// When the patience ends.
        var deadline: Timestamp
        var patience = Patience.untilDeadline
        var externalID: String?
        /// The account it goes to, once it is known.
        var account: String?
        /// Whether the account is pinned already.
        var isBound: Bool
        /// What it has reserved, to be released when it ends.
        var claims: [BindingTable.Claim] = []
    }

    /// - Parameters:
    ///   - now: the wall clock's time, by which the core's own is set.
    ///   - retention: how long an ended event's id is remembered; milliseconds.
    ///   - random: where the jitter of retries comes from.
    ///   - aside: runs its argument on another thread, and what that returns on the dispatcher's.
    init(
        journal: Journal, vault: Vault, reader: EnvelopeReader, routes: [ProviderRoute], retention: Int64,
        logger: Logger, now: Timestamp, random: any RandomNumberGenerator = SystemRandomNumberGenerator(),
        aside: @escaping (@escaping @Sendable () -> @Sendable (DispatchCore) -> Void) -> Void
    ) throws {
        self.journal = journal
        self.vault = vault
        self.reader = reader
        self.logger = logger
        self.retention = retention
        self.random = random
        self.aside = aside
        subjects = try SubjectTable(journal: journal, vault: vault)
        bindings = BindingTable(journal: journal, vault: vault)
        let paused = try journal.pausedSlots()
        providers = routes.map {
            Provider(
                route: $0, gate: ProviderGate(retry: $0.disposition.retry), isPaused: paused.contains($0.slot))
        }
        totals = try journal.counters()
        watch = ClockWatch(wall: now, steady: now, last: try journal.clock())
    }

    /// Takes up where the last run ended: deliveries that had not ended, events that had not been fanned out.
    func recover(now: Timestamp) throws {
        if let doubt = watch.doubt { tell(.doubted(doubt)) }
        let progress = try journal.progress()
        fannedOutThrough = progress.fannedOutThrough
        foldedThrough = progress.foldedThrough
        // By the age at which they expire.
        var oldest: [Int64: Int64] = [:]
        var password: DeliveryRow?
        var damaged: [DeliveryRow] = []
        try journal.forEachDelivery { stored in
            if let age = age(atWhichExpires: stored) {
                oldest[age] = min(oldest[age] ?? .max, stored.id.sequence)
            }
            guard stored.kind != nil else { return damaged.append(stored) }
            // A creation goes before the password that came with it, though its number is the larger one.
            let isPair =
                stored.id.deliveryClass == .lifecycle && stored.id.sequence == password?.id.sequence
                && stored.id.slot == password?.id.slot
            if !isPair, let earlier = password.take() { takeUp(earlier, now: now) }
            if stored.id.deliveryClass == .credential { password = stored } else { takeUp(stored, now: now) }
        }
        if let password { takeUp(password, now: now) }
        for age in Set(providers.map(\.route.giveUpAfter) + [ProviderRoute.defaultGiveUpAfter]) {
            let seed = min(fannedOutThrough, (oldest[age] ?? .max) - 1)
            oldEvents[age] = OldEvents(after: seed)
            for index in providers.indices where providers[index].route.giveUpAfter == age {
                providers[index].expirySeed = seed
            }
        }
        try takeUp(try journal.deadLetters(.all), now: now)
        for row in damaged { endDamaged(row) }
        try journal.forEachEvent(after: min(fannedOutThrough, foldedThrough)) { stored in
            let header: EventHeader?
            do {
                header = try self.header(of: stored)
            } catch {
                // One damaged event is named and left out; a wrong key file would not have come this far.
                logger.critical(
                    "event not readable",
                    metadata: ["event.seq": "\(stored.sequence)", "event.id": "\(stored.id)", "error": "\(error)"])
                count("damaged-events", slot: CounterKey.daemon)
                header = nil
            }
            if stored.sequence <= fannedOutThrough {
                if let header { try refold(header, stored, now: now) }
            } else if let header {
                try fanOut(
                    header, sequence: stored.sequence, received: stored.received, hasStoredSecret: header.hasSecret,
                    now: now)
            } else {
                // Nothing will be made of it, so nothing needs its password.
                if stored.secret != nil { changes.erasedSecrets.append(stored.sequence) }
                fannedOutThrough = stored.sequence
                changes.fannedOutThrough = stored.sequence
            }
        }
        for report in try orphanReports() {
            logger.warning(
                "deliveries wait for a provider that is not in the settings",
                metadata: ["provider": "\(report.name)", "count": "\(report.waiting)"])
        }
    }

    /// A row of which nobody can tell what it is of ends, for nothing would ever end it.
    private func endDamaged(_ row: DeliveryRow) {
        let key = row.id
        logger.critical(
            "delivery not readable",
            metadata: [
                "delivery": "\(key.rawValue)", "event.seq": "\(key.sequence)", "kind": "\(row.kindNumber)",
            ])
        // As if it had been taken up: the password goes if nothing else needs it.
        if key.deliveryClass == .credential { secretUses[key.sequence, default: 0] += 1 }
        end(key, as: "dropped:damaged")
    }

    /// In milliseconds; `nil` if it never does, because somebody wants it tried again.
    private func age(atWhichExpires stored: DeliveryRow) -> Int64? {
        guard let index = index(ofSlot: stored.id.slot) else { return ProviderRoute.defaultGiveUpAfter }
        return stored.state > 0 ? nil : providers[index].route.giveUpAfter
    }

    private func takeUp(_ stored: DeliveryRow, now: Timestamp) {
        guard let kind = stored.kind else { return }
        if stored.id.deliveryClass == .credential { secretUses[stored.id.sequence, default: 0] += 1 }
        guard let index = index(ofSlot: stored.id.slot) else {
            orphans.insert(stored.id, subject: stored.subject)
            return
        }
        if stored.state > 0 { manualRetries[stored.id] = stored.state }
        // A clock that was ahead when this was put back must not make it wait for years.
        let due = min(stored.due, now + RetryPolicy.longestAskedWait)
        let ended = providers[index].lanes.enqueue(
            stored.id, subject: stored.subject, kind: kind, attempt: stored.attempt, due: due, now: now)
        if let ended { end(ended, as: "superseded") }
    }

    /// A dead letter has its password still if it is young and no newer one was accepted. A password goes only when none
    /// of the event's dead letters has it any more.
    private func takeUp(_ letters: [DeadLetter], now: Timestamp) throws {
        let unreadable = letters.filter { $0.kind == nil }
        unreadableLetters = unreadable.count
        if let first = unreadable.first {
            let kinds = Set(unreadable.map(\.kindNumber)).sorted().map { "\($0)" }.joined(separator: " ")
            logger.critical(
                "dead letters not readable",
                metadata: ["count": "\(unreadable.count)", "kinds": "\(kinds)", "first": "\(first.id.rawValue)"])
        }
        var without: Set<Int64> = []
        for letter in letters where letter.id.deliveryClass == .credential {
            let sequence = letter.id.sequence
            guard watch.doubt != nil || now - letter.at < Self.deadSecretAge,
                try journal.event(sequence)?.secret != nil
            else {
                without.insert(sequence)
                continue
            }
            secretUses[sequence, default: 0] += 1
            deadSecrets[letter.subject, default: [:]][letter.id] = min(letter.at, now)
        }
        changes.erasedSecrets += without.filter { secretUses[$0] == nil }.sorted()
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
    func count(_ name: String, slot: Int, _ delta: Int64 = 1) {
        let key = CounterKey(slot: slot, name: name)
        changes.counters[key, default: 0] += delta
        totals[key, default: 0] += delta
    }

    /// Keeps what a target said about a delivery that now waits; of 4096 deliveries at most.
    func remember(_ words: String, of key: DeliveryKey) {
        guard lastWords.count < 4096 || lastWords[key] != nil else { return }
        lastWords[key] = words
    }

    /// A delivery is over: its row goes, and its secret with the last that needs it.
    func end(_ key: DeliveryKey, as name: String, keepsSecret: Bool = false) {
        changes.deliveries.append(.end(key))
        count(name, slot: key.slot)
        manualRetries[key] = nil
        lastWords[key] = nil
        if key.deliveryClass == .credential, !keepsSecret { releaseSecret(of: key.sequence) }
        hot.release(key.sequence)
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
        var taken = changes
        let number = changeNumber
        taken.onCommit = { [ledger] in ledger.note(number, $0) }
        changes = JournalChanges()
        hasChanges = false
        changeNumber += 1
        return taken
    }

    /// How long there is nothing to do unless something happens; milliseconds. An idle daemon wakes once in a while
    /// only; one that waits for an answer or a time, when that is due.
    func idleTime(now: Timestamp) -> Int64 {
        let retires = retiresFrom != nil && watch.doubt == nil
        let isBehind =
            subjects.hasChanges || foldedThrough != fannedOutThrough || retires || isExpiring && watch.doubt == nil
        var idle: Int64 = isBehind ? 2_000 : 60_000
        for provider in providers {
            if !provider.inFlight.isEmpty || provider.check != nil { idle = min(idle, 500) }
            guard provider.port != nil, !provider.isPaused else { continue }
            if let wakeUp = provider.gate.wakeUp { idle = min(idle, wakeUp - now) }
            if provider.gate.limit(1) > 0, let due = provider.lanes.nextDue { idle = min(idle, due - now) }
        }
        return max(0, idle)
    }

    /// What is done again and again: states are written, deadlines watched, old things let go.
    ///
    /// - Parameter wall: the wall clock's time.
    func housekeep(now: Timestamp, wall: Timestamp) throws {
        if let change = watch.look(wall: wall, steady: now) { tell(change) }
        watchDeadlines(now: now)
        if now - lastFold >= 2_000 || subjects.isFull {
            lastFold = now
            subjects.fold(into: &changes, number: changeNumber, now: now)
            if foldedThrough != fannedOutThrough {
                foldedThrough = fannedOutThrough
                changes.foldedThrough = foldedThrough
            }
            forgetWhatIsOnDisk(now: now)
            if isExpiring, watch.doubt == nil { try expire(now: now, wall: wall) }
            if retiresFrom != nil, watch.doubt == nil { try retire(wall: wall) }
        }
        if now - lastTidy >= 60_000 {
            lastTidy = now
            if abs(wall - clockNoted) >= Self.clockNotedEvery {
                clockNoted = wall
                changes.clock = watch.memory(wall: wall, steady: now)
            }
            guard watch.doubt == nil else { return }
            endOldSecrets(now: now)
            try expire(now: now, wall: wall)
            if retiresFrom == nil { try retire(wall: wall) }
            destroyUnusedKeys(now: now, wall: wall)
        }
    }

    /// How often the journal is told of the clock; milliseconds. Much less than the clock's tolerance.
    private static let clockNotedEvery: Int64 = 600_000

    private func tell(_ change: ClockWatch.Change) {
        switch change {
        case .doubted(let doubt):
            logger.warning("clock in doubt", metadata: ["reason": "\(doubt.words)"])
        case .trusted:
            logger.notice("clock trusted again; what is too old ends")
        }
    }

    private func forgetWhatIsOnDisk(now: Timestamp) {
        let committed = ledger.committed
        for refused in ledger.takeRefused() {
            // Memory and disk had the same rules, so this is a mistake of ours; the disk is right.
            logger.critical(
                "binding refused by the journal",
                metadata: ["slot": "\(refused.slot)", "subject": "\(refused.subject)"])
            bindings.forget(slot: refused.slot, subject: refused.subject)
        }
        bindings.tidy(committed: committed)
        subjects.tidy(committed: committed, now: now)
        for (key, number) in removedLetters where number <= committed { removedLetters[key] = nil }
    }

    /// A dead letter keeps its password for a day; milliseconds.
    private static let deadSecretAge: Int64 = 86_400_000

    private func endOldSecrets(now: Timestamp) {
        for (subject, letters) in deadSecrets {
            for (key, since) in letters where now - since >= Self.deadSecretAge { endDeadSecret(key, of: subject) }
        }
    }

    /// Whether deliveries that waited too long are still looked for: that goes on at every fold.
    private var isExpiring: Bool { oldEvents.values.contains { !$0.isComplete } }

    /// Deliveries that waited too long are given up, whether or not their provider takes any; those in flight when they
    /// are put back. What people want tried again is tried, however old it is.
    private func expire(now: Timestamp, wall: Timestamp) throws {
        for age in oldEvents.keys {
            try journal.advance(&oldEvents[age, default: OldEvents()], receivedBefore: wall + -age, now: wall)
        }
        for index in providers.indices {
            let route = providers[index].route
            let through = oldEvents[route.giveUpAfter]?.through ?? 0
            guard through > providers[index].expiredThrough else { continue }
            providers[index].expiredThrough = through
            let expired = providers[index].lanes.expire(through: through, now: now) { manualRetries[$0] != nil }
            for key in expired { end(key, as: "expired") }
            if !expired.isEmpty {
                logger.warning(
                    "deliveries given up",
                    metadata: [
                        "provider": "\(route.name)", "count": "\(expired.count)", "age.ms": "\(route.giveUpAfter)",
                    ])
            }
        }
        guard !orphans.isEmpty else { return }
        let through = oldEvents[ProviderRoute.defaultGiveUpAfter]?.through ?? 0
        guard through > orphansExpiredThrough else { return }
        orphansExpiredThrough = through
        for key in orphans.expire(through: through) { end(key, as: "expired") }
    }

    /// Lets a delivery go whose provider is not configured any more.
    ///
    /// - Returns: whether there was such a one.
    func dropOrphan(_ key: DeliveryKey) -> Bool {
        guard orphans.remove(key) else { return false }
        end(key, as: "dropped:operator")
        return true
    }

    func endDeadSecret(_ key: DeliveryKey, of subject: Int64) {
        guard deadSecrets[subject]?.removeValue(forKey: key) != nil else { return }
        if deadSecrets[subject]?.isEmpty == true { deadSecrets[subject] = nil }
        releaseSecret(of: key.sequence)
    }

    /// Events that nobody needs any more go: a few thousand at a time, as fast as they are found while there are more, and
    /// from the oldest on again once all were looked at.
    ///
    /// Whether a delivery needs an event is asked of the disk, so it is the disk too that has to say that the deliveries
    /// have been made: after a crash, memory is ahead of it.
    private func retire(wall: Timestamp) throws {
        let progress = try journal.progress()
        try journal.advance(&retiring, receivedBefore: wall + -retention, now: wall)
        let last = min(retiring.through, progress.foldedThrough, progress.fannedOutThrough)
        let found = try journal.retirableEvents(through: last, from: retiresFrom ?? 0, atMost: Self.retiredAtOnce)
        changes.endedEvents += found.ranges
        retiresFrom = found.next ?? (retiring.isComplete ? nil : last + 1)
    }

    static let retiredAtOnce = 4_096

    /// Once an hour, data keys that nothing on disk needs any more are destroyed: what they sealed is then gone from every
    /// copy of the disk.
    ///
    /// The keys of this hour and the one before stay, for an event may be committed a little after it was sealed. Older
    /// ones get no new uses, so what is read meanwhile can only be too careful. Events are sealed by the wall clock, dead
    /// letters by `now`: the hour that is earlier counts. The keys of states stay for ever.
    private func destroyUnusedKeys(now: Timestamp, wall: Timestamp) {
        let hourAgo = min(now, wall) + -3_600_000
        let current = DataKeys.id(of: .secret, at: wall)
        guard current != lastKey else { return }
        lastKey = current
        let candidates = [SealPurpose.secret, .body].flatMap { purpose in
            vault.sealer.keys.ids.filter {
                $0 & 3 == UInt32(purpose.rawValue) && $0 < DataKeys.id(of: purpose, at: hourAgo)
            }
        }
        guard !candidates.isEmpty else { return }
        aside { [journal, logger] in
            do {
                let unused = try candidates.filter { try !journal.holdsSealed(header: Sealer.header(ofKey: $0)) }
                return { $0.destroy(unused) }
            } catch {
                logger.error("unused data keys not found", metadata: ["error": "\(error)"])
                return { _ in }
            }
        }
    }

    private func destroy(_ keys: [UInt32]) {
        for key in keys {
            vault.sealer.keys.forget(key)
            changes.dataKeys.append(.remove(key))
        }
        if !keys.isEmpty { logger.info("data keys destroyed", metadata: ["count": "\(keys.count)"]) }
    }
}
