/// How long a delivery waits before it is tried again: exponential backoff with full jitter, so that a thousand
/// deliveries that failed together do not come back together.
///
/// With the defaults (500 ms, doubling, at most 5 min) the wait after attempt N is drawn evenly from zero to
///
/// | N | 1 | 2 | 3 | 5 | 8 | 10 | 11 and later |
/// |---|---|---|---|---|---|---|---|
/// | at most | 0.5 s | 1 s | 2 s | 8 s | 64 s | 256 s | 300 s |
///
/// A wait that the target asked for is a lower bound, up to ``longestAskedWait``.
public struct RetryPolicy: Hashable, Sendable {
    /// The longest wait after the first attempt; milliseconds.
    public var initial: Int64
    /// The longest wait after any attempt; milliseconds.
    public var maximum: Int64
    /// A target that asks for more than a day is not taken at its word; milliseconds.
    public static let longestAskedWait: Int64 = 86_400_000

    public init(initial: Int64 = 500, maximum: Int64 = 300_000) {
        self.initial = initial
        self.maximum = maximum
    }

    /// The longest wait after `attempt` (1 for the first); milliseconds.
    public func ceiling(afterAttempt attempt: Int) -> Int64 {
        let doublings = min(max(attempt, 1) - 1, 40)
        let (grown, overflow) = initial.multipliedReportingOverflow(by: 1 << Int64(doublings))
        return overflow ? maximum : min(grown, maximum)
    }

    /// The wait after `attempt`; milliseconds.
    ///
    /// - Parameters:
    ///   - asked: what the target asked for; 0 if it did not.
    ///   - generator: where the jitter comes from.
    public func wait(
        afterAttempt attempt: Int, asked: Int64 = 0, using generator: inout some RandomNumberGenerator
    ) -> Int64 {
        max(
            min(asked, Self.longestAskedWait),
            Int64.random(in: 0...ceiling(afterAttempt: attempt), using: &generator))
    }
}
