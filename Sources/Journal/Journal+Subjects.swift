internal import EventModel

extension Journal {
    /// The subject with a keyed hash.
    public func subject(key: Hash128) throws(JournalError) -> SubjectRow? {
        try lookups.rows("SELECT sid, key, state FROM subjects WHERE key = ?1", [.hash(key)], Self.subject).first
    }

    /// The subject with a number.
    public func subject(_ number: Int64) throws(JournalError) -> SubjectRow? {
        try lookups.rows("SELECT sid, key, state FROM subjects WHERE sid = ?1", [.integer(number)], Self.subject).first
    }

    /// Lends every subject's number and key to `body`. `body` must not read the journal.
    public func forEachSubject(_ body: (_ number: Int64, _ key: Hash128) throws -> Void) throws(JournalError) {
        try scans.query("SELECT sid, key FROM subjects ORDER BY sid") { row in
            try body(row.integer(0), row.hash(1))
            return true
        }
    }

    /// The largest number of a subject; 0 if there is none.
    public func largestSubject() throws(JournalError) -> Int64 {
        try lookups.rows("SELECT max(sid) FROM subjects") { $0.integer(0) }.first ?? 0
    }

    /// The account that a subject is bound to.
    public func binding(slot: Int, subject: Int64) throws(JournalError) -> Binding? {
        try bindings("WHERE slot = ?1 AND sid = ?2", [.integer(Int64(slot)), .integer(subject)]).first
    }

    /// Whose account it is.
    public func binding(slot: Int, account: Hash128) throws(JournalError) -> Binding? {
        try bindings("WHERE slot = ?1 AND account = ?2", [.integer(Int64(slot)), .hash(account)]).first
    }

    /// Which bindings were made under an external id.
    public func bindings(slot: Int, external: Hash128) throws(JournalError) -> [Binding] {
        try bindings(Self.byExternalID, [.integer(Int64(slot)), .hash(external)])
    }

    /// Left to itself, SQLite takes the primary key, and reads every binding of the provider.
    package static let byExternalID = "INDEXED BY bindings_by_external WHERE slot = ?1 AND external = ?2"

    /// The bindings of a provider after a subject, at most `limit`.
    public func bindings(slot: Int, after subject: Int64 = 0, limit: Int) throws(JournalError) -> [Binding] {
        try bindings(
            "WHERE slot = ?1 AND sid > ?2 ORDER BY sid LIMIT ?3",
            [.integer(Int64(slot)), .integer(subject), .integer(Int64(limit))])
    }

    private func bindings(
        _ condition: String, _ arguments: [ReadConnection.Argument]
    ) throws(JournalError) -> [Binding] {
        try lookups.rows(
            "SELECT slot, sid, account, external, state, at FROM bindings \(condition)", arguments
        ) { row in
            Binding(
                slot: Int(row.integer(0)), subject: row.integer(1), account: row.hash(2), external: row.hash(3),
                state: row.bytes(4), at: Timestamp(milliseconds: row.integer(5)))
        }
    }

    private static func subject(_ row: SQLiteStatement) -> SubjectRow? {
        SubjectRow(number: row.integer(0), key: row.hash(1), state: row.bytes(2))
    }
}
