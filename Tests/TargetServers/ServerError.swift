internal import Glibc

/// Why a server of the tests could not be used.
public struct ServerError: Error, CustomStringConvertible {
    public let description: String

    init(_ description: String) {
        self.description = description
    }

    init(call: String) {
        description = "\(call): \(String(cString: strerror(errno)))"
    }

    /// The program could not be started.
    static func notStarted(_ what: String) -> Self { Self("not started: \(what)") }
    /// It ended, or did something else than was asked.
    static func failed(_ what: String) -> Self { Self("failed: \(what)") }
    /// It did not get ready in time.
    static func notReady(_ what: String) -> Self { Self("not ready in time: \(what)") }
}
