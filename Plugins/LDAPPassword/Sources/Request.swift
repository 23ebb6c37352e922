internal import LDAPDecisions
internal import RuntimeSyncPlugin

/// One request on its way through the plugin. It is handed from thread to thread, and only its present holder touches
/// it; hence the promise that it is `Sendable`.
final class Request: @unchecked Sendable {
    let id: UInt64
    var course: DeliveryCourse
    /// On the host's clock, in milliseconds: when the host stops waiting.
    let deadline: UInt64
    /// Knows the password again in the server's answer.
    let trace: SecretTrace?
    private var secret: SecretBuffer?

    init(_ id: UInt64, _ course: DeliveryCourse, secret: consuming SecretBuffer?, deadline: UInt64) {
        self.id = id
        self.course = course
        self.deadline = deadline
        trace = secret?.withUnsafeBytes { SecretTrace($0) }
        self.secret = secret
    }

    /// Lends the password; `nil` if there is none or it has been wiped.
    func withSecret<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R? {
        secret?.withUnsafeBytes(body)
    }

    /// Ends the password's stay in this plugin.
    func wipeSecret() {
        secret = nil
    }
}
