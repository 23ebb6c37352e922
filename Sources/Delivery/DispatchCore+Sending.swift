internal import Credentials
internal import EventModel
internal import Journal
internal import Logging
internal import NIOCore
internal import WorkerProtocol

// From a waiting delivery to a request.
extension DispatchCore {
    /// Sends what may be sent, as far as the windows allow.
    func pump(now: Timestamp) {
        for index in providers.indices { pump(index, now: now) }
    }

    private func pump(_ index: Int, now: Timestamp) {
        providers[index].lanes.wake(now: now)
        guard let port = providers[index].port, !providers[index].isPaused else { return }
        var frames = ByteBuffer()
        if providers[index].gate.look(now: now) { startCheck(index, frames: &frames, now: now) }
        let window = DeliveryWindow(size: providers[index].gate.limit(providers[index].route.window))
        if window.isOpen(inFlight: providers[index].inFlight.count) {
            while providers[index].inFlight.count < window.size, let ticket = nextDelivery(of: index) {
                do {
                    try send(ticket, provider: index, frames: &frames, now: now)
                } catch {
                    unreadable(ticket, error, provider: index, now: now)
                }
            }
        }
        if frames.readableBytes > 0 { port.send(frames, generation: providers[index].generation) }
    }

    /// A delivery that cannot be put into words. If reading failed it is looked at again; what is damaged stays so.
    func unreadable(_ ticket: LaneTable.Ticket, _ error: any Error, provider index: Int, now: Timestamp) {
        guard error is JournalError else {
            return bury(ticket, provider: index, reason: "damaged", detail: "\(error)", now: now)
        }
        log(.error, "journal not readable", ticket, provider: index, ["error": "\(error)"])
        putBack(ticket, provider: index, after: 5_000, counts: false, now: now)
    }

    private func startCheck(_ index: Int, frames: inout ByteBuffer, now: Timestamp) {
        guard providers[index].route.canCheck else {
            // Without a check, the next delivery is the test.
            return providers[index].gate.checkPassed()
        }
        let id = takeRequestID()
        providers[index].check = id
        providers[index].checkDeadline = now + providers[index].route.deadline
        frames.writeCheckFrame(id: id)
    }

    private func nextDelivery(of index: Int) -> LaneTable.Ticket? {
        guard providers[index].gate.isTrying else { return providers[index].lanes.next() }
        let gate = providers[index].gate
        return providers[index].lanes.nextTrial(suspecting: gate.isSuspect, using: &random)
    }

    func takeRequestID() -> UInt64 {
        nextRequest += 1
        return nextRequest
    }

    /// Asks once more whether the delivery should go, and where to; then writes its request.
    private func send(
        _ ticket: LaneTable.Ticket, provider index: Int, frames: inout ByteBuffer, now: Timestamp
    ) throws {
        guard let event = try load(ticket) else {
            return bury(ticket, provider: index, reason: "lost", detail: "the event is not in the journal", now: now)
        }
        let route = providers[index].route
        let state = ticket.subject == 0 ? nil : try subjects.state(ticket.subject, now: now)
        // Rows are not sealed, events are: a row that says otherwise must not lead a password to another account.
        guard event.header.subject == state?.key, event.header.tells(ticket.kind, as: ticket.key.deliveryClass) else {
            throw DispatchError.damaged("the delivery: it is not of its event's subject or kind")
        }
        let bound =
            ticket.key.deliveryClass == .notification
            ? nil : try bindings.account(slot: route.slot, subject: ticket.subject)
        // Who has an account that was renamed or disabled since does not need it made once more.
        let isMade = ticket.kind == .userCreated && bound != nil && state?.wasChangedSinceCreation == true
        if isMade || state?.isOutdated(ticket.key, ticket.kind) == true {
            return finish(ticket, provider: index, as: "superseded", now: now)
        }
        var externalID: String?
        let facts = state?.facts(for: ticket.kind, telling: event.header.facts)
        switch route.targeting.decide(
            ticket.kind, facts: facts, isBound: bound != nil, isTemporary: event.header.isTemporary)
        {
        case .skip(let reason):
            return finish(ticket, provider: index, as: "skipped:\(reason.rawValue)", now: now)
        case .deliver(let id): externalID = id
        }
        // What is deleted is the account that was bound, whatever its subject was called in the end.
        if ticket.kind == .userDeleted, let bound { externalID = bound.externalID }
        var flight = Flight(
            ticket: ticket, purpose: .deliver, deadline: now + route.deadline, externalID: externalID,
            account: bound?.account, isBound: bound != nil)
        if ticket.key.deliveryClass != .notification {
            guard try mayGo(&flight, bound: bound, provider: index, now: now) else { return }
        }
        do {
            try write(flight, event: event, provider: index, frames: &frames)
        } catch {
            releaseClaims(of: flight)
            throw error
        }
    }

