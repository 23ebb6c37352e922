internal import EventModel
internal import HTTPTypes
internal import NIOCore

/// A request while it is being received: what its head asks for, and as much of its body as will be looked at. Limits
/// count before anything is kept.
struct IncomingRequest {
    /// One event a line, instead of one in all.
    let isBatch: Bool
    let credentials: Gatekeeper.Credentials
    /// The answer has no body, whatever its length says.
    let isHead: Bool
    /// The client wants the connection closed after the answer.
    let closes: Bool
    /// The client waits for our word before it sends the body (RFC 9110, section 10.1.1).
    let awaitsContinue: Bool
    /// Why it will not be taken in; what comes of its body is not kept.
    let refusal: Refusal?

    private let limit: Int
    private let body: BodyBuffer
    private var received = 0

    /// - Parameter peerUID: who sends it, if it comes over a Unix socket.
    init(_ head: HTTPRequest, peerUID: UInt32?, limits: IntakeLimits, budget: BodyBudget) {
        let fields = head.headerFields
        let mediaType = fields[.contentType].map(Self.mediaType)
        isBatch = mediaType == "application/x-ndjson"
        credentials = Gatekeeper.Credentials(
            id: fields[.webhookID], timestamp: fields[.webhookTimestamp], signatures: fields[.webhookSignature],
            peerUID: peerUID)
        isHead = head.method == .head
        closes = fields[.connection].map { Self.has("close", in: $0) } ?? false
        awaitsContinue = fields[.expect]?.lowercased() == "100-continue"
        limit = isBatch ? limits.batchBytes : limits.bodyBytes
        let length = fields[.contentLength].flatMap { Int($0) } ?? 0
        refusal =
            if head.path.map({ $0.prefix { $0 != "?" } }) != "/v1/events" {
                .notFound
            } else if head.method != .post {
                .method
            } else if mediaType != "application/json", !isBatch {
                .contentType
            } else if length > limit {
                .tooLarge(limit)
            } else {
                nil
            }
        body = BodyBuffer(budget: budget)
    }

    /// Whether the answer need not wait for the rest of the body, which the client may never send.
    var isRefusedAtOnce: Bool { refusal?.status == 413 || (refusal != nil && awaitsContinue) }

    /// Keeps a part of the body, and wipes it where it was received.
    ///
    /// - Returns: why no more is read, if it is too much.
    mutating func take(_ part: ByteBuffer) -> Refusal? {
        received += part.readableBytes
        guard received <= limit, refusal == nil else {
            part.wipe()
            return received <= limit ? nil : .tooLarge(limit)
        }
        return body.append(part) ? nil : .unavailable("too much is being received at the moment")
    }

    /// The body, lent until the request goes; then it is wiped.
    var contents: UnsafeMutableRawBufferPointer { body.contents }

    /// Whether the body has begun.
    var hasBegun: Bool { received > 0 }

    private static func mediaType(_ field: String) -> String {
        String(field.prefix { $0 != ";" && $0 != " " && $0 != "\t" }).lowercased()
    }

    private static func has(_ option: String, in field: String) -> Bool {
        field.split(separator: ",").contains { $0.filter { $0 != " " && $0 != "\t" }.lowercased() == option }
    }
}

extension HTTPField.Name {
    fileprivate static let webhookID = known("webhook-id")
    fileprivate static let webhookTimestamp = known("webhook-timestamp")
    fileprivate static let webhookSignature = known("webhook-signature")

    private static func known(_ name: String) -> Self {
        guard let name = Self(name) else { preconditionFailure("a valid field name") }
        return name
    }
}
