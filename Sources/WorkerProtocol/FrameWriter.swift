internal import CWorkerProtocol
internal import EventModel
public import NIOCore

// The frames from the daemon to a worker; their layout stands in worker_protocol.h. One buffer takes any number of them,
// one after the other: a batch that crosses in one system call.
extension ByteBuffer {
    /// What the plugin is started with.
    ///
    /// - Parameters:
    ///   - window: At most so many requests will be outstanding at once.
    ///   - logLines: Log lines a second that the worker may send.
    ///   - settings: JSON object: the provider's settings, without files and secrets.
    ///   - fileKeys: Settings keys of the files, in the order of the descriptors that the worker was spawned with.
    public mutating func writeStartFrame(
        window: UInt32, logLines: UInt32, provider: String, settings: [UInt8], fileKeys: [String]
    ) throws(FrameTooLarge) {
        let keySizes = fileKeys.reduce(0) { $0 + 4 + $1.utf8.count }
        try writeHeader(RTW_START, payload: 12 + 8 + provider.utf8.count + settings.count + keySizes)
        writeNumber(window)
        writeNumber(logLines)
        writeField(provider.utf8)
        writeField(settings)
        writeNumber(UInt32(fileKeys.count))
        for key in fileKeys {
            writeField(key.utf8)
        }
    }

    /// One request. Nothing is written if it is too large.
    ///
    /// The secret is copied once, into this buffer; when the buffer has to grow, what it leaves behind is wiped. Nobody
    /// else may hold the buffer meanwhile, and it is the caller's to ``wipe(_:)`` (a `Worker` does so with
    /// what it is given to send).
    public mutating func writeRequestFrame(
        _ type: RequestType, id: UInt64, _ fields: RequestFields
    ) throws(FrameTooLarge) {
        let sizes =
            fields.kind.name.utf8.count + fields.idempotencyKey.utf8.count + (fields.externalID?.utf8.count ?? 0)
            + (fields.account?.utf8.count ?? 0) + (fields.event?.count ?? 0) + (fields.attributes?.count ?? 0)
            + (fields.secret?.count ?? 0)
        let frameType =
            switch type {
            case .deliver: RTW_DELIVER
            case .verify: RTW_VERIFY
            case .read: RTW_READ
            }
        try writeHeader(frameType, id: id, payload: 4 * 4 + 7 * 4 + sizes)
        writeNumber(UInt32(fields.deliveryClass.rawValue))
        writeNumber(fields.attempt)
        writeNumber(fields.deadline)
        writeNumber(fields.flags.rawValue)
        writeField(fields.kind.name.utf8)
        writeField(fields.idempotencyKey.utf8)
        writeField(fields.externalID?.utf8)
        writeField(fields.account?.utf8)
        writeField(fields.event)
        writeField(fields.attributes)
        writeField(fields.secret)
    }

    /// The time for this request is over.
    public mutating func writeCancelFrame(id: UInt64) {
        writeEmptyFrame(RTW_CANCEL, id: id)
    }

    /// Can deliveries succeed? The answer is a completion.
    public mutating func writeCheckFrame(id: UInt64) {
        writeEmptyFrame(RTW_CHECK, id: id)
    }

    /// The worker sends what is left and exits.
    public mutating func writeStopFrame() {
        writeEmptyFrame(RTW_STOP)
    }

    /// The worker's reading thread answers with a pong.
    public mutating func writePingFrame() {
        writeEmptyFrame(RTW_PING)
    }
}

/// A frame whose payload would be longer than a worker takes (4 MiB). It can never be sent.
public struct FrameTooLarge: Error, Hashable, Sendable, CustomStringConvertible {
    /// Bytes of the payload.
    public let size: Int

    public var description: String {
        "a frame of \(size) bytes; a worker takes at most \(RTW_MAX_PAYLOAD)"
    }
}

extension ByteBuffer {
    private mutating func writeEmptyFrame(_ type: rtw_type, id: UInt64 = 0) {
        makeRoom(for: MemoryLayout<rtw_frame>.size)
        writeHeader(type, id: id, length: 0)
    }

    private mutating func writeHeader(_ type: rtw_type, id: UInt64 = 0, payload size: Int) throws(FrameTooLarge) {
        guard size <= RTW_MAX_PAYLOAD else { throw FrameTooLarge(size: size) }
        makeRoom(for: MemoryLayout<rtw_frame>.size + size)
        writeHeader(type, id: id, length: UInt32(size))
    }

    private mutating func writeHeader(_ type: rtw_type, id: UInt64, length: UInt32) {
        writeNumber(length)
        writeNumber(UInt8(type.rawValue))
        writeNumber(UInt8(0))
        writeNumber(UInt16(0))
        writeNumber(id)
    }

    private mutating func writeNumber(_ value: some FixedWidthInteger) {
        writeInteger(value, endianness: .host)
    }

    private mutating func writeField(_ bytes: (some Collection<UInt8>)?) {
        guard let bytes else { return writeNumber(RTW_ABSENT) }
        writeNumber(UInt32(bytes.count))
        writeBytes(bytes)
    }

    private mutating func writeField(_ bytes: UnsafeRawBufferPointer?) {
        guard let bytes else { return writeNumber(RTW_ABSENT) }
        writeNumber(UInt32(bytes.count))
        writeBytes(bytes)
    }

    /// Left to itself, the buffer would grow by `realloc` and leave the secrets of earlier frames in freed memory.
    private mutating func makeRoom(for size: Int) {
        guard writableBytes < size else { return }
        var larger = ByteBufferAllocator().buffer(capacity: max(2 * capacity, readableBytes + size))
        larger.writeImmutableBuffer(self)
        wipe(self)
        self = larger
    }
}
