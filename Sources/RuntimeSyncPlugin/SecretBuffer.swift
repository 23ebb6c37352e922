internal import Glibc

/// A secret that cannot be mislaid: it is not copied, not printed, and wiped when it goes.
///
/// The bytes are followed by a NUL, for C libraries that want one.
public struct SecretBuffer: ~Copyable, @unchecked Sendable {  // sole owner of memory that is written only by init
    private let bytes: UnsafeMutableRawBufferPointer

    /// Copies `secret`.
    public init(copying secret: UnsafeRawBufferPointer) {
        bytes = .allocate(byteCount: secret.count + 1, alignment: 1)
        bytes.copyMemory(from: secret)
        bytes[secret.count] = 0
    }

    /// Makes a secret of `count` bytes in place, so that it has no copy elsewhere.
    ///
    /// - Parameters:
    ///   - count: how many bytes it has.
    ///   - fill: writes them; the buffer it gets holds zeros.
    public init(count: Int, filling fill: (UnsafeMutableRawBufferPointer) throws -> Void) rethrows {
        bytes = .allocate(byteCount: count + 1, alignment: 1)
        bytes.initializeMemory(as: UInt8.self, repeating: 0)
        do {
            try fill(UnsafeMutableRawBufferPointer(rebasing: bytes[..<count]))
        } catch {
            bytes.wipe()
            bytes.deallocate()
            throw error
        }
    }

    /// Reads a whole file from its beginning, without its trailing line feeds.
    ///
    /// - Returns: `nil` if it cannot be read or holds more than 64 KiB; `errno` says why.
    public init?(reading descriptor: Int32) {
        let limit = 65_536
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: limit + 1, alignment: 1)
        defer {
            buffer.wipe()
            buffer.deallocate()
        }
        var count = 0
        while count <= limit {
            let read = pread(descriptor, buffer.baseAddress?.advanced(by: count), limit + 1 - count, off_t(count))
            if read == 0 { break }
            if read < 0 && errno == EINTR { continue }
            guard read > 0 else { return nil }
            count += read
        }
        guard count <= limit else {
            errno = EFBIG
            return nil
        }
        while count > 0, buffer[count - 1] == UInt8(ascii: "\n") || buffer[count - 1] == UInt8(ascii: "\r") {
            count -= 1
        }
        self.init(copying: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    }

    deinit {
        bytes.wipe()
        bytes.deallocate()
    }

    /// Bytes of the secret, without the NUL.
    public var count: Int { bytes.count - 1 }

    /// Lends the bytes, without the NUL that follows them.
    public borrowing func withUnsafeBytes<R: ~Copyable, E: Error>(
        _ body: (UnsafeRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        try body(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
    }
}

extension UnsafeMutableRawBufferPointer {
    /// Overwrites the bytes with zeros, in a way that no optimiser removes.
    public func wipe() {
        if let baseAddress { explicit_bzero(baseAddress, count) }
    }
}
