/// How a provider stands, for lists.
public struct ProviderReport: Codable, Hashable, Sendable {
    public var name: String
    /// `running`, `held back`, `checking`, `trying` (the check passed; one delivery is tried), `paused`, `no worker`,
    /// `observing`, `not in the settings` (any more, and something still waits for it).
    public var state: String
    /// Why it is held back, or what keeps it from having a worker; empty otherwise.
    public var reason: String
    public var waiting: Int
    public var inFlight: Int
    /// Since the journal began: made, delivered, superseded, dead, expired, dropped:REASON, skipped:REASON.
    public var counters: [String: Int64]
    /// Why nothing ends by its age at present; `nil` if that is not so. The same for all providers.
    public var nothingExpires: String?
    /// How much of the journal could not be read: `subjects` that began anew and `events` that were left out, since the
    /// journal began, and `dead letters` that there are. Without those that are zero. The same for all providers.
    public var unreadable: [String: Int64]

    /// The state of a provider that is in the journal only.
    public static let notInSettings = "not in the settings"

    /// That deliveries wait for a provider without settings, and what to do; for people.
    public var wordsWithoutSettings: String {
        let count = waiting + inFlight
        return
            "\(count) \(count == 1 ? "delivery waits" : "deliveries wait") for provider \(name), which is not in the "
            + "settings: put its file back, or give them up with `runtime-sync queue drop --provider \(name)`"
    }

    /// Why what is to be sent to it does not go at once, for people; `nil` if it does.
    public var obstacle: String? {
        switch state {
        case "paused": "provider \(name) is paused; `runtime-sync providers resume \(name)` lets its deliveries go"
        case "no worker":
            "provider \(name) has no worker\(reason.isEmpty ? "" : " (\(reason))"); its deliveries wait until it has one"
        case "observing": "provider \(name) only observes; nothing is sent to it"
        case "held back", "checking", "trying":
            "provider \(name) is held back (\(reason)); its target is asked now, then one delivery is tried"
        default: nil
        }
    }

    /// How it stands, in a sentence for people.
    public var words: String {
        if state == Self.notInSettings { return wordsWithoutSettings }
        let waits = "\(waiting) \(waiting == 1 ? "delivery waits" : "deliveries wait")"
        return "\(obstacle ?? "provider \(name) is \(state)"); \(waits)"
    }

    /// Deliveries made minus those that ended, minus those that wait: zero, or something was lost (promise 2).
    public var unaccounted: Int64 {
        let ended = counters.reduce(0) { $1.key == "made" ? $0 : $0 + $1.value }
        return (counters["made"] ?? 0) - ended - Int64(waiting + inFlight)
    }
}

/// A delivery that has not ended, or ended as a dead letter.
public struct DeliveryReport: Codable, Hashable, Sendable {
    /// Names it in `queue show`, `retry` and `drop`.
    public var id: Int64
    public var provider: String
    /// Such as `password.updated`; `unreadable of kind 12` if this version knows none of that number.
    public var kind: String
    /// The event's id; empty if the event is not in the journal.
    public var event: String
    /// The subject's user id; empty if it has none, `?` if what is known of it is damaged.
    public var user: String
    /// When the event was received; RFC 3339. Empty if the event is not in the journal.
    public var received: String
    /// `waiting`, `in flight`, `dead`.
    public var state: String
    /// Attempts made.
    public var attempt: Int
    /// When it is tried again, if it waits for a time; RFC 3339.
    public var due: String?
    /// Why it is dead, or what its provider waits for.
    public var reason: String?
    /// The target's own words: why it is dead, or what was said to the last attempt since the daemon's start. They may
    /// name a person; a password in them is replaced by `[redacted]`.
    public var detail: String?
    /// Whether the password is still there to be retried; `nil` if the delivery never had one.
    public var hasSecret: Bool?
}

/// What is known of a user, and what each provider would do.
public struct SubjectReport: Codable, Hashable, Sendable {
    /// One provider's view.
    public struct Decision: Codable, Hashable, Sendable {
        public var provider: String
        /// `eligible`, or why not.
        public var decision: String
        public var externalID: String?
        /// The account that the subject is bound to.
        public var account: String?
        public var waiting: [DeliveryReport]
    }

    public var instance: String
    public var realm: String
    public var user: String
    /// The targeting attributes; `nil` = unknown, empty = the subject does not have it.
    public var syncEnabled: [String]?
    public var userType: [String]?
    public var attributeExternalID: [String]?
    /// When each state was last accepted, by class; RFC 3339.
    public var newest: [String: String]
    /// Since when the source has a password that was not captured; RFC 3339.
    public var notCapturedSince: String?
    public var providers: [Decision]
}

/// Why an operator's command cannot be carried out.
public enum CommandError: Error, Codable, Hashable, Sendable, CustomStringConvertible {
    case noSuchProvider(String, known: [String])
    case noSuchDelivery(Int64)
    case noSuchUser(String)
    case inFlight(Int64)
    /// The password is gone: superseded, dropped or expired.
    case needsNewPassword(Int64)
    /// A newer state was accepted since.
    case outdated(Int64)
    /// This version knows no such kind.
    case unreadable(Int64, kind: Int64)
    /// Its provider is not in the settings any more.
    case notConfigured(Int64, provider: String)
    /// What the journal holds of it cannot be read; the next event about the user begins anew.
    case damaged(String)

    public var description: String {
        switch self {
        case .noSuchProvider(let name, let known):
            "no provider is called \(name); there are: \(known.sorted().joined(separator: ", "))"
        case .noSuchDelivery(let id): "no delivery \(id) waits or is a dead letter; `queue list` shows those there are"
        case .noSuchUser(let user): "no event was ever about a user \(user)"
        case .inFlight(let id): "delivery \(id) is in flight; look again when it was answered"
        case .needsNewPassword(let id): "delivery \(id) needs a new password: the one it had is gone"
        case .damaged(let what): "\(what); the next event about the user begins anew"
        case .unreadable(let id, let kind):
            "delivery \(id) is of kind \(kind), which this version does not know; it can be dropped"
        case .notConfigured(let id, let provider):
            "delivery \(id) is for provider \(provider), which is not in the settings any more; it can be dropped"
        case .outdated(let id): "delivery \(id) is outdated: a newer change of the same user was accepted since"
        }
    }
}
