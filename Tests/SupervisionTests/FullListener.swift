import Glibc
import Testing

/// A TCP server that accepts nobody and whose queue is full: whoever connects gets no answer at all.
final class FullListener {
    let port: UInt16
    private let descriptors: [Int32]

    init() throws {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        func withAddress(_ body: (UnsafeMutablePointer<sockaddr>?, inout socklen_t) -> Int32) -> Int32 {
            withUnsafeMutableBytes(of: &address) { bytes in
                bytes.withMemoryRebound(to: sockaddr.self) { body($0.baseAddress, &size) }
            }
        }
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let server = socket(AF_INET, type, 0)
        try #require(withAddress { bind(server, $0, $1) } == 0 && listen(server, 0) == 0)
        try #require(withAddress { getsockname(server, $0, &$1) } == 0)
        port = UInt16(bigEndian: address.sin_port)
        // A queue of length 0 holds one; the others wait for an answer.
        descriptors = [server] + (0..<3).map { _ in socket(AF_INET, type, 0) }
        for client in descriptors.dropFirst() { _ = withAddress { connect(client, $0, $1) } }
    }

    deinit {
        for descriptor in descriptors { close(descriptor) }
    }
}
