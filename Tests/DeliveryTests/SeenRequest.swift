import CWorkerProtocol
import EventModel
import NIOCore

/// A frame as a worker would read it, decoded from worker_protocol.h once more.
struct SeenRequest: Sendable {
    var type: UInt8
    var id: UInt64
    var deliveryClass = DeliveryClass.notification
    var attempt = 0
    var deadline = 0
    var flags: UInt32 = 0
    var kind = ""
    var idempotencyKey = ""
    var externalID: String?
    var account: String?
    var event = ""
    var attributes: String?
    var secret: String?

    var isTemporary: Bool { flags & 1 != 0 }
    var isFirst: Bool { flags & 2 != 0 }

    /// The frames in a buffer.
    static func all(in sent: ByteBuffer) -> [SeenRequest] {
        var bytes = sent
        var requests: [SeenRequest] = []
        while let length = bytes.readInteger(endianness: .host, as: UInt32.self),
            let type = bytes.readInteger(as: UInt8.self), bytes.readBytes(length: 3) != nil,
            let id = bytes.readInteger(endianness: .host, as: UInt64.self),
            let payload = bytes.readSlice(length: Int(length))
        {
            var request = SeenRequest(type: type, id: id)
            if length > 0 { request.read(payload) }
            requests.append(request)
        }
        precondition(bytes.readableBytes == 0, "something follows the last frame")
        return requests
    }

    private mutating func read(_ payload: ByteBuffer) {
        var payload = payload
        func number() -> UInt32 { payload.readInteger(endianness: .host) ?? 0 }
        func text() -> String? {
            let size = number()
            return size == RTW_ABSENT ? nil : payload.readString(length: Int(size))
        }
        deliveryClass = DeliveryClass(rawValue: UInt8(number())) ?? .notification
        attempt = Int(number())
        deadline = Int(number())
        flags = number()
        kind = text() ?? ""
        idempotencyKey = text() ?? ""
        externalID = text()
        account = text()
        event = text() ?? ""
        attributes = text()
        secret = text()
    }
}
