/// What becomes of a delivery after an attempt.
public enum Disposition: Hashable, Sendable {
    /// It is done.
    case delivered
    /// Try again after so many milliseconds.
    case retry(after: Int64)
    /// Try again when the provider is in order: this attempt does not count.
    case await
    /// It ends here, as a dead letter.
    case dead
    /// A newer state of the same lane waits: this one is neither repeated nor probed.
    case superseded
}

/// Decides what becomes of a delivery after its plugin answered, or failed to.
public struct DispositionRule: Hashable, Sendable {
    public var retry: RetryPolicy
    /// How long to wait for an account that is not there yet, by attempt; the last one repeats. Milliseconds.
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
    /// | misconfigured | await | await |
    /// | absent | retry, by ``absentWaits`` | dead |
    /// | unknown | superseded if a newer one waits, else retry | retry |
    ///
    /// - Parameters:
    ///   - completion: the plugin's answer.
    ///   - attempt: how many attempts there were, this one included.
    ///   - newerWaits: whether a newer state waits in the same lane.
    public func decide(
        _ completion: Completion, deliveryClass: DeliveryClass, attempt: Int, newerWaits: Bool,
        using generator: inout some RandomNumberGenerator
    ) -> Disposition {
        switch completion.outcome {
        case .delivered: return .delivered
        case .refused: return .dead
        case .misconfigured: return .await
        case .absent:
            guard deliveryClass != .notification, !absentWaits.isEmpty else { return .dead }
            if newerWaits { return .superseded }
            return .retry(after: absentWaits[min(max(attempt, 1), absentWaits.count) - 1])
        case .retry, .unknown:
            // A newer state makes the older one pointless, whether it may have been written or surely was not.
            if newerWaits { return .superseded }
            let asked = Int64(completion.retryAfter)
            return .retry(after: retry.wait(afterAttempt: attempt, asked: asked, using: &generator))
        }
    }
}
