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

    /// The oldest events that nobody needs any more: received before a moment, up to a number, without a delivery or a
    /// dead letter. At most `atMost` in a row; `nil` if the oldest event is still needed.
    public func retirableEvents(
        before moment: Timestamp, through last: Int64, atMost: Int
    ) throws(JournalError) -> ClosedRange<Int64>? {
        var range: ClosedRange<Int64>?
        try lookups.query(
            """
            SELECT seq, received,
                EXISTS (SELECT 1 FROM deliveries WHERE did BETWEEN seq << 12 AND (seq << 12) + 4095)
                OR EXISTS (SELECT 1 FROM dead_letters WHERE did BETWEEN seq << 12 AND (seq << 12) + 4095)
            FROM events WHERE seq <= ?1 ORDER BY seq LIMIT ?2
            """, [.integer(last), .integer(Int64(atMost))]
        ) { row in
            guard row.integer(1) < moment.milliseconds, row.integer(2) == 0 else { return false }
            range = (range?.lowerBound ?? row.integer(0))...row.integer(0)
            return true
        }
        return range
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
