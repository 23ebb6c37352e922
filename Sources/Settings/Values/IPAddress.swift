internal import Glibc

/// An IP address in its bytes, for the one question that settings have: can only this machine reach it?
struct IPAddress: Hashable, Sendable {
    /// 4 or 16 bytes in network order.
    let bytes: [UInt8]

    /// - Returns: `nil` if the text is not an address; names are not looked up.
    init?(_ text: String) {
        var bytes = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &bytes) == 1 {
            self.bytes = Array(bytes[..<4])
        } else if inet_pton(AF_INET6, text, &bytes) == 1 {
            self.bytes = bytes
        } else {
            return nil
        }
    }

    var isVersion6: Bool { bytes.count == 16 }

    /// 127.0.0.0/8 (RFC 1122), ::1 (RFC 4291), and the former written as IPv6 (::ffff:127.0.0.1).
    var isLoopback: Bool {
        guard isVersion6 else { return bytes[0] == 127 }
        let mapped: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]
        return bytes == Array(repeating: 0, count: 15) + [1] || (Array(bytes[..<12]) == mapped && bytes[12] == 127)
    }
}
