/// Why a body is not an event envelope: which field, and what it accepts. Never quotes a value: it may be the password.
public struct EnvelopeError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Where, as a path: `subject.id`; empty for the body as a whole. A name that the envelope does not have is cut:
    /// `changes.depa….old`.
    public let field: String
    /// What is wrong and what is accepted.
    public let reason: String

    public init(_ field: String, _ reason: String) {
        self.field = field
        self.reason = reason
    }

    public var description: String {
        field.isEmpty ? reason : "\(field): \(reason)"
    }
}
