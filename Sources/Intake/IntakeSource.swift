public import Credentials
public import EventModel

/// Who may post events, and what about. What is not listed is not allowed.
public struct IntakeSource: Sendable {
    /// Its name in the settings.
    public var name: String
    /// The Keycloak installation that it speaks for: `source.instance` of its events.
    public var instance: String
    /// Ids of the realms that it speaks for.
    public var realms: Allowed<String>
    public var kinds: Allowed<EventKind>
    public var mayCarryPassword: Bool
    /// Checks its signatures; `nil` if it may come unsigned only.
    public var signature: WebhookSignature?
    /// Processes of these users may speak for it without a signature, over a Unix socket.
    public var unsignedPeerUIDs: Set<UInt32>
    /// Events that happened longer ago are refused; milliseconds. Ids are remembered at least as long.
    public var maximumAge: Int64

    /// A list of what is allowed, or everything.
    public enum Allowed<Value: Hashable & Sendable>: Hashable, Sendable {
        case all
        case some(Set<Value>)

        func contains(_ value: Value) -> Bool {
            switch self {
            case .all: true
            case .some(let values): values.contains(value)
            }
        }
    }

    public init(
        name: String, instance: String, realms: Allowed<String>, kinds: Allowed<EventKind>, mayCarryPassword: Bool,
        signature: WebhookSignature?, unsignedPeerUIDs: Set<UInt32> = [], maximumAge: Int64
    ) {
        self.name = name
        self.instance = instance
        self.realms = realms
        self.kinds = kinds
        self.mayCarryPassword = mayCarryPassword
        self.signature = signature
        self.unsignedPeerUIDs = unsignedPeerUIDs
        self.maximumAge = maximumAge
    }
}

extension IntakeSource {
    /// Whether the source may say this.
    func refuses(_ header: EventHeader, now: Timestamp) -> Refusal? {
        guard header.instance == instance else {
            return .forbidden("source.instance", "the source \(name) speaks for another instance")
        }
        guard header.realmID.map(realms.contains) ?? (realms == .all) else {
            return .forbidden(
                "source.realmId",
                header.realmID == nil
                    ? "missing; the source \(name) speaks for certain realms only, and must say which"
                    : "the source \(name) does not speak for this realm")
        }
        guard kinds.contains(header.kind) else {
            return .forbidden("kind", "the source \(name) may not send \(header.kind.name)")
        }
        guard mayCarryPassword || !header.hasSecret else {
            return .forbidden("credential", "the source \(name) may not carry passwords (may_carry_password)")
        }
        guard now - header.time <= maximumAge else {
            return .invalid("time", "older than the \(maximumAge / 1_000) s that the source \(name) allows")
        }
        guard header.time - now <= Self.longestAhead else {
            return .invalid("time", "more than a day ahead of our clock")
        }
        return nil
    }

    /// Clocks differ, and a password is worth more than a clock's order: how far ahead of ours an event's time may be, in
    /// milliseconds. (Which state is newer does not follow a clock beyond ours, see `VersionClaim`.) Further ahead, an
    /// event would never grow too old.
    private static let longestAhead: Int64 = 86_400_000
}
