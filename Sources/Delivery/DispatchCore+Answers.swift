internal import EventModel
internal import Journal
internal import Logging
internal import NIOCore
internal import WorkerProtocol

// From an answer, or its absence, to what becomes of a delivery.
extension DispatchCore {
    /// A worker is ready to take requests.
    func portReady(_ port: any ProviderPort, generation: Int, slot: Int, now: Timestamp) {
        guard let index = index(ofSlot: slot) else { return }
        portLost(generation: providers[index].generation, slot: slot, reason: "replaced", now: now)
        providers[index].port = port
        providers[index].generation = generation
        providers[index].strays = StrayAnswers()
    }

    /// A worker is gone: what it had not answered may or may not have been carried out.
    func portLost(generation: Int, slot: Int, reason: String, now: Timestamp) {
        guard let index = index(ofSlot: slot), providers[index].generation == generation else { return }
        providers[index].port = nil
        providers[index].check = nil
        providers[index].gate.workerLost(now: now)
        let flights = providers[index].inFlight.values
        providers[index].inFlight = [:]
        for flight in flights.sorted(by: { $0.ticket.key < $1.ticket.key }) {
            // A target that answers nobody looks like this, too; a worker that ended by itself is not its target's trouble.
            let isSilent = flight.patience == .over
            let detail = isSilent ? "the plugin did not answer in time" : "the worker ended: \(reason)"
            settle(flight, Completion(.unknown, detail: detail), provider: index, isTargets: isSilent, now: now)
        }
    }

    /// Answers of a worker.
    func answered(_ answers: [(id: UInt64, Completion)], generation: Int, slot: Int, now: Timestamp) {
        guard let index = index(ofSlot: slot), providers[index].generation == generation else { return }
        for (id, completion) in answers {
            if providers[index].check == id {
                checkAnswered(completion, provider: index, now: now)
            } else if let flight = providers[index].inFlight.removeValue(forKey: id) {
                settle(flight, completion, provider: index, now: now)
            } else {
                stray(id, provider: index)
            }
        }
    }

    private func stray(_ id: UInt64, provider index: Int) {
        switch providers[index].strays.judge(id) {
        case .late, .strayAgain: break
        case .stray:
            logger.warning(
                "answer to no request",
                metadata: ["provider": "\(providers[index].route.name)", "request": "\(id)"])
        case .intolerable:
            endWorker(of: index, reason: "it sent \(StrayAnswers.tolerated + 1) answers to no request")
        }
    }

    private func checkAnswered(_ completion: Completion, provider index: Int, now: Timestamp) {
        providers[index].check = nil
        if completion.outcome == .delivered {
            providers[index].gate.checkPassed()
        } else {
            providers[index].gate.checkFailed(
                reason: "\(completion.outcome.name): \(completion.detail)", now: now, using: &random)
        }
    }

    /// A request that nobody answers is cancelled. A plugin that is silent even then loses its worker: what it was asked
    /// for may still be going on in there, and nothing else is sent until that process has ended.
    func watchDeadlines(now: Timestamp) {
        for index in providers.indices {
            if let check = providers[index].check, now >= providers[index].checkDeadline {
                providers[index].check = nil
                providers[index].strays.gaveUp(check)
                providers[index].gate.checkFailed(reason: "the check was not answered", now: now, using: &random)
            }
            guard let port = providers[index].port else { continue }
            var frames = ByteBuffer()
            var isSilent = false
            for (id, flight) in providers[index].inFlight where now >= flight.deadline {
                switch flight.patience {
                case .untilDeadline:
                    frames.writeCancelFrame(id: id)
                    providers[index].inFlight[id]?.patience = .untilGraceEnds
                    providers[index].inFlight[id]?.deadline = now + Self.cancelGrace
                case .untilGraceEnds, .over:
                    providers[index].inFlight[id]?.patience = .over
                    isSilent = true
                }
            }
            if isSilent {
                endWorker(of: index, reason: "it did not answer a request that was cancelled")
            } else if frames.readableBytes > 0 {
                port.send(frames, generation: providers[index].generation)
            }
        }
    }

    /// How long a plugin has to end a request that was cancelled; milliseconds.
    private static let cancelGrace: Int64 = 5_000

