internal import EventModel
internal import Journal
internal import Logging

// From an event to deliveries.
extension DispatchCore {
    /// Events that are on disk.
    func committed(_ events: [CommittedEvent], now: Timestamp) throws {
        for event in events {
            guard let header = event.record.context as? EventHeader else {
                preconditionFailure("the intake gives every event's header along")
            }
            let record = event.record
            hot.insert(
                HotEvents.Event(id: record.id, header: header, body: record.body, secret: record.secret),
                sequence: event.sequence)
            try fanOut(
                header, sequence: event.sequence, received: record.received, hasStoredSecret: record.secret != nil,
                now: now)
            hot.removeUnused(event.sequence)
        }
    }

    /// Decides for every provider whether the event goes there, and queues the deliveries.
    func fanOut(
        _ header: EventHeader, sequence: Int64, received: Timestamp, hasStoredSecret: Bool, now: Timestamp
    ) throws {
        let version = header.version(received: received, receipt: sequence)
        var subject: Int64 = 0
        if let key = header.subject {
            subject = try number(of: key, now: now)
            _ = try subjects.update(subject, now: now) { $0.learn(header.learnt, from: header.kind, version: version) }
        }
        for (deliveryClass, kind) in header.states {
            try fanOut(
                kind, deliveryClass, header: header, subject: subject, version: version, sequence: sequence, now: now)
        }
        if hasStoredSecret, secretUses[sequence] == nil {
            changes.erasedSecrets.append(sequence)
            hot.forgetSecret(of: sequence)
        }
        fannedOutThrough = sequence
        changes.fannedOutThrough = sequence
    }

    /// The number of an event's subject. One whose state is damaged begins anew with this event; what waited for it ends,
    /// for nobody can tell whether the subject opted out, or whether it is the newest.
    private func number(of key: SubjectKey, now: Timestamp) throws -> Int64 {
        do {
            return try subjects.number(of: key, now: now, changes: &changes, changeNumber: changeNumber)
        } catch let error as DispatchError {
            guard case .damagedSubject(let subject, _) = error else { throw error }
            logger.critical(
                "subject not readable; it begins anew", metadata: ["subject": "\(subject)", "error": "\(error)"])
            count("damaged-subjects", slot: CounterKey.daemon)
            subjects.renew(subject, key: key, now: now)
            for index in providers.indices {
                for key in providers[index].lanes.keys(of: subject) {
                    buryWaiting(key, subject: subject, provider: index, error, now: now)
                }
            }
            return subject
        }
    }

    private func fanOut(
        _ kind: EventKind, _ deliveryClass: DeliveryClass, header: EventHeader, subject: Int64, version: Version,
        sequence: Int64, now: Timestamp
    ) throws {
        let acceptance: SubjectState.Acceptance =
            subject == 0
            ? .newest(approximately: false)
            : try subjects.update(subject, now: now) {
                $0.accept(deliveryClass, kind: kind, hasSecret: header.hasSecret, version: version)
            } ?? .outdated
        if acceptance == .newest(approximately: true) {
            logger.notice(
                "order approximate",
                metadata: ["event.id": "\(header.id)", "event.kind": "\(kind.name)", "subject": "\(subject)"])
        }
        if deliveryClass == .credential, case .newest = acceptance {
            // A newer password ends older ones, those of dead letters included.
            endDeadSecrets(of: subject)
        }
        if deliveryClass.isState, case .newest = acceptance {
            for key in orphans.end([deliveryClass], of: subject) { end(key, as: "superseded") }
        }
        if kind == .userDeleted { endPasswords(of: subject, now: now) }
        let facts =
            subject == 0 ? nil : try subjects.state(subject, now: now)?.facts(for: kind, telling: header.facts)
        for index in providers.indices {
            let route = providers[index].route
            count("made", slot: route.slot)
            if acceptance == .notCaptured {
                count("skipped:\(SkipReason.notCaptured.rawValue)", slot: route.slot)
                continue
            }
            // What is under way may be about to bind an account; it is asked again when that has ended.
            let isBound =
                try kind == .userDeleted
                && (!providers[index].lanes.keys(of: subject).isEmpty || mayBeBound(subject, slot: route.slot))
            switch route.targeting.decide(kind, facts: facts, isBound: isBound, isTemporary: header.isTemporary) {
            case .skip(let reason): skip(reason, header, provider: index)
            case .deliver where acceptance == .outdated: count("superseded", slot: route.slot)
            case .deliver where route.isObserving: skip(.observed, header, provider: index)
            case .deliver:
                queue(
                    DeliveryKey(sequence: sequence, slot: route.slot, deliveryClass: deliveryClass), kind: kind,
                    subject: subject, provider: index, now: now)
            }
        }
    }

