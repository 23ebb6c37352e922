import CWorkerProtocol
import Glibc

/// A frame between daemon and worker, as the daemon's side of these tests writes and reads it.
struct Frame: Sendable {
    var type: UInt32
    var id: UInt64 = 0
    var payload: [UInt8] = []

    static let headerSize = MemoryLayout<rtw_frame>.size

    init(_ type: rtw_type, id: UInt64 = 0, payload: [UInt8] = []) {
        self.type = type.rawValue
        self.id = id
        self.payload = payload
    }

    /// The bytes that go over the socket.
    var bytes: [UInt8] {
        let header = rtw_frame(
            length: UInt32(payload.count), type: UInt8(truncatingIfNeeded: type), flags: 0, reserved: 0, id: id)
        return withUnsafeBytes(of: header) { Array($0) } + payload
    }

    /// Takes the first whole frame off `buffer`; `nil` if there is none yet.
    init?(takenFrom buffer: inout [UInt8]) {
        guard buffer.count >= Frame.headerSize else { return nil }
        let header = buffer.withUnsafeBytes { $0.loadUnaligned(as: rtw_frame.self) }
        let size = Frame.headerSize + Int(header.length)
        guard buffer.count >= size else { return nil }
        type = UInt32(header.type)
        id = header.id
        payload = Array(buffer[Frame.headerSize..<size])
        buffer.removeFirst(size)
    }

    func `is`(_ type: rtw_type) -> Bool {
        self.type == type.rawValue
    }

    var fields: Fields { Fields(rest: payload[...]) }
}

/// Reads a payload field by field.
struct Fields {
    var rest: ArraySlice<UInt8>

    mutating func number<Number: FixedWidthInteger>(_ type: Number.Type = UInt32.self) -> Number {
        let size = MemoryLayout<Number>.size
        precondition(rest.count >= size, "a payload ends too early")
        defer { rest = rest.dropFirst(size) }
        return rest.withUnsafeBytes { $0.loadUnaligned(as: type) }
    }

    mutating func text() -> String? {
        let size = number(UInt32.self)
        guard size != RTW_ABSENT else { return nil }
        precondition(rest.count >= Int(size), "a payload ends too early")
        defer { rest = rest.dropFirst(Int(size)) }
        return String(decoding: rest.prefix(Int(size)), as: UTF8.self)
    }
}

extension [UInt8] {
    mutating func append(number: UInt32) {
        Swift.withUnsafeBytes(of: number) { append(contentsOf: $0) }
    }

    mutating func append(text: String?) {
        guard let text else { return append(number: RTW_ABSENT) }
        append(number: UInt32(text.utf8.count))
        append(contentsOf: text.utf8)
    }
}

extension Frame {
    static func start(
        window: UInt32 = 64, logLines: UInt32 = 1000, settings: String = "{}", files: [String] = []
    ) -> Frame {
        var payload: [UInt8] = []
        payload.append(number: window)
        payload.append(number: logLines)
        payload.append(text: "a provider")
        payload.append(text: settings)
        payload.append(number: UInt32(files.count))
        for file in files { payload.append(text: file) }
        return Frame(RTW_START, payload: payload)
    }

    /// A request to the probe plugin: `kind` says what it does, `external` with what.
    static func request(
        _ type: rtw_type = RTW_DELIVER, id: UInt64, kind: String, external: String? = nil, event: String? = nil,
        deliveryClass: UInt32 = 3, secret: String? = nil
    ) -> Frame {
        var payload: [UInt8] = []
        for number in [deliveryClass, 1, 10_000, 0] { payload.append(number: number) }
        for text in [kind, "key", external, nil, event, nil, secret] { payload.append(text: text) }
        return Frame(type, id: id, payload: payload)
    }
}

/// What a DONE frame says.
struct Done: Equatable, Sendable {
    var id: UInt64
    var outcome: UInt32
    var retryAfter: UInt32
    var detail: String?
    var account: String?
    var record: String?

    init?(_ frame: Frame) {
        guard frame.is(RTW_DONE) else { return nil }
        var fields = frame.fields
        id = frame.id
        outcome = fields.number()
        retryAfter = fields.number()
        detail = fields.text()
        account = fields.text()
        record = fields.text()
    }

    static let delivered: UInt32 = 0
    static let refused: UInt32 = 2
    static let absent: UInt32 = 4
    static let unknown: UInt32 = 5
}
