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
/// While it is shut nothing is sent. After a check that passed, one real delivery at a time is tried: a check does not
/// see everything that a delivery needs. What was sent before the gate shut and is answered later does not open it.
///
/// A subject's failure is the target's until the target answers another subject; from then on it is the subject's own, and
/// shuts nothing until that subject is answered. The delivery that is tried should be of a subject that has not failed:
/// ``isSuspect(_:)``.
///
/// Each wait is twice the one before, counted apart for what each tells of the target:
///
/// | what failed | the next look, after the Nth in a row | a newcomer that has not failed |
/// |---|---|---|
/// | checks; one that passes begins the count anew | `ceiling(1 + N)` | does not hurry it |
/// | trials of subjects that had failed before | `ceiling(1 + N)`, N over all trials | hurries it to the line below |
/// | trials of subjects that had not | `ceiling(1 + N)` | does not hurry it |
///
/// where `ceiling` is ``RetryPolicy/ceiling(afterAttempt:)``, and a wait is drawn from its upper half.
/// A pure value: it says what to do, and the dispatcher does it.
public struct ProviderGate: Hashable, Sendable {
    /// Where the gate stands.
    public enum State: Hashable, Sendable {
        case open
        /// Until a moment, for this reason.
        case shut(until: Timestamp, reason: String)
        /// One `check` is under way.
        case probing(reason: String)
        /// One delivery at a time may go.
        case trying(reason: String)
    }

    public private(set) var state = State.open
    /// Bounds of the wait; its jitter is small because a provider has only one gate.
    public var retry: RetryPolicy
    /// Subjects that failed since the target last answered one: theirs may be the target's trouble.
    private var troubled: Set<Int64> = []
    /// Subjects that failed before the target answered another one, and were not answered since.
    private var failingAlone: Set<Int64> = []
    private var failures = Failures()
    /// While shut: when a newcomer that has not failed may be tried.
    private var earliest = Timestamp(milliseconds: 0)

    /// What failed in a row since the gate was open.
    private struct Failures: Hashable {
        var checks = 0
        var trials = 0
        /// Of the trials, those of subjects that had not failed before.
        var firstTrials = 0
    }

    /// So many different subjects in trouble, without an answer to another between, shut the gate.
    public static let troubledSubjects = 3
    /// So many subjects that fail by themselves are remembered; one too many takes the place of any other.
    public static let rememberedSubjects = 4_096

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

    /// Whether the next delivery is a trial.
    public var isTrying: Bool {
        guard case .trying = state else { return false }
        return true
    }

    /// When to look again; `nil` if there is nothing to wait for.
    public var wakeUp: Timestamp? {
        guard case .shut(let until, _) = state else { return nil }
        return until
    }

    /// Whether a subject met trouble and was not answered since, so that its next trouble would tell little.
    public func isSuspect(_ subject: Int64) -> Bool {
        troubled.contains(subject) || failingAlone.contains(subject)
    }

    /// The target answered a delivery for `subject`: it took it, or refused it for the account's own sake. So it is there,
    /// and who failed before failed alone.
    ///
    /// - Returns: whether this opened the gate.
    @discardableResult
    public mutating func answered(_ subject: Int64) -> Bool {
        failingAlone.remove(subject)
        troubled.remove(subject)
        for other in troubled {
            if failingAlone.count >= Self.rememberedSubjects { failingAlone.remove(at: failingAlone.startIndex) }
            failingAlone.insert(other)
        }
        troubled.removeAll()
        guard case .trying = state else { return false }
        state = .open
        failures = Failures()
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
        let isFirst = !isSuspect(subject)
        if !failingAlone.contains(subject) { troubled.insert(subject) }
        switch state {
        case .shut, .probing: return false
        case .trying:
            failures.trials += 1
            if isFirst { failures.firstTrials += 1 }
            let forNewcomers = failures.firstTrials
            shut(
                after: isFirst ? forNewcomers : failures.trials, newcomersAfter: forNewcomers, reason: reason, now: now,
                using: &generator)
        case .open:
            guard !failingAlone.contains(subject) else { return false }
            guard outcome == .misconfigured || troubled.count >= Self.troubledSubjects else { return false }
            shut(after: 0, newcomersAfter: 0, reason: reason, now: now, using: &generator)
        }
        return true
    }

    /// A delivery for `subject` came to wait. If the subject has not failed, it tells more of the target than another
    /// trial of those that have, and is not to wait as long as they.
    public mutating func arrived(_ subject: Int64) {
        guard case .shut(let until, let reason) = state, earliest < until, !isSuspect(subject) else { return }
        state = .shut(until: earliest, reason: reason)
    }

    /// Somebody who may have mended the target wants to know: the wait is over, and the next ones begin anew.
    public mutating func askNow(now: Timestamp) {
        failures = Failures()
        guard case .shut(_, let reason) = state else { return }
        earliest = now
        state = .shut(until: now, reason: reason)
    }

    /// The wait is over.
    ///
    /// - Returns: whether a check is to be sent now.
    public mutating func look(now: Timestamp) -> Bool {
        guard case .shut(let until, let reason) = state, now >= until else { return false }
        state = .probing(reason: reason)
        return true
    }

    /// The check that ``look(now:)`` asked for succeeded, or the plugin has none.
    public mutating func checkPassed() {
        guard case .probing(let reason) = state else { return }
        failures.checks = 0
        state = .trying(reason: reason)
    }

    /// The check that ``look(now:)`` asked for did not succeed.
    public mutating func checkFailed(
        reason: String, now: Timestamp, using generator: inout some RandomNumberGenerator
    ) {
        guard case .probing = state else { return }
        failures.checks += 1
        shut(after: failures.checks, newcomersAfter: failures.checks, reason: reason, now: now, using: &generator)
    }

    /// The worker went away while a check was under way: look again as soon as there is one.
    public mutating func workerLost(now: Timestamp) {
        guard case .probing(let reason) = state else { return }
        earliest = now
        state = .shut(until: now, reason: reason)
    }

    private mutating func shut(
        after failures: Int, newcomersAfter fewer: Int, reason: String, now: Timestamp,
        using generator: inout some RandomNumberGenerator
    ) {
        func wait(_ failures: Int) -> Int64 {
            let ceiling = retry.ceiling(afterAttempt: 1 + failures)
            return Int64.random(in: (ceiling / 2)...ceiling, using: &generator)
        }
        let until = now + wait(failures)
        earliest = fewer < failures ? min(until, now + wait(fewer)) : until
        state = .shut(until: until, reason: reason)
    }
}
