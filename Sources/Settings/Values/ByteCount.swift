/// An amount of memory or disk in bytes, written `512B`, `64KiB`, `256MiB`, `8GiB` or `1TiB`: powers of 1,024.
public struct ByteCount: Hashable, Comparable, Sendable {
    public var bytes: Int

    public init(bytes: Int) {
        self.bytes = bytes
    }

    public static func < (one: Self, other: Self) -> Bool {
        one.bytes < other.bytes
    }

    private static let units: [(name: String, bytes: Int)] = [
        ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1),
    ]

    static func kibibytes(_ count: Int) -> Self { Self(bytes: count << 10) }
    static func mebibytes(_ count: Int) -> Self { Self(bytes: count << 20) }
    static func gibibytes(_ count: Int) -> Self { Self(bytes: count << 30) }
    static func tebibytes(_ count: Int) -> Self { Self(bytes: count << 40) }

    /// - Returns: `nil` if the text is not a size. `KB` and `MB` are not accepted: people disagree on what they are.
    public init?(_ text: some StringProtocol) {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let unit = text.dropFirst(digits.count)
        guard let number = Int(digits), let factor = Self.units.first(where: { $0.name == unit })?.bytes else {
            return nil
        }
        let (product, overflow) = number.multipliedReportingOverflow(by: factor)
        guard !overflow else { return nil }
        bytes = product
    }
}

extension ByteCount: CustomStringConvertible {
    /// In the largest unit that divides it.
    public var description: String {
        guard bytes != 0, let unit = Self.units.first(where: { bytes % $0.bytes == 0 }) else { return "\(bytes)B" }
        return "\(bytes / unit.bytes)\(unit.name)"
    }
}
