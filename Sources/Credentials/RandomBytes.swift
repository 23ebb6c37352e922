internal import Glibc

/// Random bytes for nonces, drawn 4 KiB at once: one draw for each would be a third of the cost of sealing.
///
/// What was handed out stays in memory until the next draw, so keys are not cut from here.
struct RandomBytes {
    private var stock = [UInt8](repeating: 0, count: 4_096)
    private var used = 4_096

    /// The next `count` bytes; at most 256.
    mutating func take(_ count: Int) -> [UInt8] {
        if used + count > stock.count {
            stock.withUnsafeMutableBytes(Self.fill)
            used = 0
        }
        defer { used += count }
        return Array(stock[used..<used + count])
    }

    /// Fills `memory` with random bytes (getrandom(2), which never fails once the machine is up).
    static func fill(_ memory: UnsafeMutableRawBufferPointer) {
        // getentropy(3) gives at most 256 bytes.
        for start in stride(from: 0, to: memory.count, by: 256) {
            guard let address = memory.baseAddress?.advanced(by: start),
                getentropy(address, min(256, memory.count - start)) == 0
            else { fatalError("the kernel gives no random bytes: errno \(errno)") }
        }
    }
}
