/// A value of the source that may be there, be empty, or not be known. Absent and unknown are never mixed up: an absent
/// opt-in means no, an unknown one means that somebody has to ask.
public enum Known<Value: Hashable & Sendable>: Hashable, Sendable {
    case unknown
    case known(Value)

    /// The value, if it is known.
    public var value: Value? {
        guard case .known(let value) = self else { return nil }
        return value
    }

    /// This one, or `older` where this one is unknown.
    public func or(_ older: Self) -> Self {
        self == .unknown ? older : self
    }
}

/// What decides whether a subject's changes go to a provider: the values of the three targeting attributes. An empty
/// list means that the subject does not have the attribute.
public struct SubjectFacts: Hashable, Sendable {
    public var syncEnabled: Known<[String]>
    public var userType: Known<[String]>
    public var externalID: Known<[String]>

    public init(
        syncEnabled: Known<[String]> = .unknown, userType: Known<[String]> = .unknown,
        externalID: Known<[String]> = .unknown
    ) {
        self.syncEnabled = syncEnabled
        self.userType = userType
        self.externalID = externalID
    }

    /// Whether sync is on for the subject: one value, `true`. A list of several is not a clear yes, and only a clear yes
    /// is one. `nil` = unknown.
    public var isOptedIn: Bool? {
        syncEnabled.value.map { $0.count == 1 && $0[0].lowercased() == "true" }
    }

    /// These facts, with older ones where these are silent.
    public func over(_ older: Self) -> Self {
        Self(
            syncEnabled: syncEnabled.or(older.syncEnabled), userType: userType.or(older.userType),
            externalID: externalID.or(older.externalID))
    }
}

/// Which attributes of a subject the three facts are read from.
public struct AttributeNames: Hashable, Sendable {
    /// Default `syncEnabled`.
    public var syncEnabled: String
    /// Default `userType`.
    public var userType: String
    /// Default `externalId`.
    public var externalID: String

    public init(syncEnabled: String = "syncEnabled", userType: String = "userType", externalID: String = "externalId") {
        self.syncEnabled = syncEnabled
        self.userType = userType
        self.externalID = externalID
    }
}
