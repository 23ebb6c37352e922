public import EventModel

/// Which deliveries and dead letters are meant; `nil` is any.
public struct QueueFilter: Hashable, Sendable {
    public enum State: String, Hashable, Sendable, CaseIterable {
        /// In flight, too.
        case waiting
        case dead
    }

    /// A provider's name.
    public var provider: String?
    public var state: State?
    /// Why they are dead; deliveries that wait have none.
    public var reason: String?
    public var kind: EventKind?

    /// All there are.
    public init() {}

    var wantsWaiting: Bool { state != .dead && reason == nil }
    var wantsDead: Bool { state != .waiting }
}

/// How much of the queue a filter finds.
public struct QueueCount: Codable, Hashable, Sendable {
    public var waiting = 0
    public var dead = 0
}

/// A part of a list of the queue.
public struct QueueList: Codable, Hashable, Sendable {
    /// How many may be asked for at once: each delivery is read from the journal.
    public static let sizes = 1...1_000

    /// Fewer than were asked for if some have ended meanwhile.
    public var deliveries: [DeliveryReport] = []
    /// Behind which delivery the list goes on; `nil` at its end.
    public var next: Int64?
}

/// What became of a command for many deliveries.
public struct BulkReport: Codable, Hashable, Sendable {
    /// Carried out for so many.
    public var done = 0
    /// For so many not, by the reason: `in flight`, `needs a new password`, `outdated`, `not readable`, or that the
    /// provider is not in the settings.
    public var refused: [String: Int] = [:]
    /// By the provider's name, why those of it that are to be tried again do not go at once; for people.
    public var held: [String: String] = [:]
}

/// Spreads many retries: a target that just came back is not to get all of them at once.
struct RetryPace: Sendable {
    /// Retries a second, for each provider.
    static let rate: Int64 = 100

    private var given: [Int: Int64] = [:]

    /// When the next retry of a provider is due.
    mutating func next(slot: Int, now: Timestamp) -> Timestamp {
        let before = given[slot, default: 0]
        given[slot] = before + 1
        return now + before * 1_000 / Self.rate
    }
}
