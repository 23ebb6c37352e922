internal import Credentials
internal import EventModel
internal import Journal

/// Decides what becomes of a posted body: who sent it, whether it is an event, whether its sender may say so; then cuts
/// the secret out, seals it, and hands the event to the journal. Any thread; blocks on nothing but short locks.
struct Gatekeeper: Sendable {
    let sources: [IntakeSource]
    let reader: EnvelopeReader
    let sealer: Sealer
    let bodyHash: KeyedHash
    let idHash: KeyedHash
    let seen: SeenEvents
    let journal: Journal
    let room: JournalRoom

    /// What came with a body.
    struct Credentials {
        var id: String?
        var timestamp: String?
        var signatures: String?
        /// The peer's user, if it speaks over a Unix socket.
        var peerUID: UInt32?
    }

    /// What became of an event.
    enum Fate {
        /// It will be on disk, or not, when the token is called.
        case waits(id: Hash128, event: String)
        /// Another copy will.
        case waitsForCopy(event: String)
        case duplicate(event: String)
        case refused(Refusal)
    }

    /// Who sent a body.
    func authenticate(
        _ credentials: Credentials, body: UnsafeRawBufferPointer, now: Timestamp
    ) throws(Refusal) -> IntakeSource {
        if let uid = credentials.peerUID, credentials.signatures == nil,
            let source = sources.first(where: { $0.unsignedPeerUIDs.contains(uid) })
        {
            return source
        }
        // Each source's secrets are tried: nothing unsigned may choose which one. The answer tells about the header, and
        // does not tell which sources there are.
        var verdict = WebhookSignature.Verdict.mismatch
        for source in sources {
            guard let signature = source.signature else { continue }
            verdict = signature.verify(
                id: credentials.id, timestamp: credentials.timestamp, signatures: credentials.signatures, body: body,
                now: now)
            if case .matched = verdict { return source }
        }
        switch verdict {
        case .missing(let header): throw .unauthenticated("the header \(header) is missing")
        case .malformed(let header, let accepted):
            throw .unauthenticated("the header \(header) is malformed; accepted: \(accepted)")
        case .stale(let seconds):
            throw .unauthenticated(
                "webhook-timestamp is \(seconds) s off our clock; \(WebhookSignature.tolerance) s are tolerated")
        case .mismatch, .matched: throw .unauthenticated("the signature matches no source")
        }
    }

    /// Takes one event in.
    ///
    /// - Parameters:
    ///   - body: the event's bytes; the secret in them is overwritten with zeros.
    ///   - group, token: who is called when it is on disk.
    func admit(
        _ body: UnsafeMutableRawBufferPointer, from source: IntakeSource, now: Timestamp, group: any CommitGroup,
        token: UInt64
    ) -> Fate {
        do {
            let envelope = try reader.read(UnsafeRawBufferPointer(body))
            // Everything that looks at the secret comes first, and wipes it, whatever becomes of the event.
            let header = envelope.header
            let id = idHash("\(source.name)\n\(header.id)")
            let mac = mac(of: UnsafeRawBufferPointer(body), envelope, id: id, now: now)
            let secret = try seal(envelope, body, now: now)
            if let refusal = source.refuses(header, now: now) { return .refused(refusal) }
            let admission = try seen.admit(id: id, body: mac, received: now) {
                let record = EventRecord(
                    id: header.id, mac: mac, kind: header.kind, received: now, source: source.name,
                    flags: flags(header), body: sealBody(envelope, body, now: now), secret: secret, context: header)
                return try journal.submit(record, group: group, token: token)
            }
            switch admission {
            case .submitted: return .waits(id: id, event: header.id)
            case .pending(let ticket):
                try journal.submit(barrier: ticket, group: group, token: token)
                return .waitsForCopy(event: header.id)
            case .duplicate: return .duplicate(event: header.id)
            case .conflict: return .refused(.conflict)
            }
        } catch let error as EnvelopeError {
            return .refused(.invalid(error.field, error.reason))
        } catch let refusal as Refusal {
            return .refused(refusal)
        } catch SubmitRefusal.full {
            room.refused(Refusal.journalIsFull.detail)
            return .refused(.journalIsFull)
        } catch SubmitRefusal.tooManyWaiting {
            return .refused(.unavailable("too many events wait for the disk"))
        } catch {
            return .refused(.unavailable("the journal takes no events at the moment"))
        }
    }

    /// What the same event has again: for one with a secret, half of it says what stands around the secret, and half,
    /// which ends with the secret's data key, the secret.
    private func mac(
        of body: UnsafeRawBufferPointer, _ envelope: EnvelopeReader.Envelope, id: Hash128, now: Timestamp
    ) -> Hash128 {
        guard let range = envelope.secret else { return bodyHash(body) }
        var mac = bodyHash(body, around: range)
        let earlier = seen.earlier(id)
        let mark = sealer.mark(
            UnsafeRawBufferPointer(rebasing: body[range]), in: envelope.header.secretContext,
            at: earlier?.received ?? now, isNew: earlier == nil)
        // Where the key is gone, nobody can tell one secret from another any more.
        mac[1] = mark ?? earlier?.body[1] ?? 0
        return mac
    }

    /// Seals the secret straight from the body and overwrites it there.
    private func seal(
        _ envelope: EnvelopeReader.Envelope, _ body: UnsafeMutableRawBufferPointer, now: Timestamp
    ) throws -> [UInt8]? {
        guard let range = envelope.secret else { return nil }
        let contents = UnsafeMutableRawBufferPointer(rebasing: body[range])
        defer { contents.wipe() }
        do {
            let secret = try SecretBytes(unescapingJSON: UnsafeRawBufferPointer(contents))
            return secret.withUnsafeBytes {
                sealer.seal($0, as: .secret, in: envelope.header.secretContext, at: now)
            }
        } catch {
            throw EnvelopeError("credential.value", "not a valid JSON string")
        }
    }

    /// The body around the secret.
    private func sealBody(
        _ envelope: EnvelopeReader.Envelope, _ body: UnsafeMutableRawBufferPointer, now: Timestamp
    ) -> [UInt8] {
        let context = SealContext(event: envelope.header.id)
        guard let range = envelope.secret else {
            return sealer.seal(UnsafeRawBufferPointer(body), as: .body, in: context, at: now)
        }
        let cut = Array(body[..<range.lowerBound]) + Array(body[range.upperBound...])
        return cut.withUnsafeBytes { sealer.seal($0, as: .body, in: context, at: now) }
    }

    private func flags(_ header: EventHeader) -> EventRecord.Flags {
        var flags: EventRecord.Flags = []
        if header.hasSecret { flags.insert(.hasSecret) }
        if header.isTemporary { flags.insert(.temporary) }
        return flags
    }
}
