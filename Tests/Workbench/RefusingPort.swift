internal import Glibc

/// A port of 127.0.0.1 that refuses every connection, and that nobody else is given as long as this lives.
public final class RefusingPort: Sendable {
    public let port: UInt16
    private let descriptor: Int32

    public init() throws(ServerError) {
        (descriptor, port) = try Loopback.listener(listens: false)
    }

    deinit {
        close(descriptor)
    }

    /// `http://127.0.0.1:PORT`
    public var url: String { "http://127.0.0.1:\(port)" }
}
