public import EventModel

/// An event as it lies on disk.
public struct StoredEvent: Sendable {
    public var sequence: Int64
    public var id: String
    public var mac: Hash128
    public var kind: EventKind
    public var received: Timestamp
    public var source: String
    public var flags: EventRecord.Flags
    /// Sealed.
    public var body: [UInt8]
    /// Sealed; `nil` if there was none, or it was erased.
    public var secret: [UInt8]?
}

/// What the set of known ids is rebuilt from.
public struct StoredEventID: Sendable {
    public var sequence: Int64
    public var id: String
    public var mac: Hash128
    public var received: Timestamp
    public var source: String
}

/// What a search for events that nobody needs any more has found.
public struct RetirableEvents: Hashable, Sendable {
    /// In order; none touches the next. Numbers of events that went earlier may lie inside.
    public var ranges: [ClosedRange<Int64>] = []
    /// Where the search goes on; `nil` if it saw everything.
    public var next: Int64?

    public init(ranges: [ClosedRange<Int64>] = [], next: Int64? = nil) {
        self.ranges = ranges
        self.next = next
    }

    /// How many events there are at most.
    public var count: Int { ranges.reduce(0) { $0 + $1.count } }
}

extension Journal {
    private static let columns = """
        SELECT events.seq, id, mac, kind, received, source, flags, body, sealed
        FROM events LEFT JOIN secrets ON secrets.seq = events.seq
        """

    /// One event, with what is left of it.
    public func event(_ sequence: Int64) throws(JournalError) -> StoredEvent? {
        var event: StoredEvent?
        try lookups.query("\(Self.columns) WHERE events.seq = ?1", [.integer(sequence)]) { row in
            event = Self.event(row)
            return false
        }
        return event
    }

    /// The events after a number, in their order, at most `limit`.
    public func events(after sequence: Int64, limit: Int) throws(JournalError) -> [StoredEvent] {
        try scans.rows(
            "\(Self.columns) WHERE events.seq > ?1 ORDER BY events.seq LIMIT ?2",
            [.integer(sequence), .integer(Int64(limit))], Self.event)
    }

    /// Lends every event after a number to `body`, oldest first. `body` may look things up, but must not scan.
    public func forEachEvent(
        after sequence: Int64, _ body: (StoredEvent) throws -> Void
    ) throws(JournalError) {
        try scans.query("\(Self.columns) WHERE events.seq > ?1 ORDER BY events.seq", [.integer(sequence)]) { row in
            if let event = Self.event(row) { try body(event) }
            return true
        }
    }

    /// Events that nobody needs any more: received before a moment, up to a number, without a delivery or a dead letter.
    /// A search that begins at a number and passes those that are needed; so many of them may lie between that it ends
    /// before it has found what was asked for, and goes on at ``RetirableEvents/next``.
    ///
    /// Every step is three looks at the left edge of an index, however long the runs are; at most a thousand steps.
    public func retirableEvents(
        before moment: Timestamp, through last: Int64, from first: Int64 = 0, atMost: Int
    ) throws(JournalError) -> RetirableEvents {
        var found = RetirableEvents(next: first)
        guard let old = try lastEvent(receivedBefore: moment) else { return RetirableEvents() }
        let end = min(last, old)
        for _ in 0..<min(atMost, 1_000) {
            guard let event = try firstNumber(Self.nextEvent, found.next), event <= end else {
                found.next = nil
                return found
            }
            let needed = min(
                try firstNumber(Self.nextDelivery, event << 12) ?? .max,
                try firstNumber(Self.nextDeadLetter, event << 12) ?? .max
            )
            let isNeeded = needed >> 12 == event
            let run = min(end, (needed >> 12) - 1, event + Int64(atMost - found.count) - 1)
            if !isNeeded { found.ranges.append(event...run) }
            found.next = (isNeeded ? event : run) + 1
            guard found.count < atMost else { return found }
        }
        return found
    }

    private static let nextEvent = "SELECT seq FROM events WHERE seq >= ?1 ORDER BY seq LIMIT 1"
    private static let nextDelivery = "SELECT did FROM deliveries WHERE did >= ?1 ORDER BY did LIMIT 1"
    private static let nextDeadLetter = "SELECT did FROM dead_letters WHERE did >= ?1 ORDER BY did LIMIT 1"

