public import EventModel

/// Which dead letters are wanted; `nil` is any.
public struct DeadLetterFilter: Hashable, Sendable {
    public var slot: Int?
    public var subject: Int64?
    public var reason: String?
    public var kind: EventKind?
    /// Those after this delivery, in the order of their events: for the next page.
    public var after: DeliveryKey?
    /// Default: 1000.
    public var limit = 1_000

    public init() {}

    /// Every dead letter there is.
    public static var all: Self {
        var filter = Self()
        filter.limit = .max
        return filter
    }
}

extension Journal {
    /// Lends every delivery that has not ended to `body`, in the order of events. `body` must not read the journal.
    public func forEachDelivery(_ body: (DeliveryRow) throws -> Void) throws(JournalError) {
        try scans.query("SELECT did, sid, kind, due, attempt, state FROM deliveries ORDER BY did") { row in
            try body(Self.delivery(row))
            return true
        }
    }

    /// Deliveries that have not ended, in the order of events, at most `limit`.
    ///
    /// - Parameters:
    ///   - slot: only this provider's; `nil` for all.
    ///   - kind: only these; `nil` for all.
    ///   - after: only those behind this one; `nil` for all.
    public func deliveries(
        slot: Int? = nil, kind: EventKind? = nil, after: DeliveryKey? = nil, limit: Int
    ) throws(JournalError) -> [DeliveryRow] {
        let (conditions, arguments) = Self.conditions(slot: slot, kind: kind, after: after)
        return try scans.rows(
            """
            SELECT did, sid, kind, due, attempt, state FROM deliveries
            WHERE \(conditions) ORDER BY did LIMIT ?\(arguments.count + 1)
            """, arguments + [.integer(Int64(limit))], Self.delivery)
    }

    /// How many deliveries have not ended; of this provider and kind, or `nil` for all.
    public func countDeliveries(slot: Int? = nil, kind: EventKind? = nil) throws(JournalError) -> Int {
        let (conditions, arguments) = Self.conditions(slot: slot, kind: kind)
        return try scans.rows("SELECT count(*) FROM deliveries WHERE \(conditions)", arguments) { Int($0.integer(0)) }
            .first ?? 0
    }

    /// How many dead letters there are of this kind; the filter's `after` and `limit` do not count.
    public func countDeadLetters(_ filter: DeadLetterFilter = .all) throws(JournalError) -> Int {
        let (conditions, arguments) = Self.conditions(
            slot: filter.slot, kind: filter.kind, subject: filter.subject, reason: filter.reason)
        return try scans.rows("SELECT count(*) FROM dead_letters WHERE \(conditions)", arguments) { Int($0.integer(0)) }
            .first ?? 0
    }

    /// What both tables are searched by; `nil` is any.
    private static func conditions(
        slot: Int?, kind: EventKind?, subject: Int64? = nil, reason: String? = nil, after: DeliveryKey? = nil
    ) -> (sql: String, arguments: [ReadConnection.Argument]) {
        var conditions = ["did > ?1"]
        var arguments = [ReadConnection.Argument.integer(after?.rawValue ?? .min)]
        func demand(_ expression: String, _ value: ReadConnection.Argument?) {
            guard let value else { return }
            arguments.append(value)
            conditions.append("\(expression) = ?\(arguments.count)")
        }
        demand("did >> 2 & 1023", slot.map { .integer(Int64($0)) })
        demand("kind", kind.map { .integer($0.number) })
        demand("sid", subject.map { .integer($0) })
        demand("reason", reason.map { .text($0) })
        return (conditions.joined(separator: " AND "), arguments)
    }

    /// One delivery that has not ended.
    public func delivery(_ id: DeliveryKey) throws(JournalError) -> DeliveryRow? {
        try lookups.rows(
            "SELECT did, sid, kind, due, attempt, state FROM deliveries WHERE did = ?1", [.integer(id.rawValue)],
            Self.delivery
        ).first
    }

    private static func delivery(_ row: SQLiteStatement) -> DeliveryRow {
        DeliveryRow(
            id: DeliveryKey(rawValue: row.integer(0)), subject: row.integer(1), kindNumber: row.integer(2),
            due: Timestamp(milliseconds: row.integer(3)), attempt: Int(row.integer(4)), state: Int(row.integer(5)))
    }

    /// The last event whose deliveries have all been made, and the last that the subjects' states contain; 0 at first.
    public func progress() throws(JournalError) -> (fannedOutThrough: Int64, foldedThrough: Int64) {
        (try meta(Meta.fannedOutThrough) ?? 0, try meta(Meta.foldedThrough) ?? 0)
    }

    /// What the last run has left of the wall clock; `nil` if there was none.
    public func clock() throws(JournalError) -> ClockWatch.Memory? {
        guard let trusted = try meta(Meta.clockTrusted) else { return nil }
        return ClockWatch.Memory(
            trusted: Timestamp(milliseconds: trusted),
            seen: Timestamp(milliseconds: try meta(Meta.clockSeen) ?? trusted),
            patienceLeft: try meta(Meta.clockPatience) ?? 0)
    }

    private func meta(_ name: String) throws(JournalError) -> Int64? {
        try lookups.rows("SELECT value FROM meta WHERE name = ?1", [.text(name)]) { $0.integer(0) }.first
    }

    /// Dead letters in the order of their events.
    public func deadLetters(_ filter: DeadLetterFilter = DeadLetterFilter()) throws(JournalError) -> [DeadLetter] {
        let (conditions, arguments) = Self.conditions(
            slot: filter.slot, kind: filter.kind, subject: filter.subject, reason: filter.reason, after: filter.after)
        return try scans.rows(
            """
            SELECT did, sid, kind, at, attempt, reason, detail, key FROM dead_letters
            WHERE \(conditions) ORDER BY did LIMIT ?\(arguments.count + 1)
            """, arguments + [.integer(Int64(filter.limit))], Self.deadLetter)
    }

    /// One dead letter.
    public func deadLetter(_ id: DeliveryKey) throws(JournalError) -> DeadLetter? {
        try lookups.rows(
            "SELECT did, sid, kind, at, attempt, reason, detail, key FROM dead_letters WHERE did = ?1",
            [.integer(id.rawValue)], Self.deadLetter
        ).first
    }

    private static func deadLetter(_ row: SQLiteStatement) -> DeadLetter {
        DeadLetter(
            id: DeliveryKey(rawValue: row.integer(0)), subject: row.integer(1), kindNumber: row.integer(2),
            at: Timestamp(milliseconds: row.integer(3)), attempt: Int(row.integer(4)), reason: row.text(5),
            detail: row.bytes(6), generation: Int(row.integer(7)))
    }

    /// The counters that outlive restarts.
    public func counters() throws(JournalError) -> [CounterKey: Int64] {
        let rows = try scans.rows("SELECT slot, name, value FROM counters") { row in
            (CounterKey(slot: Int(row.integer(0)), name: row.text(1)), row.integer(2))
        }
        return Dictionary(rows, uniquingKeysWith: { first, _ in first })
    }
}
