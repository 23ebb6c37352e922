/// Recognises a password in a server's message after the password itself has been wiped.
///
/// Servers have been seen to repeat what they refuse. A message must never carry a password to the daemon, but the
/// password is wiped as soon as it is sent for the last time, before the message comes. This keeps its length and a keyed hash (SipHash,
/// with this process's random key) and looks for a stretch of text with the same; it lives until the answer.
package struct SecretTrace: Sendable {
    private let count: Int
    private let hash: Int

    package init(_ secret: UnsafeRawBufferPointer) {
        count = secret.count
        hash = Self.hash(secret)
    }

    /// Whether `text` holds the password anywhere.
    package func appears(in text: String) -> Bool {
        var text = text
        return text.withUTF8 { utf8 in
            let bytes = UnsafeRawBufferPointer(utf8)
            guard count > 0, count <= bytes.count else { return false }
            return (0...(bytes.count - count)).contains { start in
                Self.hash(UnsafeRawBufferPointer(rebasing: bytes[start..<(start + count)])) == hash
            }
        }
    }

    private static func hash(_ bytes: UnsafeRawBufferPointer) -> Int {
        var hasher = Hasher()
        hasher.combine(bytes: bytes)
        return hasher.finalize()
    }
}
