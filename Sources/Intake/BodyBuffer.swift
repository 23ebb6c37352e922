internal import Credentials
internal import NIOCore

/// A request's body in memory that we own and wipe. What NIO received is overwritten as it is copied.
final class BodyBuffer {
    private var bytes = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    private var count = 0
    private let budget: BodyBudget

    init(budget: BodyBudget) {
        self.budget = budget
    }

    deinit {
        release()
    }

    /// What was received so far; lent until the next call, or until the buffer goes.
    var contents: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: bytes[..<count])
    }

    /// Appends a part, and overwrites it where it was received.
    ///
    /// - Returns: `false` if the budget does not have the memory; then nothing is appended.
    func append(_ part: ByteBuffer) -> Bool {
        defer { part.wipe() }
        let size = count + part.readableBytes
        guard size <= bytes.count || grow(to: max(size, bytes.count * 2, 1_024)) else { return false }
        part.withUnsafeReadableBytes { source in
            UnsafeMutableRawBufferPointer(rebasing: bytes[count...]).copyMemory(from: source)
        }
        count = size
        return true
    }

    private func grow(to capacity: Int) -> Bool {
        guard budget.take(capacity) else { return false }
        let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 16)
        larger.copyMemory(from: UnsafeRawBufferPointer(contents))
        release()
        bytes = larger
        return true
    }

    private func release() {
        bytes.wipe()
        bytes.deallocate()
        budget.give(bytes.count)
    }
}

extension ByteBuffer {
    /// Overwrites the readable bytes where they are.
    ///
    /// NIO reuses its receive buffers without wiping them, and any mutating access would first copy a buffer that NIO
    /// still refers to. These bytes were handed to us: nobody reads them after this.
    func wipe() {
        withUnsafeReadableBytes { UnsafeMutableRawBufferPointer(mutating: $0).wipe() }
    }
}
