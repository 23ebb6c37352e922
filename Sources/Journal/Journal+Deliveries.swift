public import EventModel

/// Which dead letters are wanted; `nil` is any.
public struct DeadLetterFilter: Hashable, Sendable {
    public var slot: Int?
    public var subject: Int64?
    public var outcome: Outcome?
    /// Those after this delivery, in the order of their events: for the next page.
    public var after: DeliveryID?
    /// Default: 1000.
    public var limit = 1_000

    public init() {}
}

extension Journal {
    /// Lends every delivery that has not ended to `body`, in the order of events. `body` must not read the journal.
    public func forEachDelivery(_ body: (DeliveryRow) throws -> Void) throws(JournalError) {
        try scans.query("SELECT did, sid, kind, due, attempt, state FROM deliveries ORDER BY did") { row in
            guard let kind = EventKind(rawValue: UInt8(truncatingIfNeeded: row.integer(2))) else { return true }
            try body(
                DeliveryRow(
                    id: DeliveryID(rawValue: row.integer(0)), subject: row.integer(1), kind: kind,
                    due: Timestamp(milliseconds: row.integer(3)), attempt: Int(row.integer(4)),
                    state: Int(row.integer(5))))
            return true
        }
    }

    /// The last event whose deliveries have all been made; 0 at first.
    public func fannedOutThrough() throws(JournalError) -> Int64 {
        var sequence: Int64 = 0
        try lookups.query("SELECT value FROM meta WHERE name = ?1", [.text(Meta.fannedOutThrough)]) { row in
            sequence = row.integer(0)
            return false
        }
        return sequence
    }

    /// Dead letters in the order of their events.
    public func deadLetters(_ filter: DeadLetterFilter = DeadLetterFilter()) throws(JournalError) -> [DeadLetter] {
        var conditions = ["did > ?1"]
        var arguments = [ReadConnection.Argument.integer(filter.after?.rawValue ?? .min)]
        func demand(_ expression: String, _ value: Int64?) {
            guard let value else { return }
            arguments.append(.integer(value))
            conditions.append("\(expression) = ?\(arguments.count)")
        }
        demand("did >> 2 & 1023", filter.slot.map(Int64.init))
        demand("sid", filter.subject)
        demand("outcome", filter.outcome.map { Int64($0.rawValue) })
        arguments.append(.integer(Int64(filter.limit)))
        return try scans.rows(
            """
            SELECT did, sid, kind, at, attempt, outcome, detail, key FROM dead_letters
            WHERE \(conditions.joined(separator: " AND ")) ORDER BY did LIMIT ?\(arguments.count)
            """, arguments
        ) { row in
            guard let kind = EventKind(rawValue: UInt8(truncatingIfNeeded: row.integer(2))),
                let outcome = Outcome(rawValue: UInt32(truncatingIfNeeded: row.integer(5)))
            else { return nil }
            return DeadLetter(
                id: DeliveryID(rawValue: row.integer(0)), subject: row.integer(1), kind: kind,
                at: Timestamp(milliseconds: row.integer(3)), attempt: Int(row.integer(4)), outcome: outcome,
                detail: row.text(6), generation: Int(row.integer(7)))
        }
    }

    /// The counters that outlive restarts.
    public func counters() throws(JournalError) -> [CounterKey: Int64] {
        let rows = try scans.rows("SELECT slot, name, value FROM counters") { row in
            (CounterKey(slot: Int(row.integer(0)), name: row.text(1)), row.integer(2))
        }
        return Dictionary(rows, uniquingKeysWith: { first, _ in first })
    }
}
