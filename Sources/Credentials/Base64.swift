/// Base64 with the standard alphabet (RFC 4648, section 4), for secrets: what it decodes lands in wiped memory, and
/// no error tells the text.
enum Base64 {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let padding = UInt8(ascii: "=")

    /// Appends the padded text of `bytes`. A caller who wipes `text` reserves its capacity first.
    static func encode(_ bytes: UnsafeRawBufferPointer, into text: inout [UInt8]) {
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let count = min(3, bytes.count - start)
            var bits: UInt32 = 0
            for place in 0..<3 {
                bits = bits << 8 | (place < count ? UInt32(bytes[start + place]) : 0)
            }
            for place in 0..<4 {
                text.append(place <= count ? alphabet[Int(bits >> (18 - 6 * UInt32(place))) & 63] : padding)
            }
        }
    }

    /// The bytes of `text`, whose padding may be left off; `nil` if it is not Base64.
    static func decode(_ text: UnsafeRawBufferPointer) -> SecretBytes? {
        var digits = text[...]
        if text.count.isMultiple(of: 4) {
            for _ in 0..<2 where digits.last == padding { digits.removeLast() }
        }
        guard digits.count % 4 != 1 else { return nil }
        return try? SecretBytes(capacity: digits.count * 3 / 4) { (memory) throws(Invalid) in
            var count = 0
            var bits: UInt32 = 0
            var held = 0
            for digit in digits {
                guard let value = value(of: digit) else { throw Invalid() }
                bits = (bits << 6 | value) & 0xFFF
                held += 6
                guard held >= 8 else { continue }
                held -= 8
                memory[count] = UInt8(truncatingIfNeeded: bits >> UInt32(held))
                count += 1
            }
            // Bits that no byte takes must be zero, or two texts would stand for one secret.
            guard bits & (1 << UInt32(held) - 1) == 0 else { throw Invalid() }
            return count
        }
    }

    private struct Invalid: Error {}

    private static func value(of digit: UInt8) -> UInt32? {
        switch digit {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(digit) - 65
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(digit) - 97 + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(digit) - 48 + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
