/// A host and a port that a provider may connect to: `ldap.corp.example:636`, `10.0.0.7:389` or `[2001:db8::7]:389`.
public struct HostPort: Hashable, Sendable {
    /// A name in lower case, or an IP address without brackets.
    public var host: String
    public var port: UInt16

    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// - Returns: `nil` if the text is not a host, a colon and a port from 1 to 65535.
    public init?(_ text: some StringProtocol) {
        self.init(text, mayBeZero: false)
    }

    init?(_ text: some StringProtocol, mayBeZero: Bool) {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        let digits = text[text.index(after: colon)...]
        guard digits.utf8.allSatisfy({ (48...57).contains($0) }), let port = UInt16(digits), mayBeZero || port > 0,
            let host = Self.host(text[..<colon])
        else { return nil }
        self.init(host: host, port: port)
    }

    /// The host in its one spelling; `nil` if it is none. An IPv6 address stands in brackets (RFC 3986, section 3.2.2).
    static func host(_ text: some StringProtocol) -> String? {
        if text.hasPrefix("["), text.hasSuffix("]") {
            let address = String(text.dropFirst().dropLast()).lowercased()
            return IPAddress(address)?.isVersion6 == true ? address : nil
        }
        let host = text.lowercased()
        // RFC 1123, section 2.1, and underscores, which some networks use; 253 is what DNS can carry.
        let labels = host.split(separator: ".", omittingEmptySubsequences: false)
        let isName = labels.allSatisfy { label in
            (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
                && label.utf8.allSatisfy {
                    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0) || (48...57).contains($0)
                        || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_")
                }
        }
        guard isName, host.utf8.count <= 253 else { return nil }
        // Numbers only is meant as an IPv4 address, so it has to be one.
        let looksLikeAddress = labels.allSatisfy { $0.utf8.allSatisfy { (48...57).contains($0) } }
        return looksLikeAddress && IPAddress(host) == nil ? nil : host
    }
}

extension HostPort: CustomStringConvertible {
    public var description: String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}