    /// One account, one owner: a delivery goes to the account its subject is bound to, or to one that nobody has.
    private func mayGo(
        _ flight: inout Flight, bound: BoundAccount?, provider index: Int, now: Timestamp
    ) throws -> Bool {
        let route = providers[index].route
        let ticket = flight.ticket
        if let bound {
            guard let externalID = flight.externalID, let boundBy = bound.externalID, boundBy != externalID else {
                return true
            }
            bury(
                ticket, provider: index, reason: "refused",
                detail: "the subject's external id changed; its account is bound by another one", now: now)
            return false
        }
        if let externalID = flight.externalID {
            if let owner = try bindings.owner(slot: route.slot, externalID: externalID), owner != ticket.subject {
                bury(
                    ticket, provider: index, reason: "refused",
                    detail: "the external id is bound to \(nameOfOwner(owner, now: now))", now: now)
                return false
            }
            guard let claim = bindings.claim(slot: route.slot, externalID: externalID, for: ticket.subject) else {
                putBack(ticket, provider: index, after: Self.claimPause, counts: false, now: now)
                return false
            }
            flight.claims.append(claim)
        }
        if route.canRead { flight.purpose = .locate }
        return true
    }

    /// How long a delivery waits while another subject is about to bind its account; milliseconds.
    static let claimPause: Int64 = 1_000

    /// Writes the request of a flight, which is under way from now on.
    func write(_ flight: Flight, event: HotEvents.Event, provider index: Int, frames: inout ByteBuffer) throws {
        let route = providers[index].route
        let ticket = flight.ticket
        let id = takeRequestID()
        let body = try vault.openBody(event.body, id: event.id)
        var fields = RequestFields(
            ticket.key.deliveryClass, kind: ticket.kind,
            idempotencyKey: idempotencyKey(of: ticket.key, event: event.id, provider: route.name),
            attempt: UInt32(clamping: ticket.attempt), deadline: UInt32(clamping: route.deadline),
            externalID: flight.externalID, account: flight.account, event: body)
        if event.header.isTemporary { fields.flags.insert(.temporary) }
        if ticket.key.deliveryClass != .notification, !flight.isBound { fields.flags.insert(.first) }
        if ticket.key.deliveryClass != .notification, ticket.key.deliveryClass != .credential {
            fields.attributes = route.mapping.attributes(of: try JSONValue(parsing: body)["subject"]).bytes
        }
        switch flight.purpose {
        case .locate: try frames.writeRequestFrame(.read, id: id, fields)
        case .deliver:
            if ticket.key.deliveryClass == .credential {
                guard let sealed = event.secret else { throw DispatchError.damaged("the secret of event \(event.id)") }
                let secret = try vault.openSecret(sealed, of: event.header)
                try secret.withUnsafeBytes { bytes in
                    fields.secret = bytes
                    try frames.writeRequestFrame(.deliver, id: id, fields)
                }
            } else {
                try frames.writeRequestFrame(.deliver, id: id, fields)
            }
        }
        providers[index].inFlight[id] = flight
    }

    /// The same for every attempt; a retry by hand is meant to be carried out again, so it gets a key of its own.
    private func idempotencyKey(of key: DeliveryKey, event: String, provider: String) -> String {
        // Ids are unique within a source only; the event's place in the journal tells two sources apart.
        let base = "\(event):\(provider):\(key.deliveryClass.name):\(key.sequence)"
        return manualRetries[key].map { "\(base):\($0)" } ?? base
    }

    /// The event of a delivery, from memory or from the journal.
    func load(_ ticket: LaneTable.Ticket) throws -> HotEvents.Event? {
        if let event = hot[ticket.key.sequence] { return event }
        guard let stored = try journal.event(ticket.key.sequence), let header = try header(of: stored) else {
            return nil
        }
        return HotEvents.Event(id: stored.id, header: header, body: stored.body, secret: stored.secret)
    }
}
