/// Finds the host and port behind a URL, which is all that the daemon wants to know of it: whom may the plugin
/// connect to? (RFC 3986, section 3.2.)
enum TargetURL: Sendable {
    /// Why a URL has no endpoint.
    struct Problem: Error, Hashable, Sendable {
        let reason: String
    }

    /// The ports of schemes that have one.
    static let ports: [String: UInt16] = ["ldap": 389, "ldaps": 636, "http": 80, "https": 443]

    static func endpoint(of text: String) -> Result<HostPort, Problem> {
        guard let mark = text.firstRange(of: "://") else {
            return .failure(Problem(reason: "is not a URL: it has no scheme://"))
        }
        let scheme = text[..<mark.lowerBound].lowercased()
        let rest = text[mark.upperBound...]
        let authority = rest.prefix { !"/?#".contains($0) }
        guard !authority.contains("@") else {
            return .failure(Problem(reason: "holds a user or password, which does not belong into a URL"))
        }
        // The last colon begins the port, unless it is inside the brackets of an IPv6 address.
        let colon = authority.lastIndex(of: ":").flatMap { authority[$0...].contains("]") ? nil : $0 }
        guard let host = HostPort.host(authority[..<(colon ?? authority.endIndex)]) else {
            return .failure(Problem(reason: "names no host"))
        }
        guard let colon else {
            guard let port = ports[scheme] else {
                return .failure(Problem(reason: "names no port, and its scheme has none"))
            }
            return .success(HostPort(host: host, port: port))
        }
        guard let endpoint = HostPort(authority), authority.index(after: colon) < authority.endIndex else {
            return .failure(Problem(reason: "has a port that is none"))
        }
        return .success(endpoint)
    }
}
