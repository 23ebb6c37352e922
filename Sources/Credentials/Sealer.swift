internal import Crypto
public import EventModel
internal import FoundationEssentials
internal import Synchronization

/// Why a sealed value does not open.
public enum SealError: Error, Hashable, Sendable {
    /// Too short, or of a layout that this version does not know.
    case malformed
    /// Its key is not at hand: destroyed, or of another installation.
    case unknownKey(id: UInt32)
    /// It was changed, or belongs to another event, subject, version or purpose.
    case notAuthentic
}

extension SealError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .malformed: "the sealed value is cut short or of an unknown layout"
        case .unknownKey(let id): "the sealed value needs data key \(id), which is not at hand"
        case .notAuthentic: "the sealed value was changed or belongs to something else"
        }
    }
}

/// Seals what must not lie in clear on disk, and opens it again (AES-256-GCM, NIST SP 800-38D). Any thread.
///
/// | bytes | what |
/// |---|---|
/// | 1 | layout: 1 |
/// | 4 | id of the data key, big-endian |
/// | 12 | nonce, random |
/// | n | ciphertext |
/// | 16 | tag, over the ciphertext, the first five bytes, the purpose and the ``SealContext`` |
///
/// A secret is padded to a multiple of 64 bytes, behind its length of 4 bytes: the disk does not tell how long a
/// password is. Besides, the library answers less than 15 bytes in a `Data` whose memory cannot be wiped.
public final class Sealer: Sendable {
    /// The keys it seals and opens with.
    public let keys: DataKeys
    private let random = Mutex(RandomBytes())

    private static let layout: UInt8 = 1
    private static let headerSize = 5
    private static let nonceSize = 12
    private static let tagSize = 16
    private static let padding = 64
    private static let lengthSize = 4

    public init(keys: DataKeys) {
        self.keys = keys
    }

    /// Seals a body or a state.
    ///
    /// - Parameter moment: now; it decides which data key is used.
    public func seal(
        _ clear: UnsafeRawBufferPointer, as purpose: SealPurpose, in context: SealContext, at moment: Timestamp
    ) -> [UInt8] {
        guard purpose == .secret else { return encrypt(clear, purpose, context, moment) }
        let size = (Self.lengthSize + clear.count + Self.padding - 1) / Self.padding * Self.padding
        let padded = SecretBytes(capacity: size) { memory in
            memory.copyBytes(from: UInt32(clear.count).bytes)
            UnsafeMutableRawBufferPointer(rebasing: memory[Self.lengthSize...]).copyMemory(from: clear)
            return size
        }
        return padded.withUnsafeBytes { encrypt($0, purpose, context, moment) }
    }

    /// Marks a secret, so that it is known again when it comes once more: 64 bits of a keyed hash that nobody can compute
    /// once the data key of the secret's hour is destroyed. Another context gives the same secret another mark.
    ///
    /// - Parameters:
    ///   - moment: when the secret is, or was, sealed.
    ///   - isNew: it is about to be sealed; a key that is not there yet is made.
    /// - Returns: `nil` if there is no such key, or no longer.
    public func mark(
        _ secret: UnsafeRawBufferPointer, in context: SealContext, at moment: Timestamp, isNew: Bool
    ) -> UInt64? {
        if isNew { _ = keys.sealingKey(for: .secret, at: moment) }
        guard var hmac = keys.marking(DataKeys.id(of: .secret, at: moment)) else { return nil }
        hmac.update(data: UInt32(context.bytes.count).bytes)
        hmac.update(data: context.bytes)
        hmac.update(data: secret)
        return hmac.finalize().withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
    }

    /// Opens a secret.
    public func openSecret(_ sealed: [UInt8], in context: SealContext) throws(SealError) -> SecretBytes {
        let padded = try decrypt(sealed, .secret, context)
        return try padded.withUnsafeBytes { (padded) throws(SealError) in
            guard padded.count >= Self.lengthSize else { throw .malformed }
            let length = padded.prefix(Self.lengthSize).reduce(0) { $0 << 8 | Int($1) }
            guard length <= padded.count - Self.lengthSize else { throw .malformed }
            return SecretBytes(copying: UnsafeRawBufferPointer(rebasing: padded[Self.lengthSize...].prefix(length)))
        }
    }

    /// Opens a body or a state. Secrets have ``openSecret(_:in:)``.
    public func open(
        _ sealed: [UInt8], as purpose: SealPurpose, in context: SealContext
    ) throws(SealError) -> [UInt8] {
        precondition(purpose != .secret, "a secret is opened into memory that is wiped")
        return try decrypt(sealed, purpose, context).withUnsafeBytes { Array($0) }
    }

    /// What all begins with that a data key seals, and nothing else: 5 bytes.
    public static func header(ofKey id: UInt32) -> [UInt8] {
        [layout] + id.bytes
    }

    /// The id of the data key that a value needs; `nil` if it is none of ours.
    static func keyID(of sealed: some Collection<UInt8>) -> UInt32? {
        guard sealed.first == layout, sealed.count >= headerSize else { return nil }
        return sealed.dropFirst().prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    }

    private func encrypt(
        _ clear: UnsafeRawBufferPointer, _ purpose: SealPurpose, _ context: SealContext, _ moment: Timestamp
    ) -> [UInt8] {
        let (id, key) = keys.sealingKey(for: purpose, at: moment)
        let nonce = random.withLock { $0.take(Self.nonceSize) }
        let header = Self.header(ofKey: id)
        guard let gcmNonce = try? AES.GCM.Nonce(data: nonce),
            let box = try? AES.GCM.seal(
                clear, using: key, nonce: gcmNonce, authenticating: header + [purpose.rawValue] + context.bytes),
            let combined = box.combined
        else { fatalError("AES-GCM does not seal") }
        return header + combined
    }

    private func decrypt(
        _ sealed: [UInt8], _ purpose: SealPurpose, _ context: SealContext
    ) throws(SealError) -> SecretBytes {
        guard let id = Self.keyID(of: sealed), sealed.count >= Self.headerSize + Self.nonceSize + Self.tagSize,
            let box = try? AES.GCM.SealedBox(combined: sealed[Self.headerSize...])
        else { throw .malformed }
        guard let key = keys.key(id) else { throw .unknownKey(id: id) }
        let authenticated = sealed[..<Self.headerSize] + [purpose.rawValue] + context.bytes
        guard var clear = try? AES.GCM.open(box, using: key, authenticating: authenticated) else {
            throw .notAuthentic
        }
        defer { clear.withUnsafeMutableBytes { $0.wipe() } }
        return SecretBytes(capacity: clear.count) { clear.copyBytes(to: $0) }
    }
}
