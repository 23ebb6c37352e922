/// Watches the wall clock beside one that runs evenly, so that a clock that jumps ends nothing.
///
/// Deliveries expire and events are let go by the wall clock, because their age counts over restarts. A clock that is
/// suddenly a year ahead would end them all at once. So nothing ends by its age while the clock is in doubt:
///
/// | the wall clock | is |
/// |---|---|
/// | moves apart from the even one by more than ``tolerance`` | doubted |
/// | at a start lies further than that from the last moment that was trusted | doubted: a jump looks like a long stop |
/// | comes back to where it was expected | trusted |
/// | agrees with the even one for ``patience`` | trusted |
///
/// A pure value, to be asked every minute or so.
public struct ClockWatch: Hashable, Sendable {
    /// Why the clock is not trusted.
    public struct Doubt: Hashable, Sendable {
        /// How far it is ahead of what was expected; negative: behind. Milliseconds.
        public var ahead: Int64
        /// When it is trusted again if it goes on like this; on the even clock.
        public var until: Timestamp
    }

    /// What a look at the clock has changed.
    public enum Change: Hashable, Sendable {
        case doubted(Doubt)
        case trusted
    }

    /// So far apart the clocks may move between two looks; milliseconds (an hour).
    public static let tolerance: Int64 = 3_600_000
    /// So long a clock has to agree that was doubted; milliseconds (a day).
    public static let patience: Int64 = 86_400_000

    /// `nil` while the clock is trusted.
    public private(set) var doubt: Doubt?
    /// The last moment of the wall clock that was trusted: to be kept for the next start.
    public private(set) var lastTrusted: Timestamp
    /// The even clock's moment then.
    private var trustedAt: Timestamp

    /// - Parameters:
    ///   - wall: the wall clock's time.
    ///   - steady: the time of a clock that runs evenly from start to end, wherever it began.
    ///   - last: the last moment that an earlier run trusted; `nil` if there was none.
    public init(wall: Timestamp, steady: Timestamp, last: Timestamp?) {
        lastTrusted = last ?? wall
        trustedAt = steady
        _ = look(wall: wall, steady: steady)
    }

    /// Compares the clocks.
    ///
    /// - Returns: what has changed; `nil` if nothing.
    @discardableResult
    public mutating func look(wall: Timestamp, steady: Timestamp) -> Change? {
        let ahead = (wall - lastTrusted) - (steady - trustedAt)
        let isExpected = abs(ahead) <= Self.tolerance
        if !isExpected {
            guard let doubt, abs(ahead - doubt.ahead) <= Self.tolerance else {
                let doubt = Doubt(ahead: ahead, until: steady + Self.patience)
                self.doubt = doubt
                return .doubted(doubt)
            }
            guard steady >= doubt.until else { return nil }
        }
        defer { doubt = nil }
        lastTrusted = wall
        trustedAt = steady
        return doubt == nil ? nil : .trusted
    }
}

/// What the clocks say at a moment.
public struct ClockReading: Hashable, Sendable {
    public var wall: Timestamp
    /// Milliseconds of a clock that runs evenly and is never set, since some moment before the process.
    public var steady: Int64

    public init(wall: Timestamp, steady: Int64) {
        self.wall = wall
        self.steady = steady
    }

    /// The time of a clock that was set by the wall clock at `start` and runs evenly since.
    public func time(since start: Self) -> Timestamp {
        start.wall + (steady - start.steady)
    }
}
