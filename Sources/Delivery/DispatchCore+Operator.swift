internal import EventModel
internal import Journal

// What operators ask for.
extension DispatchCore {
    func report() throws -> [ProviderReport] {
        var counters: [Int: [String: Int64]] = [:]
        for (key, value) in totals { counters[key.slot, default: [:]][key.name] = value }
        return providers.map { report($0, counters: counters[$0.route.slot] ?? [:]) } + (try orphanReports())
    }

    /// Of the providers that are not in the settings and for which something waits.
    func orphanReports() throws -> [ProviderReport] {
        try orphans.counts.sorted { $0.key < $1.key }.map { slot, count in
            let counters = totals.filter { $0.key.slot == slot }.map { ($0.key.name, $0.value) }
            return ProviderReport(
                name: try name(of: slot), state: ProviderReport.notInSettings, reason: "", waiting: count, inFlight: 0,
                counters: Dictionary(counters) { first, _ in first }, nothingExpires: watch.doubt?.words,
                unreadable: unreadable)
        }
    }

    private func report(_ provider: Provider, counters: [String: Int64]) -> ProviderReport {
        let (state, reason): (String, String) =
            switch provider.gate.state {
            case _ where provider.route.isObserving: ("observing", "")
            case _ where provider.isPaused: ("paused", "")
            case _ where provider.port == nil: ("no worker", provider.route.whyNoWorker)
            case .open: ("running", "")
            case .shut(_, let reason): ("held back", reason)
            case .probing(let reason): ("checking", reason)
            case .trying(let reason): ("trying", reason)
            }
        return ProviderReport(
            name: provider.route.name, state: state, reason: reason, waiting: provider.lanes.waitingCount,
            inFlight: provider.lanes.inFlightCount, counters: counters,
            nothingExpires: watch.doubt?.words, unreadable: unreadable)
    }

    /// Why deliveries of a provider that are to be tried now do not go at once; `nil` if they do.
    func obstacle(_ index: Int) -> String? {
        report(providers[index], counters: [:]).obstacle
    }

    private var unreadable: [String: Int64] {
        let found = [
            "subjects": totals[CounterKey(slot: CounterKey.daemon, name: "damaged-subjects")],
            "events": totals[CounterKey(slot: CounterKey.daemon, name: "damaged-events")],
            "dead letters": Int64(unreadableLetters),
        ]
        return found.compactMapValues { $0 == 0 ? nil : $0 }
    }

    /// Nothing is sent to a provider, or it is asked at once whether it takes something.
    ///
    /// - Returns: the provider's number, under which the journal is to remember it.
    func pause(_ name: String, _ isPaused: Bool, now: Timestamp) throws -> Int {
        guard let index = index(named: name) else {
            throw CommandError.noSuchProvider(name, known: providers.map(\.route.name))
        }
        providers[index].isPaused = isPaused
        if !isPaused { providers[index].gate.askNow(now: now) }
        return providers[index].route.slot
    }

    /// A provider's number, also of one that is not configured any more; `nil` for all.
    func slot(of provider: String?) throws -> Int? {
        guard let provider else { return nil }
        if let index = index(named: provider) { return providers[index].route.slot }
        guard let slot = try journal.providers().first(where: { $0.value == provider })?.key else {
            throw CommandError.noSuchProvider(provider, known: providers.map(\.route.name))
        }
        return slot
    }

    /// Where the provider of a delivery stands, which can be sent only if the settings name it.
    func configured(_ key: DeliveryKey) throws -> Int {
        guard let index = index(ofSlot: key.slot) else {
            throw CommandError.notConfigured(key.rawValue, provider: try name(of: key.slot))
        }
        return index
    }

    /// What was read of the queue, with what is known of it here.
    func describe(_ page: QueuePage, now: Timestamp) throws -> [DeliveryReport] {
        try page.waiting.compactMap { try report($0, now: now) }
            + page.dead.filter { removedLetters[$0.id] == nil }.map { try report($0, now: now) }
    }

    func show(_ id: Int64, now: Timestamp) throws -> DeliveryReport {
        let key = DeliveryKey(rawValue: id)
        if let letter = try letter(key) { return try report(letter, now: now) }
        if let row = try journal.delivery(key), let report = try report(row, now: now) { return report }
        throw CommandError.noSuchDelivery(id)
    }

