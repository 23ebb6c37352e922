import EventModel
import Testing

@testable import Credentials

struct WebhookSignatureTests {
    // The example that the Standard Webhooks libraries share.
    private static let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    private static let id = "msg_p5jXN8AQM9LWM0D4loKWxJek"
    private static let timestamp = "1614265330"
    private static let body = #"{"test": 2432232314}"#
    private static let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    private static let then = Timestamp(milliseconds: 1_614_265_330_000)

    private static func webhook(_ current: String = secret, previous: String? = nil) throws -> WebhookSignature {
        WebhookSignature(current: try parse(current), previous: try previous.map(parse))
    }

    private static func parse(_ text: String) throws -> WebhookSecret {
        try Array(text.utf8).withUnsafeBytes { try WebhookSecret(parsing: $0) }
    }

    private static func verify(
        _ webhook: WebhookSignature, id: String? = id, timestamp: String? = timestamp,
        signatures: String? = signature, body: String = body, now: Timestamp = then
    ) -> WebhookSignature.Verdict {
        Array(body.utf8).withUnsafeBytes {
            webhook.verify(id: id, timestamp: timestamp, signatures: signatures, body: $0, now: now)
        }
    }

    @Test func `the vector of Standard Webhooks, both ways`() throws {
        let webhook = try Self.webhook()
        #expect(Self.verify(webhook) == .matched(.current))
        let signed = Array(Self.body.utf8).withUnsafeBytes {
            webhook.sign(id: Self.id, timestamp: 1_614_265_330, body: $0)
        }
        #expect(signed == Self.signature)
        #expect(Self.verify(try Self.webhook(String(Self.secret.dropFirst(6)))) == .matched(.current))
    }

    // Computed by an independent implementation (Python's hmac) over "i.1." with the key 1, 2, 3 …; 64 bytes are the
    // hash's block.
    @Test(arguments: [
        (24, "YmdNMobCo64eUFtrbBcCxebxn7GDhF36ETTUpUNYnaU="),
        (32, "GT5Bc72rRRSB69s4CVT962LLnDrdis9xhMQiezTozfc="),
        (63, "9bdwq8WukBP/SRm9QSkPh+xwxZ6JxrIjwSyZ9PaSH8Y="),
        (64, "6wQ2dfa0w2ILsDfccvLOVhpGhafnEz9mux99Hr+F9vg="),
    ])
    func `keys of every accepted size`(size: Int, expected: String) throws {
        let key = (1...size).map { UInt8($0) }
        var text: [UInt8] = []
        key.withUnsafeBytes { Base64.encode($0, into: &text) }
        let secret = try Self.parse(String(decoding: text, as: UTF8.self))
        let signature = [UInt8]().withUnsafeBytes { secret.signature(id: "i", timestamp: "1", body: $0) }
        #expect(String(decoding: signature, as: UTF8.self) == expected)
    }

    @Test func `either of two live secrets is accepted, and it is told which`() throws {
        let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        #expect(Self.verify(try Self.webhook(other, previous: Self.secret)) == .matched(.previous))
        #expect(Self.verify(try Self.webhook(Self.secret, previous: other)) == .matched(.current))
        #expect(Self.verify(try Self.webhook(other)) == .mismatch)
    }

    @Test(arguments: [
        "v1,AAAA \(signature)", "v1a,AAAA \(signature)", "\(signature) v2,x",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA= \(signature)",
    ])
    func `one right signature among several is enough`(signatures: String) throws {
        #expect(Self.verify(try Self.webhook(), signatures: signatures) == .matched(.current))
    }

    @Test func `the clocks may be five minutes apart, either way`() throws {
        let webhook = try Self.webhook()
        #expect(Self.verify(webhook, now: Self.then + 300_999) == .matched(.current))
        #expect(Self.verify(webhook, now: Self.then + 301_000) == .stale(seconds: 301))
        #expect(Self.verify(webhook, now: Self.then + -300_000) == .matched(.current))
        #expect(Self.verify(webhook, now: Self.then + -301_000) == .stale(seconds: -301))
    }

    @Test func `a changed part does not match`() throws {
        let webhook = try Self.webhook()
        #expect(Self.verify(webhook, id: "msg_p5jXN8AQM9LWM0D4loKWxJel") == .mismatch)
        #expect(Self.verify(webhook, timestamp: "1614265331") == .mismatch)
        #expect(Self.verify(webhook, body: #"{"test": 2432232315}"#) == .mismatch)
        #expect(Self.verify(webhook, body: "") == .mismatch)
        for index in 3..<Self.signature.utf8.count {
            var changed = Array(Self.signature.utf8)
            changed[index] ^= 1
            #expect(Self.verify(webhook, signatures: String(decoding: changed, as: UTF8.self)) == .mismatch)
        }
        #expect(Self.verify(webhook, signatures: String(Self.signature.dropLast())) == .mismatch)
        #expect(Self.verify(webhook, signatures: Self.signature + "=") == .mismatch)
    }

    @Test func `an absent header is named`() throws {
        let webhook = try Self.webhook()
        for absent in [nil, ""] {
            #expect(Self.verify(webhook, id: absent) == .missing(header: "webhook-id"))
            #expect(Self.verify(webhook, timestamp: absent) == .missing(header: "webhook-timestamp"))
            #expect(Self.verify(webhook, signatures: absent) == .missing(header: "webhook-signature"))
        }
    }

    @Test func `a malformed header is named`() throws {
        let webhook = try Self.webhook()
        for timestamp in ["x", "-1614265330", "+1614265330", "1614265330.5", " 1614265330", "99999999999999999999"] {
            #expect(
                Self.verify(webhook, timestamp: timestamp)
                    == .malformed(header: "webhook-timestamp", accepts: "whole seconds since 1970, in UTC"))
        }
        for signatures in ["v2,AAAA", "AAAA", " ", "v1"] {
            #expect(
                Self.verify(webhook, signatures: signatures)
                    == .malformed(
                        header: "webhook-signature",
                        accepts: "v1, and behind the comma the HMAC-SHA256 in Base64; several with spaces between"))
        }
    }

    @Test func `a full stop in the id cannot move the cut between id, timestamp and body`() throws {
        let webhook = try Self.webhook()
        let body = #"{"a":"x.1614265330.{}"}"#
        let signature = Array(body.utf8).withUnsafeBytes { webhook.sign(id: "i", timestamp: 1_614_265_000, body: $0) }
        let verdict = Self.verify(
            webhook, id: #"i.1614265000.{"a":"x"#, timestamp: "1614265330", signatures: signature, body: #"{}"}"#)
        #expect(verdict == .malformed(header: "webhook-id", accepts: "any text without a full stop"))
    }

    @Test(arguments: [
        ("whsec_", WebhookSecretError.wrongSize(bytes: 0)), ("whsec_!!!!", .notBase64),
        (String(repeating: "A", count: 31) + "=", .wrongSize(bytes: 23)),
        (String(repeating: "A", count: 88), .wrongSize(bytes: 66)), ("hunter2", .notBase64),
    ])
    func `a secret of the wrong form is refused`(text: String, error: WebhookSecretError) {
        #expect(throws: error) { try Self.parse(text) }
        #expect(!"\(error)".contains("hunter2"))
    }
}
