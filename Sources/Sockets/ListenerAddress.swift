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
            let reason = (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)"
            throw ListenerError("\(self) cannot be listened on: \(reason)")
        }
    }

    /// Gives a Unix socket its rights, which the umask has kept back until now.
    func open(mode: UInt32) {
        if case .unix(let path) = self { chmod(path, mode) }
    }

    /// A socket that a dead process left behind goes; anything else stays, and is in the way.
    private static func makeRoom(_ path: String) throws(ListenerError) {
        guard try isSocket(path) else { return }
        guard !isAnswered(path) else {
            throw ListenerError("unix:\(path) cannot be listened on: another process does")
        }
        unlink(path)
    }

    /// What would keep a server from listening here, as far as that can be told without listening. That another one
    /// does, or that a port is taken, is not looked at.
    public var obstacle: ListenerError? {
        guard case .unix(let path) = self else { return nil }
        do throws(ListenerError) {
            _ = try Self.isSocket(path)
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

    /// Whether somebody listens on the socket.
    private static func isAnswered(_ path: String) -> Bool {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        return withUnsafeBytes(of: &address) { bytes in
            bytes.withMemoryRebound(to: sockaddr.self) {
                connect(descriptor, $0.baseAddress, socklen_t(bytes.count)) == 0
            }
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
