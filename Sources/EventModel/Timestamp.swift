/// A moment: milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
public struct Timestamp: Hashable, Comparable, Sendable {
    public var milliseconds: Int64

    public init(milliseconds: Int64) {
        self.milliseconds = milliseconds
    }

    public static func < (one: Self, other: Self) -> Bool {
        one.milliseconds < other.milliseconds
    }

    /// Milliseconds; what is more than an `Int64` holds, as from a damaged file, is its largest, of either sign.
    public static func - (one: Self, other: Self) -> Int64 {
        let (difference, overflows) = one.milliseconds.subtractingReportingOverflow(other.milliseconds)
        return overflows ? (one < other ? -.max : .max) : max(difference, -.max)
    }

    /// The first or the last moment there is, if it would be beyond.
    public static func + (one: Self, milliseconds: Int64) -> Self {
        let (sum, overflows) = one.milliseconds.addingReportingOverflow(milliseconds)
        return Self(milliseconds: overflows ? (milliseconds < 0 ? .min : .max) : sum)
    }
}

// RFC 3339, the profile of ISO 8601 that the envelope uses.
extension Timestamp: CustomStringConvertible {
    /// Reads `2026-11-21T22:10:00.123Z`; any number of fraction digits (those past milliseconds are cut off), any
    /// offset, `T` and `Z` in either case. A leap second (`:60`) reads as the second after.
    ///
    /// - Returns: `nil` if the text is not a date and time of RFC 3339, section 5.6.
    public init?(rfc3339 text: some Sequence<UInt8>) {
        var rest = Cursor(bytes: Array(text))
        guard let year = rest.number(4), rest.take("-"), let month = rest.number(2), rest.take("-"),
            let day = rest.number(2), rest.take("T") || rest.take("t") || rest.take(" "),
            let hour = rest.number(2), rest.take(":"), let minute = rest.number(2), rest.take(":"),
            let second = rest.number(2), (1...12).contains(month), day >= 1, day <= Self.days(in: month, of: year),
            hour < 24, minute < 60, second <= 60
        else { return nil }
        var millisecond = 0
        if rest.take(".") {
            guard let fraction = rest.fraction() else { return nil }
            millisecond = fraction
        }
        var offset = 0
        if !rest.take("Z"), !rest.take("z") {
            let east = rest.take("+")
            guard east || rest.take("-"), let hours = rest.number(2), rest.take(":"), let minutes = rest.number(2),
                hours < 24, minutes < 60
            else { return nil }
            offset = (hours * 60 + minutes) * (east ? 60 : -60)
        }
        guard rest.isAtEnd else { return nil }
        let seconds = Self.daysSince1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset
        milliseconds = Int64(seconds * 1_000 + millisecond)
    }

    /// The moment in RFC 3339, UTC, with milliseconds.
    public var description: String {
        let (days, ofDay) = milliseconds.quotientAndFloorRemainder(dividingBy: 86_400_000)
        let (year, month, day) = Self.date(daysSince1970: Int(days))
        func padded(_ number: Int, _ width: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
        }
        let time = Int(ofDay)
        return "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))T\(padded(time / 3_600_000, 2))"
            + ":\(padded(time / 60_000 % 60, 2)):\(padded(time / 1_000 % 60, 2)).\(padded(time % 1_000, 3))Z"
    }

    private static func days(in month: Int, of year: Int) -> Int {
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        return month == 2 ? (isLeap ? 29 : 28) : [4, 6, 9, 11].contains(month) ? 30 : 31
    }

    /// Days of the proleptic Gregorian calendar, counted in eras of 400 years that begin on 1 March.
    private static func daysSince1970(_ year: Int, _ month: Int, _ day: Int) -> Int {
        let shifted = month <= 2 ? year - 1 : year
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    private static func date(daysSince1970 days: Int) -> (Int, Int, Int) {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth + (shiftedMonth < 10 ? 3 : -9)
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
    }
}

extension Int64 {
    fileprivate func quotientAndFloorRemainder(dividingBy divisor: Int64) -> (Int64, Int64) {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}

private struct Cursor {
    let bytes: [UInt8]
    var position = 0

    var isAtEnd: Bool { position == bytes.count }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard position < bytes.count, bytes[position] == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    mutating func digit() -> Int? {
        guard position < bytes.count, bytes[position] >= 48, bytes[position] <= 57 else { return nil }
        position += 1
        return Int(bytes[position - 1]) - 48
    }

    mutating func number(_ digits: Int) -> Int? {
        var value = 0
        for _ in 0..<digits {
            guard let digit = digit() else { return nil }
            value = value * 10 + digit
        }
        return value
    }

    /// Milliseconds from one or more fraction digits.
    mutating func fraction() -> Int? {
        guard var value = digit().map({ $0 * 100 }) else { return nil }
        var weight = 10
        while let digit = digit() {
            value += digit * weight
            weight /= 10
        }
        return value
    }
}
