internal import Credentials
internal import NIOCore

/// A request's body in memory that we own and wipe. What NIO received is overwritten as it is copied.
final class BodyBuffer {
    private(set) var bytes: UnsafeMutableRawBufferPointer
    private(set) var count = 0

    init(capacity: Int) {
        bytes = .allocate(byteCount: max(capacity, 1_024), alignment: 16)
    }

    deinit {
        bytes.wipe()
        bytes.deallocate()
    }

    /// What was received so far.
    var contents: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: bytes[..<count])
    }

    /// Appends a part and overwrites it where it was received, as far as NIO lets us reach it.
    func append(_ part: ByteBuffer) {
        let size = part.readableBytes
        if count + size > bytes.count { grow(to: max(count + size, bytes.count * 2)) }
        part.withUnsafeReadableBytes { source in
            UnsafeMutableRawBufferPointer(rebasing: bytes[count...]).copyMemory(from: source)
            // NIO reuses its receive buffers without wiping them, and any mutating access would first copy a buffer that
            // NIO still refers to. These bytes were handed to us: nobody reads them after this.
            UnsafeMutableRawBufferPointer(mutating: source).wipe()
        }
        count += size
    }

    private func grow(to capacity: Int) {
        let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 16)
        larger.copyMemory(from: UnsafeRawBufferPointer(contents))
        bytes.wipe()
        bytes.deallocate()
        bytes = larger
    }
}
