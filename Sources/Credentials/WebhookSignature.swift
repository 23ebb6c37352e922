public import EventModel

/// Tells whether a request comes from who shares a secret with us, by the rules of Standard Webhooks: three headers
/// (`webhook-id`, `webhook-timestamp`, `webhook-signature`) and an HMAC-SHA256 over `id.timestamp.body`. Any thread.
public struct WebhookSignature: Sendable {
    /// What a check found. Nothing in it repeats what the sender wrote.
    public enum Verdict: Hashable, Sendable {
        /// It is right, by the current secret or by the one that is being replaced.
        case matched(Secret)
        /// The header is absent or empty.
        case missing(header: String)
        /// The header does not say what it must; `accepts` tells what that is.
        case malformed(header: String, accepts: String)
        /// It was signed `seconds` ago (negative: in the future), and that is beyond the tolerance.
        case stale(seconds: Int64)
        /// No signature matches: another secret, or a changed message.
        case mismatch
    }

    /// Which of a source's two secrets.
    public enum Secret: Hashable, Sendable {
        case current
        case previous
    }

    /// How far a request's timestamp may be from our clock, either way; seconds.
    public static let tolerance: Int64 = 300

    private let current: WebhookSecret
    private let previous: WebhookSecret?

    /// - Parameter previous: still accepted while senders move to the current one; `nil` if none is.
    public init(current: WebhookSecret, previous: WebhookSecret? = nil) {
        self.current = current
        self.previous = previous
    }

    /// Checks a request.
    ///
    /// - Parameters:
    ///   - id: `webhook-id`, as received; `nil` if absent. The two others likewise.
    ///   - body: the request's body, before anything is cut out of it.
    ///   - now: our clock.
    public func verify(
        id: String?, timestamp: String?, signatures: String?, body: UnsafeRawBufferPointer, now: Timestamp
    ) -> Verdict {
        guard let id, !id.isEmpty else { return .missing(header: "webhook-id") }
        guard let timestamp, !timestamp.isEmpty else { return .missing(header: "webhook-timestamp") }
        guard let signatures, !signatures.isEmpty else { return .missing(header: "webhook-signature") }
        // A full stop in the id would let one signature stand for two ways to cut id, timestamp and body apart.
        guard !id.utf8.contains(UInt8(ascii: ".")) else {
            return .malformed(header: "webhook-id", accepts: "any text without a full stop")
        }
        guard timestamp.utf8.count <= 12, timestamp.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let signedAt = Int64(timestamp)
        else { return .malformed(header: "webhook-timestamp", accepts: "whole seconds since 1970, in UTC") }
        let candidates = signatures.utf8.split(separator: UInt8(ascii: " ")).filter { $0.starts(with: "v1,".utf8) }
            .map { $0.dropFirst(3) }
        guard !candidates.isEmpty else {
            return .malformed(
                header: "webhook-signature",
                accepts: "v1, and behind the comma the HMAC-SHA256 in Base64; several with spaces between")
        }
        let age = now.milliseconds / 1_000 - signedAt
        guard abs(age) <= Self.tolerance else { return .stale(seconds: age) }
        if Self.holds(candidates, current.signature(id: id, timestamp: timestamp, body: body)) {
            return .matched(.current)
        }
        if let previous, Self.holds(candidates, previous.signature(id: id, timestamp: timestamp, body: body)) {
            return .matched(.previous)
        }
        return .mismatch
    }

    /// The value of `webhook-signature` for a message of our own, signed with the current secret.
    ///
    /// - Parameters:
    ///   - id: goes into `webhook-id`; without a full stop.
    ///   - timestamp: goes into `webhook-timestamp`: seconds since 1970.
    public func sign(id: String, timestamp: Int64, body: UnsafeRawBufferPointer) -> String {
        let signature = current.signature(id: id, timestamp: String(timestamp), body: body)
        return "v1,\(String(decoding: signature, as: UTF8.self))"
    }

    /// Compares in a time that does not depend on where the texts differ.
    private static func holds(_ candidates: [Substring.UTF8View], _ expected: [UInt8]) -> Bool {
        var found = false
        for candidate in candidates where candidate.count == expected.count {
            let difference = zip(candidate, expected).reduce(0) { $0 | ($1.0 ^ $1.1) }
            found = found || difference == 0
        }
        return found
    }
}