    /// Tries a waiting delivery now, or a dead letter again, under a new idempotency key.
    @discardableResult
    func retry(_ id: Int64, now: Timestamp) throws -> BulkReport {
        let key = DeliveryKey(rawValue: id)
        let letter = try letter(key)
        let row = letter == nil ? try journal.delivery(key) : nil
        guard letter != nil || row != nil else { throw CommandError.noSuchDelivery(id) }
        let index = try configured(key)
        if let letter { try retry(letter, provider: index, due: now, now: now) }
        if let row {
            if providers[index].lanes.look(key, subject: row.subject)?.isInFlight == true {
                throw CommandError.inFlight(id)
            }
            _ = providers[index].lanes.hurry(key, subject: row.subject, now: now)
        }
        var report = BulkReport(done: 1)
        askNow([index], report: &report, now: now)
        return report
    }

    /// Somebody who may have mended these providers' targets waits for an answer.
    func askNow(_ indices: Set<Int>, report: inout BulkReport, now: Timestamp) {
        for index in indices {
            let name = providers[index].route.name
            if report.held[name] == nil { report.held[name] = obstacle(index) }
            providers[index].gate.askNow(now: now)
        }
    }

    /// Tries a dead letter again, when its time has come.
    func retry(_ letter: DeadLetter, provider index: Int, due: Timestamp, now: Timestamp) throws {
        let key = letter.id
        guard let kind = letter.kind else {
            throw CommandError.unreadable(key.rawValue, kind: letter.kindNumber)
        }
        if key.deliveryClass == .credential, deadSecrets[letter.subject]?[key] == nil {
            throw CommandError.needsNewPassword(key.rawValue)
        }
        if try readable({ try subjects.state(letter.subject, now: now) })?.isOutdated(key, kind) == true {
            throw CommandError.outdated(key.rawValue)
        }
        // The delivery takes over the letter's use of the secret.
        deadSecrets[letter.subject]?[key] = nil
        if deadSecrets[letter.subject]?.isEmpty == true { deadSecrets[letter.subject] = nil }
        remove(letter)
        manualRetries[key] = letter.generation + 1
        changes.deliveries.append(
            .begin(
                DeliveryRow(id: key, subject: letter.subject, kind: kind, due: due, state: letter.generation + 1)))
        hot.retain(key.sequence)
        let ended = providers[index].lanes.enqueue(key, subject: letter.subject, kind: kind, due: due, now: now)
        if let ended { end(ended, as: "superseded") }
    }

    /// Gives a waiting delivery or a dead letter up.
    func drop(_ id: Int64, now: Timestamp) throws {
        let key = DeliveryKey(rawValue: id)
        if let letter = try letter(key) { return drop(letter) }
        guard let row = try journal.delivery(key) else { throw CommandError.noSuchDelivery(id) }
        try drop(row, now: now)
    }

    func drop(_ letter: DeadLetter) {
        remove(letter)
        count("dropped:operator", slot: letter.id.slot)
        endDeadSecret(letter.id, of: letter.subject)
    }

    /// - Parameter row: from the journal, so it may have ended a moment ago.
    func drop(_ row: DeliveryRow, now: Timestamp) throws {
        guard let index = index(ofSlot: row.id.slot) else {
            guard dropOrphan(row.id) else { throw CommandError.noSuchDelivery(row.id.rawValue) }
            return
        }
        guard providers[index].lanes.look(row.id, subject: row.subject) != nil else {
            throw CommandError.noSuchDelivery(row.id.rawValue)
        }
        guard providers[index].lanes.drop(row.id, subject: row.subject, now: now) else {
            throw CommandError.inFlight(row.id.rawValue)
        }
        end(row.id, as: "dropped:operator")
    }

    /// A dead letter, unless it was taken out a moment ago.
    private func letter(_ key: DeliveryKey) throws -> DeadLetter? {
        removedLetters[key] == nil ? try journal.deadLetter(key) : nil
    }

    private func remove(_ letter: DeadLetter) {
        changes.deadLetters.append(.remove(letter.id))
        removedLetters[letter.id] = changeNumber
        if letter.kind == nil { unreadableLetters -= 1 }
        count("dead", slot: letter.id.slot, -1)
    }

