internal import CWorkerProtocol
internal import EventModel
public import NIOCore

/// Cuts the bytes that come from a worker into frames.
///
/// A worker holds a stranger's code, so nothing is taken on trust: whatever does not keep to `worker_protocol.h` is a
/// ``FrameViolation``, after which the worker is to be killed and the reader thrown away. Words for people (the detail of
/// a completion, reasons) are only mended (``Redactor/words(_:atMost:)``): targets answer in all encodings, and that is
/// nobody's crime.
public struct FrameReader: Sendable {
    private var bytes = ByteBuffer()
    private let redactor: Redactor

    /// - Parameter redactor: knows the passwords that no words may repeat.
    public init(redactor: Redactor) {
        self.redactor = redactor
    }

    /// Takes what was received. At most one unfinished frame (4 MiB) stays in memory if ``next()`` is called until it
    /// answers `nil`.
    public mutating func append(_ received: ByteBuffer) {
        guard bytes.readableBytes > 0 else {
            bytes = received
            return
        }
        bytes.discardReadBytes()
        bytes.writeImmutableBuffer(received)
    }

    /// The next whole frame; `nil` if more bytes are needed. A frame that cannot become a good one is refused as soon as
    /// its header is there.
    public mutating func next() throws(FrameViolation) -> WorkerFrame? {
        guard
            let (length, type, flags, reserved, id) = bytes.peekMultipleIntegers(
                endianness: .host, as: (UInt32, UInt8, UInt8, UInt16, UInt64).self)
        else { return nil }
        guard let shape = FrameShape.of(type) else {
            throw FrameViolation("a frame of type \(type), which no worker sends")
        }
        guard shape.sizes.contains(Int(length)) else {
            throw FrameViolation(
                "\(shape.name) with \(length) bytes; it has \(shape.sizes.lowerBound) to \(shape.sizes.upperBound)")
        }
        guard flags == 0, reserved == 0 else { throw FrameViolation("\(shape.name) with a reserved bit set") }
        guard id == 0 || type == RTW_DONE.rawValue else {
            throw FrameViolation("\(shape.name) with the id \(id); only DONE has one")
        }
        let headerSize = MemoryLayout<rtw_frame>.size
        guard bytes.readableBytes >= headerSize + Int(length) else { return nil }
        bytes.moveReaderIndex(forwardBy: headerSize)
        guard let content = bytes.readSlice(length: Int(length)) else { return nil }
        var payload = Payload(frame: shape.name, redactor: redactor, bytes: content)
        let frame = try payload.read(rtw_type(rawValue: UInt32(type)), id: id)
        guard payload.bytes.readableBytes == 0 else {
            throw FrameViolation("\(shape.name) with \(payload.bytes.readableBytes) bytes after its last field")
        }
        return frame
    }
}

/// What a worker sent that no worker sends: it is broken, or somebody else speaks through it.
public struct FrameViolation: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// What is known of a frame before its payload has arrived.
private struct FrameShape {
    let name: StaticString
    let sizes: ClosedRange<Int>

    static func of(_ type: UInt8) -> Self? {
        let most = Int(RTW_MAX_PAYLOAD)
        return switch rtw_type(rawValue: UInt32(type)) {
        case RTW_READY: Self(name: "READY", sizes: 20...20)
        case RTW_STARTED: Self(name: "STARTED", sizes: 8...most)
        case RTW_DONE: Self(name: "DONE", sizes: 20...most)
        case RTW_LOG: Self(name: "LOG", sizes: 8...most)
        case RTW_METRIC: Self(name: "METRIC", sizes: 12...most)
        case RTW_PONG: Self(name: "PONG", sizes: 0...0)
        case RTW_FAILED: Self(name: "FAILED", sizes: 8...most)
        default: nil
        }
    }
}

/// The payload of one frame, read field by field.
private struct Payload {
    let frame: StaticString
    let redactor: Redactor
    var bytes: ByteBuffer

