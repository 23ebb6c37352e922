/// Makes text out of bytes that a stranger wrote: what is not UTF-8 becomes U+FFFD, and control characters, which play
/// tricks with terminals and logs, become blanks.
public func wordsForPeople(_ bytes: some Collection<UInt8>) -> String {
    let text = String(decoding: bytes, as: UTF8.self)
    guard text.unicodeScalars.contains(where: \.isControl) else { return text }
    return String(String.UnicodeScalarView(text.unicodeScalars.map { $0.isControl ? " " : $0 }))
}

extension Unicode.Scalar {
    /// C0, DEL and C1.
    fileprivate var isControl: Bool {
        value < 0x20 || (0x7f...0x9f).contains(value)
    }
}
