internal import EventModel
internal import NIOCore
internal import NIOHTTP1

/// A request while it is being received: what its head asks for, and as much of its body as will be looked at. Limits
/// count before anything is kept.
struct IncomingRequest {
    /// One event a line, instead of one in all.
    let isBatch: Bool
    let credentials: Gatekeeper.Credentials
    /// The answer has no body, whatever its length says.
    let isHead: Bool
    /// The client wants the connection closed after the answer, or speaks HTTP/1.0, where that is the rule.
    let closes: Bool
    /// The client waits for our word before it sends the body (RFC 9110, section 10.1.1).
    let awaitsContinue: Bool
    /// Why it will not be taken in; what comes of its body is not kept.
    let refusal: Refusal?

    private let limit: Int
    private let body: BodyBuffer
    private var received = 0

    /// - Parameter peerUID: who sends it, if it comes over a Unix socket.
    init(_ head: HTTPRequestHead, peerUID: UInt32?, limits: IntakeLimits, budget: BodyBudget) {
        /// Fields of one name are one list (RFC 9110, section 5.3).
        func field(_ name: String) -> String? {
            let values = head.headers[name]
            return values.count > 1 ? values.joined(separator: ", ") : values.first
        }
        let mediaType = field("content-type").map(MediaType.init)
        isBatch = mediaType?.name == "application/x-ndjson"
        credentials = Gatekeeper.Credentials(
            id: field("webhook-id"), timestamp: field("webhook-timestamp"), signatures: field("webhook-signature"),
            peerUID: peerUID)
        isHead = head.method == .HEAD
        closes = head.version == .http1_0 || (field("connection").map { Self.has("close", in: $0) } ?? false)
        awaitsContinue = field("expect")?.lowercased() == "100-continue"
        limit = isBatch ? limits.batchBytes : limits.bodyBytes
        let length = field("content-length").flatMap { Int($0) } ?? 0
        refusal =
            if head.uri.prefix(while: { $0 != "?" }) != "/v1/events" {
                .notFound
            } else if head.method != .POST {
                .method
            } else if mediaType?.name != "application/json", !isBatch {
                .contentType
            } else if mediaType?.isUTF8 == false {
                .charset
            } else if field("content-encoding").map({ $0.lowercased() != "identity" }) ?? false {
                .contentEncoding
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

    private static func has(_ option: String, in field: String) -> Bool {
        field.split(separator: ",").contains { $0.filter { $0 != " " && $0 != "\t" }.lowercased() == option }
    }
}

/// What `content-type` says (RFC 9110, section 8.3).
private struct MediaType {
    /// In small letters.
    var name: String
    /// JSON between systems is UTF-8 (RFC 8259, section 8.1), whatever else is announced.
    var isUTF8 = true

    init(_ field: String) {
        let parts = field.lowercased().split(separator: ";", omittingEmptySubsequences: false).map {
            String($0.filter { $0 != " " && $0 != "\t" && $0 != "\"" })
        }
        name = parts[0]
        isUTF8 = parts.dropFirst().allSatisfy { !$0.hasPrefix("charset=") || $0 == "charset=utf-8" }
    }
}
