internal import Glibc
internal import NIOCore

/// Where a server listens.
public enum ListenerAddress: Hashable, Sendable, CustomStringConvertible {
    /// Port 0 takes a free one.
    case tcp(host: String, port: Int)
    /// An absolute path.
    case unix(path: String)

    /// A Unix socket's path has at most so many bytes: `sun_path` holds one more, the NUL (unix(7)).
    public static let longestPath = 107

    public var description: String {
        switch self {
        case .tcp(let host, let port): "\(host.contains(":") ? "[\(host)]" : host):\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }

    /// Runs a server that listens here, and removes a Unix socket behind it.
    ///
    /// - Throws: ``ListenerError`` for whatever keeps the server from listening.
    func listen(_ serve: () async throws -> Void) async throws {
        if case .unix(let path) = self { try Self.makeRoom(path) }
        defer { if case .unix(let path) = self { unlink(path) } }
        do {
            try await serve()
        } catch let error as CancellationError {
            throw error
        } catch {
            throw refusal(because: error)
        }
    }

    private func refusal(because error: any Error) -> ListenerError {
        let reason = (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)"
        return ListenerError("\(self) cannot be listened on: \(reason)")
    }

    /// Gives a Unix socket its rights, which the umask has kept back until now.
    func open(mode: UInt32) {
        if case .unix(let path) = self { chmod(path, mode) }
    }

    /// A socket that a dead process left behind goes; anything else stays, and is in the way.
    private static func makeRoom(_ path: String) throws(ListenerError) {
        if try isAbandoned(path) { unlink(path) }
    }

    /// What would keep a server from listening here, another server included, as far as that can be told without
    /// listening. A port is taken for a moment, in a way that keeps nobody else from it (``take(host:port:)``).
    public var obstacle: ListenerError? {
        switch self {
        case .tcp(let host, let port):
            do {
                try Self.take(host: host, port: port)
                return nil
            } catch {
                return refusal(because: error)
            }
        case .unix(let path): return obstacle(path)
        }
    }

    /// Takes a port as a server would, and lets go of it at once. A server that takes it in between can: both ask for
    /// `SO_REUSEADDR`, with which only a socket that listens excludes others (socket(7)).
    private static func take(host: String, port: Int) throws {
        let address = try SocketAddress.makeAddressResolvingHost(host, port: port)
        let descriptor = socket(
            address.protocol.rawValue, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw IOError(errnoCode: errno, reason: "socket") }
        defer { close(descriptor) }
        var on: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, size)
        // As SwiftNIO does: who listens on `::` listens for IPv4 too.
        var off: Int32 = 0
        if case .v6 = address { setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &off, size) }
        guard address.withSockAddr({ bind(descriptor, $0, socklen_t($1)) }) == 0 else {
            throw IOError(errnoCode: errno, reason: "bind")
        }
    }

    private func obstacle(_ path: String) -> ListenerError? {
        do throws(ListenerError) {
            _ = try Self.isAbandoned(path)
        } catch {
            return error
        }
        let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        guard access(folder, W_OK | X_OK) == 0 else {
            let reason = String(cString: strerror(errno))
            return ListenerError("\(self) cannot be listened on: its folder \(folder): \(reason)")
        }
        return nil
    }

    /// Whether a dead process left a socket there; `false` if there is nothing.
    private static func isAbandoned(_ path: String) throws(ListenerError) -> Bool {
        guard try isSocket(path) else { return false }
        guard try !isAnswered(path) else {
            throw ListenerError("unix:\(path) cannot be listened on: another process does")
        }
        return true
    }

    /// Whether there is a socket; `false` if there is nothing.
    private static func isSocket(_ path: String) throws(ListenerError) -> Bool {
        guard path.utf8.count <= longestPath else {
            throw ListenerError(
                "unix:\(path) is longer than the \(longestPath) bytes that a Unix socket's path may have")
        }
        var status = stat()
        guard lstat(path, &status) == 0 else { return false }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw ListenerError("unix:\(path) cannot be listened on: there is a file that is no socket")
        }
        return true
    }

    /// Whether somebody listens on the socket, even if he is too busy to answer.
    ///
    /// - Throws: ``ListenerError`` if that cannot be told: the socket may be somebody else's.
    private static func isAnswered(_ path: String) throws(ListenerError) -> Bool {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let descriptor = socket(AF_UNIX, kind, 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let code = withUnsafeBytes(of: &address) { bytes in
            bytes.withMemoryRebound(to: sockaddr.self) {
                descriptor >= 0 && connect(descriptor, $0.baseAddress, socklen_t(bytes.count)) == 0 ? 0 : errno
            }
        }
        if descriptor >= 0 { close(descriptor) }
        switch code {
        case 0, EAGAIN: return true
        case ECONNREFUSED, ENOENT: return false
        default:
            throw ListenerError(
                "unix:\(path) cannot be listened on: there is a socket, and whether a process listens on it is not known: "
                    + String(cString: strerror(code)))
        }
    }
}

/// Why a server does not listen; it names the address or the file.
public struct ListenerError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}