    /// For a test of their plans.
    package static let retiring = [nextEvent, nextDelivery, nextDeadLetter]

    private func firstNumber(_ query: String, _ from: Int64?) throws(JournalError) -> Int64? {
        try lookups.rows(query, [.integer(from ?? 0)]) { $0.integer(0) }.first
    }

    /// Lends every event's id and hash to `body`, oldest first. `body` must not read the journal.
    public func forEachEventID(_ body: (StoredEventID) throws -> Void) throws(JournalError) {
        try scans.query("SELECT seq, id, mac, received, source FROM events ORDER BY seq") { row in
            try body(
                StoredEventID(
                    sequence: row.integer(0), id: row.text(1), mac: row.hash(2),
                    received: Timestamp(milliseconds: row.integer(3)), source: row.text(4)))
            return true
        }
    }

    /// Lends the first `count` bytes of every waiting secret to `body`, oldest first: enough to tell which data keys are
    /// in use. `body` must not read the journal.
    public func forEachSecret(
        prefix count: Int, _ body: (_ sequence: Int64, _ prefix: UnsafeRawBufferPointer) throws -> Void
    ) throws(JournalError) {
        try scans.query(
            "SELECT seq, substr(sealed, 1, ?1) FROM secrets ORDER BY seq", [.integer(Int64(count))]
        ) { row in
            try row.withBytes(1) { try body(row.integer(0), $0) }
            return true
        }
    }

    /// The numbers of the oldest and the newest event; `nil` if there was never one.
    public func sequenceBounds() throws(JournalError) -> ClosedRange<Int64>? {
        var bounds: ClosedRange<Int64>?
        try lookups.query("SELECT (SELECT min(seq) FROM events), (SELECT max(seq) FROM events)") { row in
            if !row.isNull(0) { bounds = row.integer(0)...row.integer(1) }
            return false
        }
        return bounds
    }

    /// The earliest moment at which an event that is still here was received, or a dead letter written; `nil` if there is
    /// neither. Reads all of them, for the order of numbers is not that of a clock that was set: seconds for a large
    /// journal.
    public func oldestBody() throws(JournalError) -> Timestamp? {
        try scans.rows(
            "SELECT min(at) FROM (SELECT min(received) AS at FROM events UNION ALL SELECT min(at) FROM dead_letters)"
        ) { $0.isNull(0) ? nil : Timestamp(milliseconds: $0.integer(0)) }.first
    }

    /// The last event that was received before a moment; `nil` if there is none. Reads a few rows, however many there
    /// are: events are nearly in the order of their receipt, and where a clock was set back the answer is as good as that.
    public func lastEvent(receivedBefore moment: Timestamp) throws(JournalError) -> Int64? {
        guard let bounds = try sequenceBounds() else { return nil }
        var found: Int64?
        var low = bounds.lowerBound
        var high = bounds.upperBound
        while low <= high {
            let middle = low + (high - low) / 2
            var row: (sequence: Int64, received: Int64)?
            try lookups.query(
                "SELECT seq, received FROM events WHERE seq >= ?1 ORDER BY seq LIMIT 1", [.integer(middle)]
            ) {
                row = ($0.integer(0), $0.integer(1))
                return false
            }
            if let row, row.sequence <= high, row.received < moment.milliseconds {
                found = row.sequence
                low = row.sequence + 1
            } else {
                high = middle - 1
            }
        }
        return found
    }

    private static func event(_ row: SQLiteStatement) -> StoredEvent? {
        // A kind that this version does not know was written by a newer one, and its file would not have been opened.
        guard let kind = EventKind(rawValue: UInt8(truncatingIfNeeded: row.integer(3))) else { return nil }
        return StoredEvent(
            sequence: row.integer(0), id: row.text(1), mac: row.hash(2), kind: kind,
            received: Timestamp(milliseconds: row.integer(4)), source: row.text(5),
            flags: EventRecord.Flags(rawValue: UInt8(truncatingIfNeeded: row.integer(6))), body: row.bytes(7),
            secret: row.isNull(8) ? nil : row.bytes(8))
    }
}
