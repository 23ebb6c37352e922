internal import GRDB

/// The tables, all of which grow at their right edge; no index but the ones named here, for each random index entry
/// costs more than a whole event. What the sealed values are found by grows at its right edge too: data keys are numbered
/// in the order of time.
enum Schema {
    /// `RSJ1`, in the file's header: tells our database from another one's (PRAGMA application_id).
    static let applicationID = 0x5253_4A31

    /// The tables of what is sealed with keys that are destroyed some day.
    static let sealedTables = [
        SealedTable(name: "events", column: "body"), SealedTable(name: "secrets", column: "sealed"),
        SealedTable(name: "dead_letters", column: "detail"),
    ]

    /// A table whose rows hold a sealed value each.
    struct SealedTable {
        let name: String
        let column: String

        /// What names the data key, as the index has it and as a query must write it to be answered from the index.
        var keyExpression: String { "substr(\(column), 1, \(Journal.sealHeaderSize))" }
    }

    /// Brings the file to this version's tables; a file that is not ours, or newer, is left as it is.
    static func prepare(_ queue: DatabaseQueue, path: String) throws {
        try queue.writeWithoutTransaction { db in
            let isEmpty = try Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_schema") == 0
            guard try isEmpty || Int.fetchOne(db, sql: "PRAGMA application_id") == applicationID else {
                throw JournalError.foreign(path: path)
            }
            guard try isEmpty || !migrator.hasBeenSuperseded(db) else { throw JournalError.newer(path: path) }
        }
        try migrator.migrate(queue)
    }

    private static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1") { db in
            try db.execute(
                sql: """
                    PRAGMA application_id = \(applicationID);

                    CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
                    CREATE TABLE providers(slot INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
                    CREATE TABLE data_keys(
                        id INTEGER PRIMARY KEY, purpose INTEGER NOT NULL, ring_key INTEGER NOT NULL,
                        created INTEGER NOT NULL, wrapped BLOB NOT NULL);

                    CREATE TABLE events(
                        seq INTEGER PRIMARY KEY, id TEXT NOT NULL, mac BLOB NOT NULL, kind INTEGER NOT NULL,
                        received INTEGER NOT NULL, source TEXT NOT NULL, flags INTEGER NOT NULL, body BLOB NOT NULL);
                    CREATE TABLE secrets(seq INTEGER PRIMARY KEY, sealed BLOB NOT NULL);
                    -- did = seq << 12 | slot << 2 | class
                    CREATE TABLE deliveries(
                        did INTEGER PRIMARY KEY, sid INTEGER NOT NULL, kind INTEGER NOT NULL, due INTEGER NOT NULL,
                        attempt INTEGER NOT NULL, state INTEGER NOT NULL);
                    CREATE TABLE dead_letters(
                        did INTEGER PRIMARY KEY, sid INTEGER NOT NULL, kind INTEGER NOT NULL, at INTEGER NOT NULL,
                        attempt INTEGER NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
                        key INTEGER NOT NULL);

                    CREATE TABLE subjects(sid INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, state BLOB NOT NULL);
                    CREATE TABLE bindings(
                        slot INTEGER NOT NULL, sid INTEGER NOT NULL, account BLOB NOT NULL, external BLOB NOT NULL,
                        state BLOB NOT NULL, at INTEGER NOT NULL,
                        PRIMARY KEY(slot, sid), UNIQUE(slot, account)) WITHOUT ROWID;
                    CREATE INDEX bindings_by_external ON bindings(slot, external);
                    CREATE TABLE counters(
                        slot INTEGER NOT NULL, name TEXT NOT NULL, value INTEGER NOT NULL,
                        PRIMARY KEY(slot, name)) WITHOUT ROWID;
                    """)
        }
        migrator.registerMigration("2") { db in
            // What the first version wrote lies in clear; only its words go.
            try db.execute(
                sql: """
                    ALTER TABLE dead_letters DROP COLUMN detail;
                    ALTER TABLE dead_letters ADD COLUMN detail BLOB NOT NULL DEFAULT x'';
                    """)
        }
        migrator.registerMigration("3") { db in
            for table in sealedTables {
                try db.execute(
                    sql: "CREATE INDEX \(table.name)_by_key ON \(table.name)(\(table.keyExpression))")
            }
        }
        return migrator
    }
}
