public import NIOCore

/// How long a worker may take, and how soon it is started again. Monotonic time.
public struct WorkerTiming: Hashable, Sendable {
    /// From the decision to start a worker until its plugin has started (default: 10 s).
    public var start: TimeAmount = .seconds(10)
    /// After so long without a completion a worker is asked whether it still listens (default: 10 s).
    public var ping: TimeAmount = .seconds(10)
    /// It has so long to answer, or to complete anything (default: 5 s).
    public var pong: TimeAmount = .seconds(5)
    /// Between the end of a worker's socket and that of its process (default: 1 s).
    public var exit: TimeAmount = .seconds(1)
    /// How long the broker waits for the connection of a socket that blocks (default: 10 s). The worker's own library
    /// sends none.
    public var connect: TimeAmount = .seconds(10)
    /// Before the first restart; it doubles with every further one (default: 100 ms).
    public var firstRestart: TimeAmount = .milliseconds(100)
    /// The longest wait before a restart (default: 30 s).
    public var lastRestart: TimeAmount = .seconds(30)
    /// A worker that has served so long is started again as if it were the first time (default: 60 s).
    public var healthy: TimeAmount = .seconds(60)

    public init() {}

    /// How long to wait after so many workers in a row have been lost:
    ///
    /// | lost | 1 | 2 | 3 | 4 | 8 | 9 | 10 and more |
    /// |---|---|---|---|---|---|---|---|
    /// | wait | 100 ms | 200 ms | 400 ms | 800 ms | 12.8 s | 25.6 s | 30 s |
    func restart(afterLosing losses: Int) -> TimeAmount {
        // Beyond 2³² times the first wait, any last one is reached.
        let doublings = min(max(losses - 1, 0), 32)
        let (wait, overflow) = firstRestart.nanoseconds.multipliedReportingOverflow(by: 1 << doublings)
        return overflow ? lastRestart : min(.nanoseconds(wait), lastRestart)
    }
}
