import CWorkerProtocol
import NIOCore

// The worker's half of the protocol, written down once more from worker_protocol.h and nothing else: what our writer
// writes is read with it, and what our reader reads is made with it.
extension ByteBuffer {
    /// A frame with any header, honest or not.
    static func frame(
        _ type: rtw_type, id: UInt64 = 0, length: Int? = nil, flags: UInt8 = 0, reserved: UInt16 = 0,
        _ payload: [UInt8] = []
    ) -> ByteBuffer {
        frame(raw: UInt8(type.rawValue), id: id, length: length, flags: flags, reserved: reserved, payload)
    }

    static func frame(
        raw type: UInt8, id: UInt64 = 0, length: Int? = nil, flags: UInt8 = 0, reserved: UInt16 = 0,
        _ payload: [UInt8] = []
    ) -> ByteBuffer {
        var header = rtw_frame(
            length: UInt32(length ?? payload.count), type: type, flags: flags, reserved: reserved, id: id)
        var buffer = ByteBuffer()
        withUnsafeBytes(of: &header) { _ = buffer.writeBytes($0) }
        buffer.writeBytes(payload)
        return buffer
    }
}

func u32(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value, Array.init) }
func u64(_ value: UInt64) -> [UInt8] { withUnsafeBytes(of: value, Array.init) }
func field(_ bytes: [UInt8]?) -> [UInt8] { bytes.map { u32(UInt32($0.count)) + $0 } ?? u32(RTW_ABSENT) }
func field(_ text: String?) -> [UInt8] { field(text.map { Array($0.utf8) }) }

/// A frame as the worker sees it.
struct SeenFrame: Equatable {
    var type: UInt8
    var id: UInt64
    var payload: [UInt8]
}

func seenByWorker(_ sent: ByteBuffer) -> [SeenFrame] {
    var bytes = sent.readableBytesView[...]
    var frames: [SeenFrame] = []
    while bytes.count >= MemoryLayout<rtw_frame>.size {
        let header = bytes.withUnsafeBytes { $0.loadUnaligned(as: rtw_frame.self) }
        bytes = bytes.dropFirst(MemoryLayout<rtw_frame>.size)
        frames.append(SeenFrame(type: header.type, id: header.id, payload: Array(bytes.prefix(Int(header.length)))))
        bytes = bytes.dropFirst(Int(header.length))
    }
    return frames
}
