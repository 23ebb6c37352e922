/// What Runtime Sync itself needs to know of an event; everything else in its body is for the plugins.
public struct EventHeader: Hashable, Sendable {
    /// Chosen by the source; the same id is the same event.
    public var id: String
    public var kind: EventKind
    /// When it happened, as the source says.
    public var time: Timestamp
    /// The Keycloak installation.
    public var instance: String
    /// The realm's name, if the source told it; for people.
    public var realm: String?
    /// The realm's id; `nil` only where there is no subject.
    public var realmID: String?
    /// Whom it is about; `nil` only for notifications about nobody we know.
    public var subject: SubjectKey?
    /// What the event tells about the subject's targeting attributes.
    public var facts: SubjectFacts
    /// When the state became true, as the source says; `nil` if it does not.
    public var version: VersionClaim?
    /// Whether a captured secret came with the event.
    public var hasSecret: Bool
    /// Whether the password must be changed at the next login.
    public var isTemporary: Bool
}

/// A version as a source writes it.
public struct VersionClaim: Hashable, Sendable {
    public var at: Timestamp
    public var node: String?
    public var sequence: UInt64?

    public init(at: Timestamp, node: String?, sequence: UInt64?) {
        self.at = at
        self.node = node
        self.sequence = sequence
    }
}

extension EventHeader {
    /// The version of the state in this event, once it is received.
    ///
    /// - Parameters:
    ///   - received: when; a claim from the future is clamped to it, or it would beat every later change.
    ///   - receipt: its place among all received events.
    public func version(received: Timestamp, receipt: Int64) -> Version {
        guard let version else { return Version(at: received, node: nil, sequence: nil, receipt: receipt) }
        return Version(
            at: min(version.at, received), node: version.node, sequence: version.sequence, receipt: receipt)
    }
}
