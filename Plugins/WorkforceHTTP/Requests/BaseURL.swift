package import RuntimeSyncPlugin

/// Where the target is: `https://host[:port][/path]`, or `http` where cleartext is allowed.
package struct BaseURL: Sendable, Equatable {
    /// Whether the way there is encrypted.
    package let isEncrypted: Bool
    /// The name or address, an IPv6 one in brackets.
    package let host: String
    /// The URL as sent, without a slash at its end.
    package let text: String

    /// - Parameters:
    ///   - written: the setting.
    ///   - place: the settings key, for the error.
    package init(_ written: String, at place: String) throws(StartError) {
        func wrong(_ reason: String) -> StartError {
            StartError("\(place): \(reason); accepted is https://HOST[:PORT][/PATH]")
        }
        guard let separator = written.firstRange(of: "://") else { throw wrong("it has no scheme") }
        switch written[..<separator.lowerBound].lowercased() {
        case "https": isEncrypted = true
        case "http": isEncrypted = false
        default: throw wrong("its scheme is neither https nor http")
        }
        let rest = written[separator.upperBound...]
        let authority = rest.prefix { $0 != "/" }
        guard !rest.contains(where: { "?#@\\".contains($0) }) else {
            throw wrong("it has a query, a fragment, a backslash or a user name")
        }
        guard rest.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw wrong("it has a space or a letter beyond ASCII (write the name in its xn-- form)")
        }
        let path = try PathTemplate(String(rest.dropFirst(authority.count)), at: place)
        guard path.placeholders.isEmpty else { throw wrong("it has a placeholder") }
        let bracket = authority.hasPrefix("[") ? authority.firstIndex(of: "]").map { authority.index(after: $0) } : nil
        let end = bracket ?? authority.firstIndex(of: ":") ?? authority.endIndex
        host = authority[..<end].lowercased()
        guard !host.isEmpty, bracket != nil || !host.hasPrefix("["), host != "[]" else { throw wrong("it has no host") }
        let port = authority[end...]
        guard port.isEmpty || (port.hasPrefix(":") && UInt16(port.dropFirst()).map { $0 > 0 } ?? false) else {
            throw wrong("its port is not a number from 1 to 65535")
        }
        let slashes = rest.reversed().prefix { $0 == "/" }.count
        text = (isEncrypted ? "https://" : "http://") + rest.dropLast(slashes)
    }

    /// Whether the host is a loopback address written as one: 127.0.0.0/8 or ::1. A name is not, whatever it resolves to.
    package var isLoopbackLiteral: Bool {
        if host == "[::1]" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.first == "127"
            && parts.allSatisfy { part in part.allSatisfy { $0.isASCII && $0.isNumber } && UInt8(part) != nil }
    }
}
