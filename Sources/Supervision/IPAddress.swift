internal import Glibc

/// An address of IPv4 or IPv6. An IPv4 address in IPv6 clothes (`::ffff:192.0.2.1`) is the IPv4 address.
struct IPAddress: Hashable, Sendable, CustomStringConvertible {
    /// 4 or 16, highest first.
    let bytes: [UInt8]

    /// - Parameter bytes: 4 or 16 of them, highest first; otherwise `nil`.
    init?(bytes: [UInt8]) {
        switch bytes.count {
        case 4: self.bytes = bytes
        case 16: self.bytes = bytes.starts(with: Self.mapped) ? Array(bytes.suffix(4)) : bytes
        default: return nil
        }
    }

    /// Reads `192.0.2.1`, `2001:db8::1` or `[2001:db8::1]`; nothing else, no zone and no shortened IPv4.
    init?(_ text: some StringProtocol) {
        let bare = text.hasPrefix("[") && text.hasSuffix("]") ? String(text.dropFirst().dropLast()) : String(text)
        var four = in_addr()
        var six = in6_addr()
        if inet_pton(AF_INET, bare, &four) == 1 {
            self.init(bytes: withUnsafeBytes(of: four, Array.init))
        } else if inet_pton(AF_INET6, bare, &six) == 1 {
            self.init(bytes: withUnsafeBytes(of: six, Array.init))
        } else {
            return nil
        }
    }

    private static let mapped: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]

    var isLoopback: Bool {
        bytes.count == 4 ? bytes[0] == 127 : bytes.dropLast().allSatisfy { $0 == 0 } && bytes[15] == 1
    }

    /// Whether the address means this machine, this wire, or many machines, which no name of a target stands for:
    /// 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3; ::, ::1, fe80::/10, ff00::/8, and IPv4 in `::/96`
    /// (RFC 6890 and its registries).
    var isSpecial: Bool {
        if bytes.count == 4 {
            return bytes[0] == 0 || bytes[0] == 127 || (bytes[0] == 169 && bytes[1] == 254) || bytes[0] >= 224
        }
        return bytes.prefix(12).allSatisfy { $0 == 0 } || bytes[0] == 0xff
            || (bytes[0] == 0xfe && bytes[1] & 0xc0 == 0x80)
    }

    /// Whether the address is the one that listens on all: `0.0.0.0` or `::`.
    var isUnspecified: Bool {
        bytes.allSatisfy { $0 == 0 }
    }

    var description: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        let family = bytes.count == 4 ? AF_INET : AF_INET6
        guard inet_ntop(family, bytes, &text, socklen_t(text.count)) != nil else { return "?" }
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}

/// An address and a port of TCP.
struct SocketEndpoint: Hashable, Sendable, CustomStringConvertible {
    var address: IPAddress
    var port: UInt16

    init(_ address: IPAddress, port: UInt16) {
        self.address = address
        self.port = port
    }

    /// Reads a `sockaddr_in` or `sockaddr_in6`, as long as its family has it; a zone is no part of an endpoint and not
    /// accepted.
    init?(socketAddress bytes: some Collection<UInt8>) {
        let bytes = Array(bytes)
        guard bytes.count >= 4 else { return nil }
        let family = Int32(bytes.withUnsafeBytes { $0.loadUnaligned(as: sa_family_t.self) })
        let content: ArraySlice<UInt8>
        switch family {
        case AF_INET where bytes.count == MemoryLayout<sockaddr_in>.size: content = bytes[4..<8]
        case AF_INET6 where bytes.count == MemoryLayout<sockaddr_in6>.size && bytes[24...].allSatisfy { $0 == 0 }:
            content = bytes[8..<24]
        default: return nil
        }
        guard let address = IPAddress(bytes: Array(content)) else { return nil }
        self.init(address, port: UInt16(bytes[2]) << 8 | UInt16(bytes[3]))
    }

    /// A `sockaddr_in` or `sockaddr_in6`.
    var socketAddress: (family: sa_family_t, bytes: [UInt8]) {
        let isFour = address.bytes.count == 4
        let family = sa_family_t(isFour ? AF_INET : AF_INET6)
        let head = withUnsafeBytes(of: family, Array.init) + [UInt8(port >> 8), UInt8(port & 0xff)]
        let size = isFour ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size
        // IPv6 has its flow before the address; what follows either is zero.
        let bytes = head + (isFour ? [] : [0, 0, 0, 0]) + address.bytes
        return (family, bytes + [UInt8](repeating: 0, count: size - bytes.count))
    }

    var description: String {
        address.bytes.count == 4 ? "\(address):\(port)" : "[\(address)]:\(port)"
    }
}

extension IPAddress {
    /// The addresses of this machine's interfaces, at this moment (getifaddrs(3)).
    static func ofThisMachine() -> [IPAddress] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0, let list else { return [] }
        defer { freeifaddrs(list) }
        return sequence(first: list) { $0.pointee.ifa_next }.compactMap { interface in
            guard let address = interface.pointee.ifa_addr else { return nil }
            switch Int32(address.pointee.sa_family) {
            case AF_INET:
                return IPAddress(bytes: Array(UnsafeRawBufferPointer(start: address, count: 8).suffix(4)))
            case AF_INET6:
                return IPAddress(bytes: Array(UnsafeRawBufferPointer(start: address, count: 24).suffix(16)))
            default: return nil
            }
        }
    }
}