    /// Has a worker ended. What it has under way ends with it, unless it is answered before.
    private func endWorker(of index: Int, reason: String) {
        providers[index].port?.restart(generation: providers[index].generation, reason: reason)
        providers[index].port = nil
    }

    /// - Parameter isTargets: whether the answer says something of the target.
    private func settle(
        _ flight: Flight, _ completion: Completion, provider index: Int, isTargets: Bool = true, now: Timestamp
    ) {
        releaseClaims(of: flight)
        do {
            switch (flight.purpose, completion.outcome) {
            case (.locate, .delivered): try located(flight, completion, provider: index, now: now)
            case (.locate, .absent) where flight.ticket.kind == .userCreated:
                // It is there to be created; nobody else may have it meanwhile.
                try deliver(flight, to: nil, provider: index, now: now)
            case (.locate, .unknown):
                // Nothing was written: an ambiguous search is just one to repeat.
                var completion = completion
                completion.outcome = .retry
                try conclude(flight, completion, provider: index, isTargets: isTargets, now: now)
            default: try conclude(flight, completion, provider: index, isTargets: isTargets, now: now)
            }
        } catch {
            unreadable(flight.ticket, error, provider: index, now: now)
        }
    }

    /// The account was found. If nobody else has it, the delivery goes there.
    private func located(_ flight: Flight, _ completion: Completion, provider index: Int, now: Timestamp) throws {
        // A target without stable ids has accounts all the same: then the external id alone tells them apart, and the
        // plugin is told of no account that it never named.
        guard completion.account != nil || flight.externalID != nil else {
            return bury(
                flight.ticket, provider: index, reason: "refused",
                detail: "the plugin found an account but did not say which", now: now)
        }
        if let account = completion.account,
            let owner = try bindings.owner(slot: providers[index].route.slot, account: account),
            owner != flight.ticket.subject
        {
            return bury(
                flight.ticket, provider: index, reason: "refused",
                detail: "the account belongs to \(nameOfOwner(owner, now: now))", now: now)
        }
        try deliver(flight, to: completion.account, provider: index, now: now)
    }

    /// Sends what was held back until its account was looked up.
    private func deliver(_ located: Flight, to account: String?, provider index: Int, now: Timestamp) throws {
        var flight = located
        let route = providers[index].route
        let ticket = flight.ticket
        flight.claims = []
        flight.account = account
        flight.purpose = .deliver
        flight.deadline = now + route.deadline
        flight.patience = .untilDeadline
        let claims = [
            flight.externalID.map { bindings.claim(slot: route.slot, externalID: $0, for: ticket.subject) },
            account.map { bindings.claim(slot: route.slot, account: $0, for: ticket.subject) },
        ].compactMap(\.self)
        flight.claims = claims.compactMap(\.self)
        // While it was looked for, a newer state may have come, the subject may have opted out, or the provider shut.
        guard flight.claims.count == claims.count, let port = providers[index].port, !providers[index].isPaused,
            providers[index].gate.limit(1) > 0,
            try isStillWanted(ticket, externalID: flight.externalID, provider: index, now: now)
        else {
            releaseClaims(of: flight)
            let isTaken = flight.claims.count < claims.count
            return putBack(ticket, provider: index, after: isTaken ? Self.claimPause : 0, counts: false, now: now)
        }
        do {
            guard let event = try load(ticket) else { throw DispatchError.damaged("event \(ticket.key.sequence)") }
            var frames = ByteBuffer()
            try write(flight, event: event, provider: index, frames: &frames)
            port.send(frames, generation: providers[index].generation)
        } catch {
            releaseClaims(of: flight)
            throw error
        }
    }

    /// Whether nothing has changed since a delivery was sent to look for its account.
    private func isStillWanted(
        _ ticket: LaneTable.Ticket, externalID: String?, provider index: Int, now: Timestamp
    ) throws -> Bool {
        let state = try subjects.state(ticket.subject, now: now)
        if state?.isOutdated(ticket.key, ticket.kind) == true { return false }
        return providers[index].route.targeting.decide(ticket.kind, facts: state?.facts, isBound: true)
            == .deliver(externalID: externalID)
    }

    func releaseClaims(of flight: Flight) {
        for claim in flight.claims { bindings.release(claim) }
    }

