/// What happened to a user. The raw value is stored in the journal and never reused.
public enum EventKind: UInt8, Hashable, Sendable, CaseIterable {
    case passwordUpdated = 1
    case profileUpdated = 2
    case userCreated = 3
    case userRenamed = 4
    case userDisabled = 5
    case userDeleted = 6
    case loginSucceeded = 7
    case loginFailed = 8
    case logout = 9
    /// Any other event; its type stands in `source.type`.
    case event = 10

    /// The name in the envelope, such as `password.updated`.
    public var name: String {
        switch self {
        case .passwordUpdated: "password.updated"
        case .profileUpdated: "profile.updated"
        case .userCreated: "user.created"
        case .userRenamed: "user.renamed"
        case .userDisabled: "user.disabled"
        case .userDeleted: "user.deleted"
        case .loginSucceeded: "login.succeeded"
        case .loginFailed: "login.failed"
        case .logout: "logout"
        case .event: "event"
        }
    }

    public init?(name: some StringProtocol) {
        guard let kind = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = kind
    }

    /// The number in the journal.
    public var number: Int64 { Int64(rawValue) }

    /// - Parameter number: from the journal; what a newer version wrote, or damage, may be no kind's.
    public init?(number: Int64) {
        guard let kind = UInt8(exactly: number).flatMap(Self.init(rawValue:)) else { return nil }
        self = kind
    }

    /// The lane that deliveries of this kind take.
    public var deliveryClass: DeliveryClass {
        switch self {
        case .passwordUpdated: .credential
        case .profileUpdated: .profile
        case .userCreated, .userRenamed, .userDisabled, .userDeleted: .lifecycle
        case .loginSucceeded, .loginFailed, .logout, .event: .notification
        }
    }

    /// Whether the envelope may carry a credential.
    public var mayCarryCredential: Bool {
        self == .passwordUpdated || self == .userCreated
    }

    /// Whether what it tells of the subject's targeting attributes is learned. A source that may only tell of logins could
    /// otherwise move a subject to another account, or opt it in.
    public var teachesFacts: Bool {
        deliveryClass != .notification
    }

    /// Whether the envelope must name a subject. A failed login of an unknown user has none.
    public var needsSubject: Bool {
        deliveryClass != .notification
    }
}

/// What a delivery carries. The raw value is the one of `rts_class` in the plugin header, and stored in the journal.
public enum DeliveryClass: UInt8, Hashable, Sendable, CaseIterable {
    case credential = 0
    case profile = 1
    case lifecycle = 2
    case notification = 3

    /// The name in settings, manifests and lists.
    public var name: String {
        switch self {
        case .credential: "credential"
        case .profile: "profile"
        case .lifecycle: "lifecycle"
        case .notification: "notification"
        }
    }

    public init?(name: some StringProtocol) {
        guard let found = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = found
    }

    /// Whether a newer delivery of the same lane makes an older waiting one pointless.
    public var isState: Bool {
        self == .credential || self == .profile
    }
}