    /// Where the binding is damaged, the deletion is queued, and becomes a dead letter that says so.
    private func mayBeBound(_ subject: Int64, slot: Int) throws -> Bool {
        do {
            return try bindings.account(slot: slot, subject: subject) != nil
        } catch is DispatchError {
            return true
        }
    }

    private func skip(_ reason: SkipReason, _ header: EventHeader, provider index: Int) {
        count("skipped:\(reason.rawValue)", slot: providers[index].route.slot)
        logger.debug(
            "delivery skipped",
            metadata: [
                "event.id": "\(header.id)", "provider": "\(providers[index].route.name)",
                "reason": "\(reason.rawValue)",
            ])
    }

    private func queue(_ key: DeliveryKey, kind: EventKind, subject: Int64, provider index: Int, now: Timestamp) {
        changes.deliveries.append(.begin(DeliveryRow(id: key, subject: subject, kind: kind)))
        hot.retain(key.sequence)
        if key.deliveryClass == .credential { secretUses[key.sequence, default: 0] += 1 }
        let ended = providers[index].lanes.enqueue(key, subject: subject, kind: kind, now: now)
        if let ended { end(ended, as: "superseded") }
        providers[index].gate.arrived(subject)
    }

    /// Nobody may log in with a password of somebody who is gone, whether or not an account is known.
    private func endPasswords(of subject: Int64, now: Timestamp) {
        for index in providers.indices {
            for deliveryClass in [DeliveryClass.credential, .profile] {
                for dropped in providers[index].lanes.dropAll(deliveryClass, of: subject, now: now) {
                    end(dropped, as: "dropped:subject-deleted")
                }
            }
        }
        for dropped in orphans.end([.credential, .profile], of: subject) { end(dropped, as: "dropped:subject-deleted") }
        endDeadSecrets(of: subject)
    }

    private func endDeadSecrets(of subject: Int64) {
        for key in (deadSecrets[subject] ?? [:]).keys { endDeadSecret(key, of: subject) }
    }

    /// Takes an event's meaning for its subject in again, without making deliveries.
    func refold(_ header: EventHeader, _ stored: StoredEvent, now: Timestamp) throws {
        guard let key = header.subject else { return }
        let version = header.version(received: stored.received, receipt: stored.sequence)
        let subject = try number(of: key, now: now)
        _ = try subjects.update(subject, now: now) { state in
            state.learn(header.learnt, from: header.kind, version: version)
            for (deliveryClass, kind) in header.states {
                _ = state.accept(deliveryClass, kind: kind, hasSecret: header.hasSecret, version: version)
            }
        }
    }
}

extension EventHeader {
    /// What it tells of the targeting attributes. Who was deleted wants nothing any more, whatever is still under way.
    fileprivate var learnt: SubjectFacts {
        guard kind == .userDeleted else { return facts }
        var learnt = facts
        learnt.syncEnabled = .known([])
        return learnt
    }

    /// Whether a delivery of this class and kind can be one of the event's.
    func tells(_ kind: EventKind, as deliveryClass: DeliveryClass) -> Bool {
        states.contains { $0 == (deliveryClass, kind) }
    }

    /// The states that an event tells, each with the kind that targeting asks for: a creation that carries a password
    /// is both.
    fileprivate var states: [(DeliveryClass, EventKind)] {
        kind == .userCreated && hasSecret
            ? [(.lifecycle, .userCreated), (.credential, .passwordUpdated)] : [(kind.deliveryClass, kind)]
    }
}
