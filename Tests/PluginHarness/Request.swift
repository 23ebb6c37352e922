internal import CRuntimeSync

/// What a delivery carries; the numbers of `rts_class`.
public enum RequestClass: UInt32, Sendable {
    case credential = 0
    case profile = 1
    case lifecycle = 2
    case notification = 3
}

/// One request to a plugin. What is `nil` is absent.
public struct Request: Sendable {
    /// What it carries.
    public var requestClass: RequestClass
    /// The event's kind.
    public var kind: String
    /// 1 for the first.
    public var attempt: UInt32 = 1
    /// Milliseconds; the harness itself cancels nothing.
    public var deadline: UInt32 = 30_000
    /// The password must be changed at the next login.
    public var isTemporary = false
    /// Nothing has been delivered to this account before.
    public var isFirst = false
    /// The same for every attempt of one delivery.
    public var idempotencyKey: String
    /// What the subject's external-id attribute says.
    public var externalID: String?
    /// The account that the subject is bound to.
    public var account: String?
    /// The event, a JSON object.
    public var event: String?
    /// The state to write: a JSON object, attribute to array of strings.
    public var attributes: String?
    /// The password.
    public var secret: String?

    /// A request of `requestClass`; everything else may be set afterwards, too.
    public init(
        _ requestClass: RequestClass, kind: String, idempotencyKey: String = "key-1", externalID: String? = nil,
        account: String? = nil, event: String? = "{}", attributes: String? = nil, secret: String? = nil
    ) {
        self.requestClass = requestClass
        self.kind = kind
        self.idempotencyKey = idempotencyKey
        self.externalID = externalID
        self.account = account
        self.event = event
        self.attributes = attributes
        self.secret = secret
    }

    func raw(id: UInt64, lent: Lent) -> rts_delivery {
        var delivery = rts_delivery()
        delivery.size = MemoryLayout<rts_delivery>.size
        delivery.id = id
        delivery.delivery_class = requestClass.rawValue
        delivery.attempt = attempt
        delivery.deadline_ms = deadline
        delivery.flags = (isTemporary ? UInt32(RTS_FLAG_TEMPORARY) : 0) | (isFirst ? UInt32(RTS_FLAG_FIRST) : 0)
        delivery.kind = lent.bytes(kind)
        delivery.idempotency_key = lent.bytes(idempotencyKey)
        delivery.external_id = lent.bytes(externalID)
        delivery.account = lent.bytes(account)
        delivery.event = lent.bytes(event)
        delivery.attributes = lent.bytes(attributes)
        delivery.secret = lent.bytes(secret)
        return delivery
    }
}

/// Memory that a plugin may read for the length of one call, and that is spoilt afterwards: a plugin that keeps a
/// borrowed pointer reads garbage at once instead of now and then.
final class Lent {
    private var loans: [UnsafeMutableRawBufferPointer] = []

    func bytes(_ text: String?) -> rts_bytes {
        guard let text else { return rts_bytes(data: nil, size: 0) }
        // One byte more than needed: an empty value has an address, and a reader that runs over finds no NUL.
        let loan = UnsafeMutableRawBufferPointer.allocate(byteCount: text.utf8.count + 1, alignment: 1)
        loan.copyBytes(from: text.utf8)
        loan[loan.count - 1] = spoilt
        loans.append(loan)
        return rts_bytes(
            data: loan.baseAddress.map { UnsafePointer($0.assumingMemoryBound(to: UInt8.self)) },
            size: loan.count - 1)
    }

    func takeBack() {
        for loan in loans {
            loan.initializeMemory(as: UInt8.self, repeating: spoilt)
            loan.deallocate()
        }
        loans = []
    }

    private let spoilt: UInt8 = 0xA5
}
