internal import Crypto
internal import FoundationEssentials

/// Recognises bytes without keeping them: 128 bits of an HMAC-SHA256 whose key only this installation has. Who reads
/// the disk cannot try guesses against it; who has the key file too can, so no secret is hashed with it. Any thread.
public struct KeyedHash: Sendable {
    /// What is hashed. Each has a key of its own, so the same bytes give another hash for another use.
    public enum Use: String, Hashable, Sendable, CaseIterable {
        /// An event around its secret, as it was received: the same id with another body is a conflict.
        case body
        /// An event's id, for the set of ids already seen.
        case eventID = "event id"
        /// A subject's canonical key.
        case subject
        /// An account's stable id at its target.
        case account
        /// What the external-id attribute says.
        case externalID = "external id"
    }

    /// HMAC after its key: computed once, copied for each message.
    private let keyed: HMAC<SHA256>

    public init(_ use: Use, ring: KeyRing) {
        keyed = HMAC(key: ring.derivedKey(for: "hash of \(use.rawValue)"))
    }

    /// The first 16 bytes of the HMAC.
    public func callAsFunction(_ bytes: UnsafeRawBufferPointer) -> SIMD2<UInt64> {
        self(bytes, around: bytes.count..<bytes.count)
    }

    /// The first 16 bytes of the HMAC of what stands around `gap`.
    public func callAsFunction(_ bytes: UnsafeRawBufferPointer, around gap: Range<Int>) -> SIMD2<UInt64> {
        var hmac = keyed
        hmac.update(data: UnsafeRawBufferPointer(rebasing: bytes[..<gap.lowerBound]))
        if gap.upperBound < bytes.count {
            hmac.update(data: UnsafeRawBufferPointer(rebasing: bytes[gap.upperBound...]))
        }
        return hmac.finalize().withUnsafeBytes { $0.loadUnaligned(as: SIMD2<UInt64>.self) }
    }

    /// The hash of a text's UTF-8.
    public func callAsFunction(_ text: String) -> SIMD2<UInt64> {
        var text = text
        return text.withUTF8 { self(UnsafeRawBufferPointer($0)) }
    }
}
