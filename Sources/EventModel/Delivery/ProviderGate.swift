/// Holds back a provider whose target cannot take anything, so that deliveries wait instead of failing one by one.
///
/// ```
///          misconfigured, or trouble of 3 subjects
///   open ──────────────────────────────────────────▶ shut ──(wait over)──▶ probing
///    ▲                                                ▲ ▲                     │ │
///    │                                                │ └──── check failed ───┘ │
///    │                                                └──── trouble ──── trying ◀┘ check passed
///    └────────────────────────────── the target answered ────────────────┘
/// ```
/// While it is shut nothing is sent; each wait is twice the one before. After a check that passed, one real delivery at
/// a time is tried: a check does not see everything that a delivery needs. What was sent before the gate shut and is
/// answered later does not open it.
/// A pure value: it says what to do, and the dispatcher does it.
public struct ProviderGate: Hashable, Sendable {
    /// Where the gate stands.
    public enum State: Hashable, Sendable {
        case open
        /// Until a moment, after so many failures in a row, for this reason.
        case shut(until: Timestamp, failures: Int, reason: String)
        /// One `check` is under way.
        case probing(failures: Int, reason: String)
        /// One delivery at a time may go.
        case trying(failures: Int, reason: String)
    }

    public private(set) var state = State.open
    /// Bounds of the wait; its jitter is small because a provider has only one gate.
    public var retry: RetryPolicy
    /// Subjects that met trouble since the last success.
    private var troubled: Set<Int64> = []

    /// So many different subjects in trouble, without a success between, shut the gate.
    public static let troubledSubjects = 3

    public init(retry: RetryPolicy) {
        self.retry = retry
    }

    /// How many deliveries may be in flight.
    ///
    /// - Parameter window: how many the provider takes at its best.
    public func limit(_ window: Int) -> Int {
        switch state {
        case .open: window
        case .trying: min(1, window)
        case .shut, .probing: 0
        }
    }

    /// When to look again; `nil` if there is nothing to wait for.
    public var wakeUp: Timestamp? {
        guard case .shut(let until, _, _) = state else { return nil }
        return until
    }

    /// The target answered a delivery: it took it, or refused it for the account's own sake.
    ///
    /// - Returns: whether this opened the gate.
    @discardableResult
    public mutating func answered() -> Bool {
        troubled.removeAll()
        guard case .trying = state else { return false }
        state = .open
        return true
    }

    /// A delivery for `subject` met trouble that may not be its own: *misconfigured*, *retry* or *unknown*, which is how a
    /// target that takes requests and never answers is seen. A worker that ended is not its target's trouble.
    ///
    /// - Returns: whether this shut the gate.
    @discardableResult
    public mutating func trouble(
        _ outcome: Outcome, subject: Int64, reason: String, now: Timestamp,
        using generator: inout some RandomNumberGenerator
    ) -> Bool {
        guard outcome == .misconfigured || outcome == .retry || outcome == .unknown else { return false }
        switch state {
        case .shut, .probing: return false
        case .trying(let failures, _):
            shut(failures: failures + 1, reason: reason, now: now, using: &generator)
        case .open:
            troubled.insert(subject)
            guard outcome == .misconfigured || troubled.count >= Self.troubledSubjects else { return false }
            shut(failures: 1, reason: reason, now: now, using: &generator)
        }
        return true
    }

    /// The wait is over.
    ///
    /// - Returns: whether a check is to be sent now.
    public mutating func look(now: Timestamp) -> Bool {
        guard case .shut(let until, let failures, let reason) = state, now >= until else { return false }
        state = .probing(failures: failures, reason: reason)
        return true
    }

    /// The check that ``look(now:)`` asked for succeeded, or the plugin has none.
    public mutating func checkPassed() {
        guard case .probing(let failures, let reason) = state else { return }
        state = .trying(failures: failures, reason: reason)
    }

    /// The check that ``look(now:)`` asked for did not succeed.
    public mutating func checkFailed(
        reason: String, now: Timestamp, using generator: inout some RandomNumberGenerator
    ) {
        guard case .probing(let failures, _) = state else { return }
        shut(failures: failures + 1, reason: reason, now: now, using: &generator)
    }

    /// The worker went away while a check was under way: look again as soon as there is one.
    public mutating func workerLost(now: Timestamp) {
        guard case .probing(let failures, let reason) = state else { return }
        state = .shut(until: now, failures: failures, reason: reason)
    }

    private mutating func shut(
        failures: Int, reason: String, now: Timestamp, using generator: inout some RandomNumberGenerator
    ) {
        let ceiling = retry.ceiling(afterAttempt: failures)
        state = .shut(
            until: now + Int64.random(in: (ceiling / 2)...ceiling, using: &generator), failures: failures,
            reason: reason)
        troubled.removeAll()
    }
}
