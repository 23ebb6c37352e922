internal import EventModel
internal import GRDB

// What is read, and seldom written, at the start.
extension Journal {
    /// The number that stands for a provider in the journal: the same for ever, given at the first call and on disk
    /// when this returns. For the start and for reloads: it waits for the writer's commit and for its own.
    public func slot(for provider: String) throws(JournalError) -> Int {
        try writeRarely { db in
            let known = try Int.fetchOne(db, sql: "SELECT slot FROM providers WHERE name = ?", arguments: [provider])
            if let known { return known }
            let next = try Int.fetchOne(db, sql: "SELECT ifnull(max(slot) + 1, 0) FROM providers") ?? 0
            guard (0...DeliveryKey.maximumSlot).contains(next) else { throw JournalError.tooManyProviders }
            try db.execute(sql: "INSERT INTO providers VALUES(?, ?)", arguments: [next, provider])
            return next
        }
    }

    /// The names of all providers that ever were, by slot.
    public func providers() throws(JournalError) -> [Int: String] {
        let rows = try lookups.rows("SELECT slot, name FROM providers") { (Int($0.integer(0)), $0.text(1)) }
        return Dictionary(rows, uniquingKeysWith: { first, _ in first })
    }

    /// Pauses a provider, or lets it go on: for ever, and on disk when this returns. It waits for the writer's commit and
    /// for its own. If that fails for good, the journal has died, as after a failure of the writer.
    public func setPaused(_ isPaused: Bool, slot: Int) throws(JournalError) {
        try writeRarely { db in
            try db.execute(
                sql: isPaused ? "INSERT OR REPLACE INTO meta VALUES(?, 1)" : "DELETE FROM meta WHERE name = ?",
                arguments: [Meta.paused(slot)])
        }
    }

    private func writeRarely<Result>(_ body: (Database) throws -> Result) throws(JournalError) -> Result {
        do {
            return try connection.write(body)
        } catch {
            // If it has failed for good, the writer finds out by its next commit, so it gets one.
            try? submit(JournalChanges())
            throw JournalError(error, path: path)
        }
    }

    /// The providers that are paused.
    public func pausedSlots() throws(JournalError) -> Set<Int> {
        let names = Set(try scans.rows("SELECT name FROM meta") { $0.text(0) })
        return Set((0...DeliveryKey.maximumSlot).filter { names.contains(Meta.paused($0)) })
    }

    /// The wrapped data keys.
    public func dataKeys() throws(JournalError) -> [DataKeyRow] {
        try scans.rows("SELECT id, purpose, ring_key, created, wrapped FROM data_keys ORDER BY id") { row in
            DataKeyRow(
                id: UInt32(truncatingIfNeeded: row.integer(0)), purpose: UInt8(truncatingIfNeeded: row.integer(1)),
                ringKey: UInt32(truncatingIfNeeded: row.integer(2)),
                created: Timestamp(milliseconds: row.integer(3)), wrapped: row.bytes(4))
        }
    }
}
