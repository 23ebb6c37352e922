internal import EventModel

/// Why a request, or a line of a batch, is not taken in. It names the place and what is accepted, and repeats nothing of
/// what was sent: that may be a password.
struct Refusal: Error, Hashable {
    /// RFC 9110 status; 0 if there is no answer.
    var status: Int
    /// Last part of the problem's type.
    var problem: String
    /// The field as a path; empty if it is not about a field.
    var field: String
    var detail: String
    /// Seconds after which another try makes sense.
    var retryAfter: Int?

    static func invalid(_ field: String, _ detail: String) -> Self {
        Self(status: 400, problem: "invalid-event", field: field, detail: detail)
    }

    static func forbidden(_ field: String, _ detail: String) -> Self {
        Self(status: 403, problem: "not-allowed", field: field, detail: detail)
    }

    static func unauthenticated(_ detail: String) -> Self {
        Self(status: 401, problem: "unauthenticated", field: "", detail: detail)
    }

    static let conflict = Self(
        status: 409, problem: "conflict", field: "id", detail: "another event with this id was accepted before")

    static func tooLarge(_ limit: Int) -> Self {
        Self(status: 413, problem: "too-large", field: "", detail: "a body of at most \(limit) bytes is accepted")
    }

    static func tooManyLines(_ limit: Int) -> Self {
        Self(
            status: 413, problem: "too-large", field: "", detail: "a batch of at most \(limit) events is accepted")
    }

    static func unavailable(_ detail: String) -> Self {
        Self(status: 503, problem: "unavailable", field: "", detail: detail, retryAfter: 1)
    }

    static let journalIsFull = unavailable("the journal is full")

    static let notWritten = unavailable("the journal could not be written")

    /// The journal has no room, for this event or any other.
    var isOfTheJournal: Bool { self == .journalIsFull || self == .notWritten }

    /// It ends the connection.
    static let stopping = unavailable("the intake is stopping")

    /// Only for the log: it ends the connection without an answer.
    static let peer = Self(
        status: 403, problem: "peer", field: "", detail: "the user is not one of intake.peer_uids")

    /// Only for the log: there is nobody to answer.
    static func tls(_ words: String) -> Self {
        Self(status: 0, problem: "tls", field: "", detail: "the TLS handshake failed: \(words)")
    }

    static let tooSlow = Self(
        status: 408, problem: "too-slow", field: "", detail: "the request did not arrive in time")

    static let malformed = Self(
        status: 400, problem: "malformed-request", field: "", detail: "this is not HTTP/1.1 as RFC 9112 has it")

    static let contentType = Self(
        status: 415, problem: "content-type", field: "content-type",
        detail: "application/json (one event) or application/x-ndjson (one event a line) is accepted")

    static let charset = Self(
        status: 415, problem: "charset", field: "content-type", detail: "charset utf-8 is accepted, or none")

    static let contentEncoding = Self(
        status: 415, problem: "content-encoding", field: "content-encoding",
        detail: "identity is accepted, or none: bodies come uncompressed")

    static let notFound = Self(
        status: 404, problem: "not-found", field: "", detail: "events are posted to /v1/events")

    static let method = Self(status: 405, problem: "method", field: "", detail: "POST is accepted")
}

extension Refusal {
    /// The problem document (RFC 9457).
    var document: JSONValue { .object(members) }

    /// The members of the problem document.
    var members: [JSONValue.Member] {
        var members: [JSONValue.Member] = [
            .init("type", .string("urn:runtime-sync:problem:\(problem)")), .init("title", .string(title)),
            .init("status", .number("\(status)")), .init("detail", .string(detail)),
        ]
        if !field.isEmpty { members.append(.init("field", .string(field))) }
        return members
    }

    private var title: String {
        switch status {
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 413: "Content Too Large"
        case 415: "Unsupported Media Type"
        default: "Service Unavailable"
        }
    }
}
