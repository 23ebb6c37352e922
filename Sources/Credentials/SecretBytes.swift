internal import Glibc

/// A secret that cannot be mislaid: it is not copied, not printed, and its memory is wiped when it goes.
public struct SecretBytes: ~Copyable, @unchecked Sendable {  // sole owner of memory that is written only by init
    private let memory: UnsafeMutableRawBufferPointer
    /// Bytes of the secret.
    public let count: Int

    /// Copies `secret`; the caller keeps, and wipes, its own.
    public init(copying secret: UnsafeRawBufferPointer) {
        self.init(capacity: secret.count) { memory in
            memory.copyMemory(from: secret)
            return secret.count
        }
    }

    /// Lends `capacity` bytes of zeros to `fill`, which answers how many of them it made the secret. When it throws
    /// they are wiped too.
    init<Failure: Error>(
        capacity: Int, filledBy fill: (UnsafeMutableRawBufferPointer) throws(Failure) -> Int
    ) throws(Failure) {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 1)
        memory.initializeMemory(as: UInt8.self, repeating: 0)
        do {
            count = try fill(memory)
        } catch {
            memory.wipe()
            memory.deallocate()
            throw error
        }
        self.memory = memory
    }

    deinit {
        memory.wipe()
        memory.deallocate()
    }

    /// Lends the bytes for the length of `body`.
    public borrowing func withUnsafeBytes<Result: ~Copyable, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeRawBufferPointer(rebasing: memory[..<count]))
    }
}

extension UnsafeMutableRawBufferPointer {
    /// Overwrites the bytes with zeros, in a way that no optimiser removes.
    public func wipe() {
        if let baseAddress { explicit_bzero(baseAddress, count) }
    }
}