    private func conclude(
        _ flight: Flight, _ completion: Completion, provider index: Int, isTargets: Bool, now: Timestamp
    ) throws {
        let ticket = flight.ticket
        switch completion.outcome {
        case _ where !isTargets: break
        case .delivered, .refused, .absent:
            if providers[index].gate.answered(ticket.subject) {
                logger.notice("provider resumed", metadata: ["provider": "\(providers[index].route.name)"])
            }
        case .retry, .misconfigured, .unknown:
            let didShut = providers[index].gate.trouble(
                completion.outcome, subject: ticket.subject,
                reason: "\(completion.outcome.name): \(completion.detail)", now: now, using: &random)
            if didShut {
                log(
                    .warning, "provider held back", ticket, provider: index,
                    ["outcome": "\(completion.outcome.name)"])
            }
        }
        let disposition = providers[index].route.disposition.decide(
            completion, kind: ticket.kind, deliveryClass: ticket.key.deliveryClass, attempt: ticket.attempt,
            isHeldBack: providers[index].gate.state != .open, using: &random)
        switch disposition {
        case .delivered:
            guard try pin(flight, completion, provider: index, now: now) else { return }
            log(.debug, "delivered", ticket, provider: index, [:])
            finish(ticket, provider: index, as: "delivered", now: now)
        case .dead:
            bury(ticket, provider: index, reason: completion.outcome.name, detail: completion.detail, now: now)
        case .retry(let wait):
            remember(completion.detail, of: ticket.key)
            log(
                .info, "delivery will be retried", ticket, provider: index,
                ["outcome": "\(completion.outcome.name)", "after.ms": "\(wait)"])
            putBack(ticket, provider: index, after: wait, counts: true, now: now)
        case .awaitAccount(let wait):
            remember(completion.detail, of: ticket.key)
            log(.info, "delivery waits for its account", ticket, provider: index, ["after.ms": "\(wait)"])
            putBack(ticket, provider: index, after: wait, counts: true, for: .account, now: now)
        case .awaitProvider:
            putBack(ticket, provider: index, after: 0, counts: false, now: now)
        }
    }

    /// Pins the account at the first success; lets it go when the account is deleted.
    ///
    /// - Returns: `false` if the account turned out to be somebody else's; the delivery is a dead letter then.
    private func pin(_ flight: Flight, _ completion: Completion, provider index: Int, now: Timestamp) throws -> Bool {
        let slot = providers[index].route.slot
        let subject = flight.ticket.subject
        guard flight.ticket.key.deliveryClass != .notification else { return true }
        if flight.ticket.kind == .userDeleted {
            try bindings.unbind(slot: slot, subject: subject, changes: &changes, number: changeNumber)
            return true
        }
        let named = completion.account ?? flight.account
        guard !flight.isBound, named != nil || flight.externalID != nil else { return true }
        if let pinned = try bindings.account(slot: slot, subject: subject) {
            // Another lane of the same subject was first.
            guard let named, let pinned = pinned.account, named != pinned else { return true }
            bury(
                flight.ticket, provider: index, reason: "conflict",
                detail: "written, but to another account than the one the subject is bound to by now", now: now)
            return false
        }
        if let named, let owner = try bindings.owner(slot: slot, account: named), owner != subject {
            bury(
                flight.ticket, provider: index, reason: "conflict",
                detail: "written, but the account belongs to \(nameOfOwner(owner, now: now))", now: now)
            return false
        }
        bindings.bind(
            slot: slot, subject: subject, to: BoundAccount(account: named, externalID: flight.externalID), now: now,
            changes: &changes, number: changeNumber)
        return true
    }

    /// Whose account it is, by what `explain` asks for: ids only, for names are personal.
    func nameOfOwner(_ subject: Int64, now: Timestamp) -> String {
        guard let key = try? subjects.state(subject, now: now)?.key else {
            return "another user, who cannot be read in the journal (subject \(subject))"
        }
        return "another user: \(key.userID) of realm \(key.realmID) at \(key.instance)"
    }

    // MARK: Ends

    /// A delivery in flight is over.
    func finish(_ ticket: LaneTable.Ticket, provider index: Int, as name: String, now: Timestamp) {
        providers[index].lanes.finish(ticket, now: now)
        end(ticket.key, as: name)
    }

