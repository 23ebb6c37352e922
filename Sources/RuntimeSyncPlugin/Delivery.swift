internal import CRuntimeSync

/// What a delivery carries.
public enum DeliveryClass: UInt32, Sendable {
    case credential = 0
    case profile = 1
    case lifecycle = 2
    case notification = 3
}

/// One request, lent by the host for the length of a call. Copy what is needed longer; a copied secret goes into a
/// ``SecretBuffer``.
public struct Delivery: ~Copyable {
    private let raw: UnsafePointer<rts_delivery>

    init(_ raw: UnsafePointer<rts_delivery>) {
        self.raw = raw
    }

    /// Names the request until it is completed.
    public var id: UInt64 { raw.pointee.id }
    /// What it carries; `nil` for a class that this plugin was built too early to know.
    public var deliveryClass: DeliveryClass? { DeliveryClass(rawValue: raw.pointee.delivery_class) }
    /// 1 for the first attempt.
    public var attempt: UInt32 { raw.pointee.attempt }
    /// Milliseconds from now until the host cancels.
    public var deadline: UInt32 { raw.pointee.deadline_ms }
    /// The password must be changed at the next login.
    public var isTemporary: Bool { raw.pointee.flags & UInt32(RTS_FLAG_TEMPORARY) != 0 }
    /// Nothing has been delivered to this account before.
    public var isFirst: Bool { raw.pointee.flags & UInt32(RTS_FLAG_FIRST) != 0 }
    /// The event's kind, such as `password.updated`.
    public var kind: String { raw.pointee.kind.text ?? "" }
    /// The same for every attempt of one delivery.
    public var idempotencyKey: String { raw.pointee.idempotency_key.text ?? "" }
    /// What the subject's external-id attribute says; `nil` if it has none.
    public var externalID: String? { raw.pointee.external_id.text }
    /// The account that the subject is bound to, as this plugin reported it; `nil` while there is no binding.
    public var account: String? { raw.pointee.account.text }
    /// The event as a JSON object, without the credential's value.
    public var event: [UInt8] { raw.pointee.event.array }
    /// JSON object, target attribute to array of strings: the state to write.
    public var attributes: [UInt8] { raw.pointee.attributes.array }

    /// Lends the secret's bytes, UTF-8; empty if there is none.
    public func withSecret<R: ~Copyable, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try body(UnsafeRawBufferPointer(start: raw.pointee.secret.data, count: raw.pointee.secret.size))
    }
}

@available(*, unavailable, message: "a delivery is lent for one call on the host's thread")
extension Delivery: Sendable {}

/// What a provider gets at its start.
public struct StartRequest: Sendable {
    /// The provider's name.
    public let provider: String
    /// JSON object: the provider's settings, checked against the manifest's schema, without files and secrets.
    public let settings: [UInt8]
    /// Descriptors of the settings' files and secrets, by key; open until stop; secrets are read with ``SecretBuffer/init(reading:)``.
    public let files: [String: Int32]
    /// At most so many requests are outstanding at once.
    public let window: Int

    init(_ raw: rts_start) {
        provider = raw.provider.text ?? ""
        settings = raw.settings.array
        window = Int(raw.window)
        files = Dictionary(
            UnsafeBufferPointer(start: raw.files, count: raw.file_count).map { ($0.key.text ?? "", $0.fd) },
            uniquingKeysWith: { first, _ in first })
    }
}

extension rts_bytes {
    /// The text, or `nil` if the value is absent.
    fileprivate var text: String? {
        data.map { String(decoding: UnsafeBufferPointer(start: $0, count: size), as: UTF8.self) }
    }

    fileprivate var array: [UInt8] {
        Array(UnsafeBufferPointer(start: data, count: size))
    }
}
