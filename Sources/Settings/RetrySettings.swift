public import EventModel

/// How failed deliveries are repeated. The wait doubles from ``initial`` to ``max``, with full jitter (see
/// ``EventModel/RetryPolicy``).
public struct RetrySettings: Hashable, Sendable {
    /// The longest wait after the first attempt; default 500 ms.
    public var initial = Duration.milliseconds(500)
    /// The longest wait after any attempt, also for an account that is not there yet; default 5 minutes. A target that
    /// asks for more gets it, up to a day.
    public var max = Duration.seconds(300)
    /// A delivery that is older than this is given up, and a password is destroyed; default 7 days.
    public var giveUpAfter = Duration.seconds(7 * 86_400)

    public init() {}

    /// The same as the value that the dispatcher works with.
    public var policy: RetryPolicy {
        RetryPolicy(initial: initial.wholeMilliseconds, maximum: max.wholeMilliseconds)
    }

    static let fields: [Field<Self>] = [
        .key(
            "initial", \.initial, .duration(.milliseconds(10)...(.seconds(3_600))),
            "The longest wait after the first attempt; it doubles with each further one."),
        .key(
            "max", \.max, .duration(.milliseconds(10)...(.seconds(86_400))),
            "The longest wait after any attempt, also for an account. A target may ask for more, up to a day."),
        .key(
            "give_up_after", \.giveUpAfter, .duration(.seconds(60)...(.seconds(366 * 86_400))),
            "The age at which a delivery is given up; a password is destroyed then."),
    ]
}
