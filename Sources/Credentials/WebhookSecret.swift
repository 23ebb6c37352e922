internal import Crypto
internal import FoundationEssentials

/// Why a text is no webhook secret; never the text.
public enum WebhookSecretError: Error, Hashable, Sendable {
    case notBase64
    /// It has another number of bytes than 24 to 64.
    case wrongSize(bytes: Int)
}

extension WebhookSecretError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .notBase64: "is not Base64; accepted: 'whsec_' and 24 to 64 bytes in Base64, or the Base64 alone"
        case .wrongSize(let bytes): "has \(bytes) bytes; accepted: 24 to 64 bytes in Base64"
        }
    }
}

/// What a source and we sign webhooks with: HMAC-SHA256 after its key, computed once and copied for each message.
public struct WebhookSecret: Sendable {
    private let keyed: HMAC<SHA256>

    /// Reads `whsec_BASE64` or `BASE64`: 24 to 64 bytes, as Standard Webhooks has it.
    public init(parsing text: UnsafeRawBufferPointer) throws(WebhookSecretError) {
        let prefix = "whsec_".utf8
        let digits = text.starts(with: prefix) ? text[prefix.count...] : text[...]
        guard let bytes = Base64.decode(UnsafeRawBufferPointer(rebasing: digits)) else { throw .notBase64 }
        guard (24...64).contains(bytes.count) else { throw .wrongSize(bytes: bytes.count) }
        keyed = HMAC(key: bytes.withUnsafeBytes { SymmetricKey(data: $0) })
    }

    /// The 44 characters that stand behind `v1,` in `webhook-signature`.
    func signature(id: String, timestamp: String, body: UnsafeRawBufferPointer) -> [UInt8] {
        var hmac = keyed
        for part in [id, timestamp] {
            var text = part + "."
            text.withUTF8 { hmac.update(data: UnsafeRawBufferPointer($0)) }
        }
        hmac.update(data: body)
        var text: [UInt8] = []
        text.reserveCapacity(44)
        hmac.finalize().withUnsafeBytes { Base64.encode($0, into: &text) }
        return text
    }
}
