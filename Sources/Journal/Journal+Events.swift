public import EventModel

/// An event as it lies on disk.
public struct StoredEvent: Sendable {
    public var sequence: Int64
    public var id: String
    public var mac: Hash128
    /// As its row says; `nil` if no kind that this version knows has the number. What counts stands in the body.
    public var kind: EventKind?
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

/// A search for the events that have reached some age, which goes on as time does: what it has passed is not read again.
///
/// Numbers are given in the order of receipt, while stamps come from a clock that may be set back. An event is old once its
/// stamp is, and the stamps of all before it: so nothing young ends with what is old.
public struct OldEvents: Hashable, Sendable {
    /// The last event that is old; all before it are. 0 if none is.
    public fileprivate(set) var through: Int64
    /// Whether it went on as far as it could: to an event that is not old, or to the newest.
    public fileprivate(set) var isComplete = true
    /// The last event that was read and passed: old, or stamped in the future.
    fileprivate var position: Int64
    /// The least stamp of those passed behind ``through``; when that is old, so is its event, whatever follows it.
    fileprivate var leastWrongStamp: Timestamp?

    /// - Parameter sequence: up to this event all count as old without being read.
    public init(after sequence: Int64 = 0) {
        through = sequence
        position = sequence
    }

    fileprivate mutating func pass(_ sequence: Int64, received: Timestamp, before moment: Timestamp) {
        position = sequence
        if received < moment {
            through = sequence
            leastWrongStamp = nil
        } else {
            leastWrongStamp = min(leastWrongStamp ?? received, received)
        }
    }
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
            try body(Self.event(row))
            return true
        }
    }

    /// Events that nobody needs any more: up to a number, without a delivery or a dead letter. A search that begins at a
    /// number and passes those that are needed; so many of them may lie between that it ends before it has found what was
    /// asked for, and goes on at ``RetirableEvents/next``.
    ///
    /// Every step is three looks at the left edge of an index, however long the runs are; at most a thousand steps.
    public func retirableEvents(
        through last: Int64, from first: Int64 = 0, atMost: Int
    ) throws(JournalError) -> RetirableEvents {
        var found = RetirableEvents(next: first)
        for _ in 0..<min(atMost, 1_000) {
            guard let event = try firstNumber(Self.nextEvent, found.next ?? 0), event <= last else {
                found.next = nil
                return found
            }
            let needed = try firstNumber(Self.nextNeed, event << 12) ?? .max
            let isNeeded = needed >> 12 == event
            let run = min(last, (needed >> 12) - 1, event + Int64(atMost - found.count) - 1)
            if !isNeeded { found.ranges.append(event...run) }
            found.next = (isNeeded ? event : run) + 1
            guard found.count < atMost else { return found }
        }
        return found
    }

    private static let nextEvent = "SELECT seq FROM events WHERE seq >= ?1 ORDER BY seq LIMIT 1"
    /// One statement sees one commit: a dead letter that becomes a delivery again is in one of the two.
    private static let nextNeed = """
        SELECT did FROM (SELECT did FROM deliveries WHERE did >= ?1 ORDER BY did LIMIT 1)
        UNION ALL SELECT did FROM (SELECT did FROM dead_letters WHERE did >= ?1 ORDER BY did LIMIT 1)
        ORDER BY did LIMIT 1
        """

    /// For a test of their plans.
    package static let retiring = [nextEvent, nextNeed]

    private func firstNumber(_ query: String, _ from: Int64) throws(JournalError) -> Int64? {
        try lookups.rows(query, [.integer(from)]) { $0.integer(0) }.first
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

    /// The events whose secrets have not been erased, in their order.
    package func eventsWithSecrets() throws(JournalError) -> [Int64] {
        try scans.rows("SELECT seq FROM secrets ORDER BY seq") { $0.integer(0) }
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

    /// How many bytes at the head of a sealed value name the data key that opens it.
    public static let sealHeaderSize = 5

    /// Whether an event, a secret or a dead letter begins with `header`, that is, needs its data key. A look into three
    /// indexes, however large the journal is.
    ///
    /// - Parameter header: the first ``sealHeaderSize`` bytes of what the key seals.
    public func holdsSealed(header: [UInt8]) throws(JournalError) -> Bool {
        try lookups.rows(Self.sealedUnderKey, [.bytes(header)]) { $0.integer(0) != 0 }.first ?? false
    }

    /// For a test of its plan.
    package static let sealedUnderKey =
        "SELECT "
        + Schema.sealedTables.map { "EXISTS(SELECT 1 FROM \($0.name) WHERE \($0.keyExpression) = ?1)" }
        .joined(separator: " OR ")

    /// Takes a search for old events on from where it stands, to the first one that is not old. Passes at most
    /// `limit` rows, and reads one more to tell whether it is complete.
    ///
    /// - Parameters:
    ///   - moment: what was received before it is old.
    ///   - now: by the same clock. What was stamped later than that has a wrong stamp, and is as old as what follows it.
    public func advance(
        _ search: inout OldEvents, receivedBefore moment: Timestamp, now: Timestamp, limit: Int = 4_096
    ) throws(JournalError) {
        var reached = search
        if let stamp = reached.leastWrongStamp, stamp < moment { reached = OldEvents(after: reached.through) }
        reached.isComplete = true
        var rows = 0
        try lookups.query("SELECT seq, received FROM events WHERE seq > ?1 ORDER BY seq", [.integer(reached.position)])
        {
            guard rows < limit else {
                reached.isComplete = false
                return false
            }
            let (sequence, received) = ($0.integer(0), Timestamp(milliseconds: $0.integer(1)))
            guard received < moment || received > now else { return false }
            reached.pass(sequence, received: received, before: moment)
            rows += 1
            return true
        }
        search = reached
    }

    private static func event(_ row: SQLiteStatement) -> StoredEvent {
        StoredEvent(
            sequence: row.integer(0), id: row.text(1), mac: row.hash(2), kind: EventKind(number: row.integer(3)),
            received: Timestamp(milliseconds: row.integer(4)), source: row.text(5),
            flags: EventRecord.Flags(rawValue: UInt8(truncatingIfNeeded: row.integer(6))), body: row.bytes(7),
            secret: row.isNull(8) ? nil : row.bytes(8))
    }
}
