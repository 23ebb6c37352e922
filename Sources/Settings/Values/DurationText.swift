/// Durations as people write them: a whole number and one of `ms`, `s`, `m`, `h`, `d`. A day has 24 hours.
///
/// | written | is |
/// |---|---|
/// | `200ms` | 0.2 s |
/// | `30s` | 30 s |
/// | `5m` | 300 s |
/// | `1h` | 3,600 s |
/// | `7d` | 604,800 s |
enum DurationText: Sendable {
    private static let units: [(name: String, milliseconds: Int64)] = [
        ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1),
    ]

    /// - Returns: `nil` if the text is not a duration. A number without a unit is not one: `30` could be anything.
    @Sendable static func read(_ text: String) -> Duration? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let unit = text.dropFirst(digits.count)
        guard let number = Int64(digits), let milliseconds = units.first(where: { $0.name == unit })?.milliseconds
        else { return nil }
        let (product, overflow) = number.multipliedReportingOverflow(by: milliseconds)
        return overflow ? nil : .milliseconds(product)
    }

    /// In the largest unit that divides it; what is below a millisecond is cut off.
    @Sendable static func write(_ duration: Duration) -> String {
        let milliseconds = duration.wholeMilliseconds
        guard milliseconds != 0 else { return "0s" }
        let unit = units.first { milliseconds % $0.milliseconds == 0 } ?? ("ms", 1)
        return "\(milliseconds / unit.milliseconds)\(unit.name)"
    }
}

extension Duration {
    /// The duration in milliseconds; what is below is cut off.
    public var wholeMilliseconds: Int64 {
        components.seconds * 1_000 + components.attoseconds / 1_000_000_000_000_000
    }
}
