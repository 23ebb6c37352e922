internal import Glibc

/// Sockets on 127.0.0.1.
public enum Loopback: Sendable {
    /// A port that nobody listens on, for a server that cannot be handed a socket, and for one that comes back to its
    /// port. It lies below those that the kernel gives away by itself (RFC 6056), so that no client's connection and no
    /// listener on port 0 takes it in between.
    public static func freePort() throws(ServerError) -> UInt16 {
        let range = try Folder.read("/proc/sys/net/ipv4/ip_local_port_range").split(separator: "\t")
        let first = range.first.flatMap { UInt16($0) } ?? 32_768
        guard first > 10_000 else { return try released(0) }
        for _ in 0..<1_000 {
            if let port = try? released(.random(in: 9_000..<first)) { return port }
        }
        throw ServerError("no port between 9000 and \(first) is free")
    }

    private static func released(_ port: UInt16) throws(ServerError) -> UInt16 {
        let (descriptor, port) = try listener(at: port)
        close(descriptor)
        return port
    }

    /// Whether somebody listens on `port`.
    public static func isOpen(_ port: UInt16) -> Bool {
        guard let descriptor = try? connect(to: port) else { return false }
        close(descriptor)
        return true
    }

    /// Takes a port, by default one of the kernel's choice, and listens on it, or only keeps others from it. The caller
    /// closes the socket.
    package static func listener(
        at port: UInt16 = 0, listens: Bool = true
    ) throws(ServerError) -> (descriptor: Int32, port: UInt16) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw ServerError(call: "socket") }
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        var address = address(port)
        let code = withUnsafeMutableBytes(of: &address) { bytes in
            bytes.withMemoryRebound(to: sockaddr.self) { address in
                bind(descriptor, address.baseAddress, size) == 0 && (!listens || listen(descriptor, 512) == 0)
                    && getsockname(descriptor, address.baseAddress, &size) == 0
            }
        }
        guard code else {
            close(descriptor)
            throw ServerError(call: "bind, listen or getsockname")
        }
        return (descriptor, UInt16(bigEndian: address.sin_port))
    }

    /// Connects, sends and hears the answer to its end, whatever that is.
    ///
    /// - Returns: whether anybody listens.
    /// - Throws: if the end does not come within a minute.
    public static func visit(_ port: UInt16, sending text: String) throws(ServerError) -> Bool {
        guard let descriptor = try? connect(to: port) else { return false }
        defer { close(descriptor) }
        var patience = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        var answer = [UInt8](repeating: 0, count: 4_096)
        _ = send(descriptor, text, text.utf8.count, Int32(MSG_NOSIGNAL))
        while true {
            let count = recv(descriptor, &answer, answer.count, 0)
            if count < 0, errno == EAGAIN { throw ServerError("port \(port) accepts and says nothing") }
            if count <= 0 { return true }
        }
    }

    /// Connects to `port`. The caller closes the socket.
    public static func connect(to port: UInt16) throws(ServerError) -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw ServerError(call: "socket") }
        guard connect(descriptor, to: port) else {
            close(descriptor)
            throw ServerError(call: "connect")
        }
        return descriptor
    }

    /// Connects a socket to `port`; `false`, with `errno`, if that fails.
    public static func connect(_ descriptor: Int32, to port: UInt16) -> Bool {
        var address = address(port)
        return withUnsafeMutableBytes(of: &address) { bytes in
            bytes.withMemoryRebound(to: sockaddr.self) {
                Glibc.connect(descriptor, $0.baseAddress, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }

    private static func address(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return address
    }
}
