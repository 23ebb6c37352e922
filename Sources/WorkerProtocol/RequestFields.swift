public import EventModel

/// What a request to a plugin says: one delivery, one password to verify, or one record to read.
///
/// The fields are lent: `secret` points to memory of the caller, which must stay valid until the frame is written. What
/// each one means stands at `rts_delivery` in `runtime_sync.h`; `nil` is absent there, which is not the same as empty.
public struct RequestFields {
    public var deliveryClass: DeliveryClass
    /// 1 for the first.
    public var attempt: UInt32
    /// Milliseconds from now that the plugin has.
    public var deadline: UInt32
    public var flags: RequestFlags
    public var kind: EventKind
    /// The same for every attempt of one delivery.
    public var idempotencyKey: String
    public var externalID: String?
    /// The account this subject is bound to; `nil` while there is no binding.
    public var account: String?
    /// JSON object: the event without its credential's value.
    public var event: [UInt8]?
    /// JSON object: target attribute to array of strings.
    public var attributes: [UInt8]?
    /// The password; goes straight from here into the frame.
    public var secret: UnsafeRawBufferPointer?

    public init(
        _ deliveryClass: DeliveryClass, kind: EventKind, idempotencyKey: String, attempt: UInt32 = 1, deadline: UInt32,
        flags: RequestFlags = [], externalID: String? = nil, account: String? = nil, event: [UInt8]? = nil,
        attributes: [UInt8]? = nil, secret: UnsafeRawBufferPointer? = nil
    ) {
        self.deliveryClass = deliveryClass
        self.kind = kind
        self.idempotencyKey = idempotencyKey
        self.attempt = attempt
        self.deadline = deadline
        self.flags = flags
        self.externalID = externalID
        self.account = account
        self.event = event
        self.attributes = attributes
        self.secret = secret
    }
}

@available(*, unavailable)
extension RequestFields: Sendable {}

/// `rts_delivery.flags` of the plugin header.
public struct RequestFlags: OptionSet, Hashable, Sendable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// The password must be changed at the next login.
    public static let temporary = Self(rawValue: 1)
    /// Nothing has been delivered to this account before.
    public static let first = Self(rawValue: 2)
}

/// What is asked of a plugin with ``RequestFields``.
public enum RequestType: Sendable {
    /// Write this to the target.
    case deliver
    /// Is the secret the account's password?
    case verify
    /// What does the account's record hold?
    case read
}
