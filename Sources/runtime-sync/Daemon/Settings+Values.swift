internal import Credentials
internal import EventModel
internal import Intake
internal import Journal
internal import Settings
internal import Sockets
internal import Supervision

// What the settings say, in the words of the floors that act on it.

extension IntakeSettings {
    var listener: IntakeListener {
        var listener = IntakeListener(listen.listenerAddress)
        if tls.isOn { listener.tls = (tls.certificate, tls.key) }
        listener.peerUIDs = Set(peerUIDs.map { UInt32($0) })
        return listener
    }

    var limits: IntakeLimits {
        var limits = IntakeLimits()
        limits.bodyBytes = maxBody.bytes
        limits.batchBytes = maxBatchBody.bytes
        // One that is larger than the room could never be taken whole, however often it came.
        limits.batchLines = min(limits.batchLines, maxPending)
        limits.connections = maxConnections
        limits.receivingBytes = max(limits.receivingBytes, 2 * maxBatchBody.bytes)
        return limits
    }
}

extension ListenAddress {
    fileprivate var listenerAddress: ListenerAddress {
        switch self {
        case .ip(let host, let port): .tcp(host: host, port: Int(port))
        case .unix(let path): .unix(path: path)
        }
    }

    /// No worker may be sent here.
    var egressRules: [EgressRule] {
        switch self {
        case .ip("localhost", let port):
            [EgressRule(host: "127.0.0.1", port: port), EgressRule(host: "::1", port: port)]
        case .ip(let host, let port): [EgressRule(host: host, port: port)]
        case .unix: []
        }
    }
}

extension DaemonSettings {
    var journalLimits: JournalLimits {
        var limits = JournalLimits()
        limits.waitingEvents = intake.maxPending
        limits.databaseBytes = journal.maxSize.bytes
        limits.events = journal.maxEvents
        return limits
    }
}

extension TargetingSettings {
    var names: AttributeNames {
        AttributeNames(
            syncEnabled: syncEnabledAttribute, userType: userTypeAttribute, externalID: externalIDAttribute)
    }
}

extension SourceSettings {
    /// Reads the secrets: once, at the start.
    func intakeSource() throws -> IntakeSource {
        let secrets = try secrets.map { source in
            try source.withBytes { bytes in
                do {
                    return try WebhookSecret(parsing: bytes)
                } catch {
                    throw StartFailure("the secret of source \(name): \(source) \(error)", isSettings: true)
                }
            }
        }
        return IntakeSource(
            name: name, instance: instance, realms: realms.listed, kinds: kinds.listed,
            mayCarryPassword: mayCarryPassword,
            signature: secrets.first.map { WebhookSignature(current: $0, previous: secrets.dropFirst().first) },
            unsignedPeerUIDs: Set(unsignedPeerUIDs.map { UInt32($0) }), maximumAge: maxEventAge.wholeMilliseconds)
    }
}

extension Allowed {
    fileprivate var listed: IntakeSource.Allowed<Element> {
        switch self {
        case .all: .all
        case .only(let elements): .some(elements)
        }
    }
}
