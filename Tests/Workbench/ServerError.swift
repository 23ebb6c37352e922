internal import Glibc

/// Why a server of the tests could not be used.
public struct ServerError: Error, CustomStringConvertible {
    public let description: String

    package init(_ description: String) {
        self.description = description
    }

    /// A system call that failed, or the path it was about, with the reason in `errno`.
    package init(call: String) {
        description = "\(call): \(String(cString: strerror(errno)))"
    }
}
