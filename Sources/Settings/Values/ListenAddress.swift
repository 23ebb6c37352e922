/// Where a listener waits for connections: `127.0.0.1:8620`, `[::1]:8620`, `localhost:8620` or
/// `unix:/run/runtime-sync/intake.sock`. Port 0 takes any free one.
public enum ListenAddress: Hashable, Sendable {
    /// An IP address, without brackets, or `localhost`.
    case ip(host: String, port: UInt16)
    /// The absolute path of a Unix socket.
    case unix(path: String)

    /// - Returns: `nil` if the text is not such an address. Other host names are not accepted: what they mean changes.
    public init?(_ text: some StringProtocol) {
        if let path = text.afterPrefix("unix:") {
            // sun_path holds 108 bytes with the NUL (unix(7)).
            guard path.hasPrefix("/"), path.utf8.count < 108 else { return nil }
            self = .unix(path: String(path))
            return
        }
        guard let pair = HostPort(text, mayBeZero: true),
            pair.host == "localhost" || IPAddress(pair.host) != nil
        else { return nil }
        self = .ip(host: pair.host, port: pair.port)
    }

    /// Whether only this machine can connect.
    public var isLocal: Bool {
        switch self {
        case .unix: true
        case .ip(let host, _): host == "localhost" || IPAddress(host)?.isLoopback == true
        }
    }

    /// Where this machine connects to it: an address that stands for all of a machine's becomes loopback.
    public var fromHere: Self {
        guard case .ip(let host, let port) = self, let address = IPAddress(host),
            address.bytes.allSatisfy({ $0 == 0 })
        else { return self }
        return .ip(host: address.isVersion6 ? "::1" : "127.0.0.1", port: port)
    }

    /// Whether this is a Unix socket.
    public var isUnix: Bool {
        guard case .unix = self else { return false }
        return true
    }
}

extension ListenAddress: CustomStringConvertible {
    public var description: String {
        switch self {
        case .ip(let host, let port): "\(HostPort(host: host, port: port))"
        case .unix(let path): "unix:\(path)"
        }
    }
}

extension StringProtocol {
    /// What follows `prefix`; `nil` if this does not begin with it.
    func afterPrefix(_ prefix: String) -> SubSequence? {
        hasPrefix(prefix) ? dropFirst(prefix.count) : nil
    }
}
