internal import NIOCore

/// Lets so many things a second pass, and counts what it holds back (a token bucket that is full at first).
struct RateLimit {
    /// How many were held back since the last time that one passed.
    private(set) var held: UInt64 = 0
    private let perSecond: Double
    private var tokens: Double
    private var last: NIODeadline?

    /// - Parameter perSecond: Also how many may come at once.
    init(perSecond: UInt32) {
        self.perSecond = Double(perSecond)
        tokens = Double(perSecond)
    }

    /// - Returns: How many were held back before this one; `nil` if this one is held back too.
    mutating func pass(_ now: NIODeadline) -> UInt64? {
        if let last, now > last {
            tokens = min(perSecond, tokens + Double((now - last).nanoseconds) / 1e9 * perSecond)
        }
        last = now
        guard tokens >= 1 else {
            held += 1
            return nil
        }
        tokens -= 1
        defer { held = 0 }
        return held
    }
}
