package import RuntimeSyncPlugin

/// Where the directory server is, read from `url`: `ldap://host[:port]` or `ldaps://host[:port]`.
package struct ServerAddress: Equatable, Sendable {
    /// TLS from the first byte.
    package let isTLS: Bool
    /// A name or a literal address, without the brackets of an IPv6 address.
    package let host: String
    /// 389 or 636 if `url` names none.
    package let port: UInt16

    package init(_ url: String) throws(StartError) {
        let problem = StartError("url: \"\(url)\" is not ldap://host[:port] or ldaps://host[:port]")
        let lowered = url.lowercased()
        var rest: Substring
        if lowered.hasPrefix("ldaps://") {
            isTLS = true
            rest = lowered.dropFirst(8)
        } else if lowered.hasPrefix("ldap://") {
            isTLS = false
            rest = lowered.dropFirst(7)
        } else {
            throw problem
        }
        if rest.last == "/" { rest.removeLast() }
        let afterHost: Substring
        if rest.first == "[" {
            guard let end = rest.firstIndex(of: "]") else { throw problem }
            host = String(rest[rest.index(after: rest.startIndex)..<end])
            afterHost = rest[rest.index(after: end)...]
            guard host.contains(":"), host.allSatisfy({ $0.isHexDigit || $0 == ":" || $0 == "." }) else {
                throw problem
            }
        } else {
            let end = rest.firstIndex(of: ":") ?? rest.endIndex
            host = String(rest[..<end])
            afterHost = rest[end...]
            guard host.utf8.allSatisfy(Self.isNameByte) else { throw problem }
        }
        guard !host.isEmpty else { throw problem }
        if afterHost.isEmpty {
            port = isTLS ? 636 : 389
        } else {
            let digits = afterHost.dropFirst()
            guard afterHost.first == ":", digits.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }),
                let number = UInt16(digits), number > 0
            else { throw problem }
            port = number
        }
    }

    /// Whether the host is this machine: a loopback literal, or `localhost`, which never means another one (RFC 6761,
    /// section 6.3). Of any other name, what it resolves to today says nothing about tomorrow.
    package var isLoopback: Bool {
        ["localhost", "127.0.0.1", "::1"].contains(host)
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"): true
        default: false
        }
    }
}
