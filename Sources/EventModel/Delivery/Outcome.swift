/// How a request to a plugin ended. The raw value is the one of `rts_outcome` in the plugin header.
public enum Outcome: UInt32, Hashable, Sendable, CaseIterable {
    case delivered = 0
    /// Transient: the target is down, slow or busy.
    case retry = 1
    /// This change for this account can never succeed.
    case refused = 2
    /// Nothing can succeed until the settings or the target's own set-up change.
    case misconfigured = 3
    /// The target has no such account (yet).
    case absent = 4
    /// It was sent and no answer came: it may or may not have been carried out.
    case unknown = 5

    /// The word in lists and logs.
    public var name: String {
        switch self {
        case .delivered: "delivered"
        case .retry: "retry"
        case .refused: "refused"
        case .misconfigured: "misconfigured"
        case .absent: "absent"
        case .unknown: "unknown"
        }
    }
}

/// The answer of a plugin to one request.
public struct Completion: Hashable, Sendable {
    public var outcome: Outcome
    /// Milliseconds before which the target wants no other attempt; 0 leaves it to us.
    public var retryAfter: UInt32
    /// The target's own words, without secrets; for people.
    public var detail: String
    /// The account's stable id at the target, if the plugin knows it.
    public var account: String?
    /// For a read: JSON object, attribute to array of strings.
    public var record: [UInt8]?

    public init(
        _ outcome: Outcome, detail: String = "", account: String? = nil, retryAfter: UInt32 = 0, record: [UInt8]? = nil
    ) {
        self.outcome = outcome
        self.retryAfter = retryAfter
        self.detail = detail
        self.account = account
        self.record = record
    }
}
