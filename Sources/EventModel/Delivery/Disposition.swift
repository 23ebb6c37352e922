/// What becomes of a delivery after an attempt.
public enum Disposition: Hashable, Sendable {
    /// It is done.
    case delivered
    /// Try again after so many milliseconds.
    case retry(after: Int64)
    /// Look after so many milliseconds whether the account is there.
    case awaitAccount(after: Int64)
    /// Try again when the provider is in order: this attempt does not count.
    case awaitProvider
    /// It ends here, as a dead letter.
    case dead
}

/// Decides what becomes of a delivery after its plugin answered, or failed to.
public struct DispositionRule: Hashable, Sendable {
    public var retry: RetryPolicy
    /// How long to wait for an account that is not there yet, by attempt; the last one repeats, and none is longer than
    /// the longest wait of ``retry``. Milliseconds.
    public var absentWaits: [Int64]

    public init(retry: RetryPolicy = RetryPolicy(), absentWaits: [Int64] = [60_000, 300_000, 900_000, 3_600_000]) {
        self.retry = retry
        self.absentWaits = absentWaits
    }

    /// | outcome | credential, profile, lifecycle | notification |
    /// |---|---|---|
    /// | delivered | delivered | delivered |
    /// | retry | retry | retry |
    /// | refused | dead | dead |
    /// | misconfigured, the provider held back | await the provider | await the provider |
    /// | misconfigured, the provider open: others go through | retry | retry |
    /// | absent | delivered for a delete; else await the account, by ``absentWaits`` | dead |
    /// | unknown | retry | retry |
    ///
    /// What is to be tried again ends as superseded if a newer state waits: ``LaneTable`` sees to that, so the older one
    /// is neither repeated nor probed.
    ///
    /// - Parameters:
    ///   - completion: the plugin's answer.
    ///   - attempt: how many attempts there were, this one included.
    ///   - isHeldBack: whether the provider's gate is not open.
    public func decide(
        _ completion: Completion, kind: EventKind, deliveryClass: DeliveryClass, attempt: Int, isHeldBack: Bool,
        using generator: inout some RandomNumberGenerator
    ) -> Disposition {
        switch completion.outcome {
        case .delivered: return .delivered
        case .refused: return .dead
        case .misconfigured where isHeldBack: return .awaitProvider
        case .absent:
            if kind == .userDeleted { return .delivered }
            guard deliveryClass != .notification, !absentWaits.isEmpty else { return .dead }
            let wait = absentWaits[min(max(attempt, 1), absentWaits.count) - 1]
            return .awaitAccount(after: min(wait, retry.maximum))
        case .retry, .unknown, .misconfigured:
            let asked = Int64(completion.retryAfter)
            return .retry(after: retry.wait(afterAttempt: attempt, asked: asked, using: &generator))
        }
    }
}