    /// What is known of a user, and what each provider would do with the next change.
    func explain(instance: String, realm: String, user: String, now: Timestamp) throws -> SubjectReport {
        let key = SubjectKey(instance: instance, realmID: realm, userID: user)
        guard let number = try readable({ try subjects.known(key, now: now) }),
            let state = try readable({ try subjects.state(number, now: now) })
        else { throw CommandError.noSuchUser(user) }
        let waiting = try providers.flatMap { $0.lanes.keys(of: number) }
            .compactMap { try journal.delivery($0) }.compactMap { try report($0, now: now) }
        let decisions = try providers.map { provider in
            let decision = provider.route.targeting.eligible(state.facts)
            var words = "eligible"
            var externalID: String?
            switch decision {
            case .skip(let reason): words = reason.rawValue
            case .deliver(let id): externalID = id
            }
            if !provider.route.targeting.providerIsOn { words = SkipReason.providerOff.rawValue }
            if !provider.route.targeting.syncIsOn { words = SkipReason.syncOff.rawValue }
            return SubjectReport.Decision(
                provider: provider.route.name, decision: words, externalID: externalID,
                account: try readable { try bindings.account(slot: provider.route.slot, subject: number) }?.account,
                waiting: waiting.filter { $0.provider == provider.route.name })
        }
        var newest: [String: String] = [:]
        for deliveryClass in DeliveryClass.allCases {
            newest[deliveryClass.name] = state.newest(deliveryClass)?.at.description
        }
        return SubjectReport(
            instance: instance, realm: realm, user: user, syncEnabled: state.facts.syncEnabled.value,
            userType: state.facts.userType.value, attributeExternalID: state.facts.externalID.value, newest: newest,
            notCapturedSince: state.notCapturedSince?.description, providers: decisions)
    }

    private func report(_ row: DeliveryRow, now: Timestamp) throws -> DeliveryReport? {
        let event = try journal.event(row.id.sequence)
        let index = index(ofSlot: row.id.slot)
        let look = index.flatMap { providers[$0].lanes.look(row.id, subject: row.subject) }
        // A row without a place in its provider's lanes ended a moment ago.
        if index != nil, look == nil { return nil }
        var reason = index.map { providers[$0].route.obstacle } ?? "its provider is not in the settings"
        if let index, case .shut(_, let why) = providers[index].gate.state { reason = why }
        let due = look.map(\.due) ?? row.due
        return DeliveryReport(
            id: row.id.rawValue, provider: try name(of: row.id.slot), kind: Self.words(row.kind, row.kindNumber),
            event: event?.id ?? "", user: try user(row.subject, now: now),
            received: event?.received.description ?? "",
            state: look?.isInFlight == true ? "in flight" : "waiting", attempt: look?.attempt ?? row.attempt,
            due: due > now ? due.description : nil, reason: reason, detail: lastWords[row.id],
            hasSecret: row.id.deliveryClass == .credential ? event?.secret != nil : nil)
    }

    private func report(_ letter: DeadLetter, now: Timestamp) throws -> DeliveryReport {
        let event = try journal.event(letter.id.sequence)
        return DeliveryReport(
            id: letter.id.rawValue, provider: try name(of: letter.id.slot),
            kind: Self.words(letter.kind, letter.kindNumber), event: event?.id ?? "",
            user: try user(letter.subject, now: now), received: event?.received.description ?? "", state: "dead",
            attempt: letter.attempt, due: nil, reason: letter.reason,
            detail: try? vault.openDetail(letter.detail, of: letter.id),
            hasSecret: letter.id.deliveryClass == .credential
                ? deadSecrets[letter.subject]?[letter.id] != nil : nil)
    }

    private static func words(_ kind: EventKind?, _ number: Int64) -> String {
        kind?.name ?? "unreadable of kind \(number)"
    }

    private func name(of slot: Int) throws -> String {
        if let index = index(ofSlot: slot) { return providers[index].route.name }
        return try journal.providers()[slot] ?? "slot \(slot)"
    }

    private func user(_ subject: Int64, now: Timestamp) throws -> String {
        guard subject != 0 else { return "" }
        do {
            return try subjects.state(subject, now: now)?.key.userID ?? ""
        } catch is DispatchError {
            return "?"
        }
    }

    /// What a command needs to know, or that it is damaged.
    private func readable<Value>(_ read: () throws -> Value) throws -> Value {
        do {
            return try read()
        } catch let error as DispatchError {
            throw CommandError.damaged("\(error)")
        }
    }
}

extension ClockWatch.Doubt {
    /// For people.
    var words: String {
        "nothing expires until \(until): the clock is \(abs(ahead) / 60_000) min \(ahead > 0 ? "ahead of" : "behind") "
            + "the time that was expected"
    }
}