    mutating func read(_ type: rtw_type, id: UInt64) throws(FrameViolation) -> WorkerFrame {
        switch type {
        case RTW_READY:
            return .ready(
                WorkerReady(
                    pid: try number("pid"), landlockABI: try number("Landlock ABI"),
                    layers: SandboxLayers(rawValue: try number("layers")),
                    pluginABIMajor: try number("ABI major"), pluginABIMinor: try number("ABI minor")))
        case RTW_STARTED:
            let verdict: UInt32 = try number("verdict")
            let why = try words("why", atMost: WordLimit.reason)
            guard verdict <= 1 else { throw violation("verdict", "is \(verdict); it is 0 or 1") }
            return .started(refusal: verdict == 1 ? nil : why)
        case RTW_DONE:
            guard id != 0 else { throw violation("id", "is 0, which no request has") }
            let outcome: Outcome = try choice("outcome")
            let retryAfter: UInt32 = try number("retry_after_ms")
            let detail = try words("detail", atMost: WordLimit.detail)
            let account = try field("account", atMost: WordLimit.account)
            let record = try field("record").map { Array($0.readableBytesView) }
            let name = account.flatMap { String(validating: $0.readableBytesView, as: UTF8.self) }
            guard account == nil || name != nil else {
                // A plugin's mistake and nobody's lie: it costs this request and not the worker.
                return .done(id: id, Completion(.unknown, detail: "the plugin reported an account that is not UTF-8"))
            }
            return .done(
                id: id, Completion(outcome, detail: detail, account: name, retryAfter: retryAfter, record: record))
        case RTW_LOG:
            return .log(try choice("level"), try field("message") ?? ByteBuffer())
        case RTW_METRIC:
            let delta = Int64(bitPattern: try number("delta"))
            guard let name = try field("name", atMost: WordLimit.metric)?.readableBytesView, !name.isEmpty,
                name.allSatisfy({ (97...122).contains($0) || (48...57).contains($0) || $0 == 95 })
            else { throw violation("name", "is not of the form [a-z0-9_]+") }
            return .metric(name: String(decoding: name, as: UTF8.self), delta: delta)
        case RTW_FAILED:
            return .failed(try choice("stage"), try words("why", atMost: WordLimit.reason))
        default:
            return .pong
        }
    }

    /// Bytes; what is longer is cut for people, and refused where it names something.
    private enum WordLimit {
        static let detail = 1 << 10
        static let reason = 4 << 10
        static let account = 4 << 10
        static let metric = 64
    }

    func violation(_ field: StaticString, _ what: String) -> FrameViolation {
        FrameViolation("\(frame): its \(field) \(what)")
    }

    mutating func number<Number: FixedWidthInteger>(_ field: StaticString) throws(FrameViolation) -> Number {
        guard let value = bytes.readInteger(endianness: .host, as: Number.self) else {
            throw violation(field, "is cut off")
        }
        return value
    }

    mutating func choice<Choice: RawRepresentable<UInt32>>(_ field: StaticString) throws(FrameViolation) -> Choice {
        let value: UInt32 = try number(field)
        guard let choice = Choice(rawValue: value) else { throw violation(field, "is \(value), which means nothing") }
        return choice
    }

    mutating func field(_ field: StaticString) throws(FrameViolation) -> ByteBuffer? {
        let size: UInt32 = try number(field)
        guard size != RTW_ABSENT else { return nil }
        guard let value = bytes.readSlice(length: Int(size)) else {
            throw violation(field, "says \(size) bytes where \(bytes.readableBytes) are left")
        }
        return value
    }

    /// Text that only people read.
    mutating func words(_ field: StaticString, atMost limit: Int) throws(FrameViolation) -> String {
        guard let value = try self.field(field) else { return "" }
        return redactor.words(value.readableBytesView, atMost: limit)
    }

    /// Bytes that name something, and so cannot be cut.
    mutating func field(_ field: StaticString, atMost limit: Int) throws(FrameViolation) -> ByteBuffer? {
        let value = try self.field(field)
        if let size = value?.readableBytes, size > limit {
            throw violation(field, "has \(size) bytes; it may have \(limit)")
        }
        return value
    }
}
