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
/// A start soon after the end carries on what is left of the patience, so that many of them do not keep the doubt alive.
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

    /// What is to be kept for the next start.
    public struct Memory: Hashable, Sendable {
        /// The last moment of the wall clock that was trusted.
        public var trusted: Timestamp
        /// The last moment that it showed.
        public var seen: Timestamp
        /// How much longer it had to agree to be trusted again; 0 if it was. Milliseconds.
        public var patienceLeft: Int64

        public init(trusted: Timestamp, seen: Timestamp, patienceLeft: Int64 = 0) {
            self.trusted = trusted
            self.seen = seen
            self.patienceLeft = patienceLeft
        }
    }

    /// `nil` while the clock is trusted.
    public private(set) var doubt: Doubt?
    /// The last moment of the wall clock that was trusted.
    public private(set) var lastTrusted: Timestamp
    /// The even clock's moment then.
    private var trustedAt: Timestamp

    /// - Parameters:
    ///   - wall: the wall clock's time.
    ///   - steady: the time of a clock that runs evenly from start to end, wherever it began.
    ///   - last: what the run before has left; `nil` if there was none.
    public init(wall: Timestamp, steady: Timestamp, last: Memory?) {
        lastTrusted = last?.trusted ?? wall
        trustedAt = steady
        _ = look(wall: wall, steady: steady)
        if let last, last.patienceLeft > 0, abs(wall - last.seen) <= Self.tolerance {
            doubt?.until = steady + min(last.patienceLeft, Self.patience)
        }
    }

    /// What the next start is to know if this run ends now.
    public func memory(wall: Timestamp, steady: Timestamp) -> Memory {
        Memory(
            trusted: lastTrusted, seen: wall, patienceLeft: doubt.map { max(1, $0.until - steady) } ?? 0)
    }

    /// Compares the clocks.
    ///
    /// - Returns: what has changed; `nil` if nothing.
    @discardableResult
    public mutating func look(wall: Timestamp, steady: Timestamp) -> Change? {
        let ahead = Self.difference(wall - lastTrusted, steady - trustedAt)
        let isExpected = abs(ahead) <= Self.tolerance
        if !isExpected {
            guard let doubt, abs(Self.difference(ahead, doubt.ahead)) <= Self.tolerance else {
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

    /// A damaged moment is far away, and no more than that.
    private static func difference(_ one: Int64, _ other: Int64) -> Int64 {
        Timestamp(milliseconds: one) - Timestamp(milliseconds: other)
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