    /// A delivery in flight goes back to wait, unless a newer one does, or it is too old. One that is too old and was
    /// tried again by hand is a dead letter again, and may be tried once more; unless a newer one waits, for then it never
    /// could be.
    func putBack(
        _ ticket: LaneTable.Ticket, provider index: Int, after wait: Int64, counts: Bool,
        for patience: LaneTable.Patience = .time, now: Timestamp
    ) {
        let isOld = isOld(ticket.key.sequence, provider: index, now: now)
        let isByHand = manualRetries[ticket.key] != nil
        if isOld, !isByHand { return finish(ticket, provider: index, as: "expired", now: now) }
        if isOld, counts, !providers[index].lanes.newerWaits(behind: ticket) {
            return bury(
                ticket, provider: index, reason: "expired", detail: lastWords[ticket.key] ?? "", now: now)
        }
        let due = now + wait
        let waits = providers[index].lanes.wait(ticket, due: due, attemptCounts: counts, for: patience, now: now)
        guard waits else { return end(ticket.key, as: "superseded") }
        changes.deliveries.append(
            .update(
                ticket.key, due: due, attempt: counts ? ticket.attempt : ticket.attempt - 1,
                state: manualRetries[ticket.key] ?? 0))
    }

    private func isOld(_ sequence: Int64, provider index: Int, now: Timestamp) -> Bool {
        let provider = providers[index]
        guard sequence <= provider.expiredThrough else { return false }
        // What was tried again by hand comes from anywhere. An event that is gone was old.
        guard sequence <= provider.expirySeed, let event = try? journal.event(sequence) else { return true }
        return now - event.received > provider.route.giveUpAfter || event.received > now
    }

    /// A delivery in flight ends badly, and is kept for people to look at.
    ///
    /// - Parameter detail: may name a person, so it is sealed, and no log holds it: `queue show` tells it.
    func bury(_ ticket: LaneTable.Ticket, provider index: Int, reason: String, detail: String, now: Timestamp) {
        log(.warning, "delivery is a dead letter", ticket, provider: index, ["reason": "\(reason)"])
        put(
            DeadLetter(
                id: ticket.key, subject: ticket.subject, kind: ticket.kind, at: now, attempt: ticket.attempt,
                reason: reason, detail: vault.seal(detail: detail, of: ticket.key, at: now)))
        providers[index].lanes.finish(ticket, now: now)
        // The password stays for a retry by hand, unless a newer one was accepted meanwhile.
        let newest = try? subjects.state(ticket.subject, now: now)?.newest(.credential)
        let keepsSecret = ticket.key.deliveryClass == .credential && newest?.receipt == ticket.key.sequence
        end(ticket.key, as: "dead", keepsSecret: keepsSecret)
        if keepsSecret { deadSecrets[ticket.subject, default: [:]][ticket.key] = now }
    }

    private func put(_ letter: DeadLetter) {
        var letter = letter
        letter.generation = manualRetries[letter.id] ?? 0
        changes.deadLetters.append(.put(letter))
        removedLetters[letter.id] = nil
    }

    /// A waiting delivery ends badly without another attempt; its password goes. One in flight is left to its answer.
    func buryWaiting(
        _ key: DeliveryKey, subject: Int64, provider index: Int, _ error: DispatchError, now: Timestamp
    ) {
        guard let look = providers[index].lanes.look(key, subject: subject),
            providers[index].lanes.drop(key, subject: subject, now: now)
        else { return }
        put(
            DeadLetter(
                id: key, subject: subject, kind: look.kind, at: now, attempt: look.attempt, reason: "damaged",
                detail: vault.seal(detail: "\(error)", of: key, at: now)))
        end(key, as: "dead")
    }

    func log(
        _ level: Logger.Level, _ message: Logger.Message, _ ticket: LaneTable.Ticket, provider index: Int,
        _ more: Logger.Metadata
    ) {
        logger.log(
            level: level, message,
            metadata: more.merging([
                "delivery": "\(ticket.key.rawValue)", "event.seq": "\(ticket.key.sequence)",
                "provider": "\(providers[index].route.name)", "kind": "\(ticket.kind.name)",
                "subject": "\(ticket.subject)", "attempt": "\(ticket.attempt)",
            ]) { first, _ in first })
    }
}
