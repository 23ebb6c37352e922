/// Recognises a text of a known length inside a longer one, without keeping it: a polynomial over its bytes, modulo the
/// prime 2⁶¹ − 1, at a point that nobody else knows (Karp and Rabin, 1987).
///
/// Two texts of n bytes have the same hash with a probability below n / 2⁶¹.
struct RollingHash: Sendable {
    private static let prime: UInt64 = 1 << 61 - 1
    private let point = UInt64.random(in: 1 << 32..<prime)

    func callAsFunction(_ text: some Sequence<UInt8>) -> UInt64 {
        text.reduce(0, advance)
    }

    /// Where in `text` there are `count` bytes whose hash is known.
    func places(count: Int, in text: [UInt8], where isKnown: (UInt64) -> Bool) -> [Int] {
        guard count > 0, text.count >= count else { return [] }
        let highest = (1..<count).reduce(1) { power, _ in Self.product(power, point) }
        var places: [Int] = []
        var hash = self(text[..<count])
        for start in 0...(text.count - count) {
            if isKnown(hash) { places.append(start) }
            guard start + count < text.count else { break }
            let leaving = Self.product(UInt64(text[start]) + 1, highest)
            hash = advance(hash >= leaving ? hash - leaving : hash + Self.prime - leaving, text[start + count])
        }
        return places
    }

    /// The hash with one byte more; that of nothing is 0.
    func advance(_ hash: UInt64, _ byte: UInt8) -> UInt64 {
        // Plus one, or leading zeros would not count.
        Self.reduced(Self.product(hash, point) + UInt64(byte) + 1)
    }

    private static func product(_ one: UInt64, _ other: UInt64) -> UInt64 {
        let (high, low) = one.multipliedFullWidth(by: other)
        // 2⁶¹ is 1 here, so the upper bits are added to the lower ones.
        return reduced(low & prime + (low >> 61 | high << 3))
    }

    private static func reduced(_ value: UInt64) -> UInt64 {
        value >= prime ? value - prime : value
    }
}
