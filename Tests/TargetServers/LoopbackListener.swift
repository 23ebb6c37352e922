internal import Glibc

/// Why a server of the tests could not be started.
public struct ServerError: Error, CustomStringConvertible {
    public let description: String

    init(_ description: String) {
        self.description = description
    }

    init(call: String) {
        description = "\(call): \(String(cString: strerror(errno)))"
    }
}

/// A socket that listens on a free port of 127.0.0.1.
struct LoopbackListener {
    let descriptor: Int32
    let port: UInt16

    init() throws(ServerError) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw ServerError(call: "socket") }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let done = withUnsafeMutablePointer(to: &address) { address in
            address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(descriptor, address, length) == 0 && listen(descriptor, 512) == 0
                    && getsockname(descriptor, address, &length) == 0
            }
        }
        guard done else {
            close(descriptor)
            throw ServerError(call: "bind, listen or getsockname")
        }
        self.descriptor = descriptor
        port = UInt16(bigEndian: address.sin_port)
    }
}
