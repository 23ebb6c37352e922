internal import EventModel
internal import GRDB
internal import GRDBSQLite

/// The only connection that writes: one transaction after the other, with statements that are prepared once.
///
/// Everything happens inside the queue, where the writer's thread is nearly always alone.
final class WriteConnection: @unchecked Sendable {  // its state is touched inside the queue only
    /// What a transaction did.
    struct Commit {
        /// The first event's number.
        var firstSequence: Int64
        /// Whether something was deleted that must not be found in the log.
        var hasErased: Bool
        var refusedBindings: [Binding]
        /// Pages in the write-ahead log; 0 if there was nothing to write.
        var logPages: Int
        /// Bytes of the database that are in use.
        var size: Int
        /// Events in it.
        var events: Int
    }

    private let queue: DatabaseQueue
    private var statements: Statements?
    private var durability: CommitPolicy.Durability?
    private var lastSequence: Int64 = 0
    /// Events that are not there any more: numbers have no gaps, so the rest is.
    private var endedEvents: Int64 = 0
    /// What failed for good: nobody can tell what the disk holds, so nothing is written any more.
    private var failure: DatabaseError?
    private let logPages = UnsafeMutablePointer<Int32>.allocate(capacity: 1)

    /// Opens the file, which must exist, and brings its tables up to date.
    init(path: String) throws {
        var configuration = Configuration()
        configuration.label = "journal.writer"
        configuration.busyMode = .timeout(5)
        configuration.prepareDatabase { db in
            // The log is written back by the writer when nobody waits for it, not inside a commit.
            try db.execute(
                sql: """
                    PRAGMA journal_mode = WAL;
                    PRAGMA synchronous = FULL;
                    PRAGMA secure_delete = ON;
                    PRAGMA wal_autocheckpoint = 0;
                    PRAGMA cache_size = -16384;
                    """)
        }
        logPages.initialize(to: 0)
        queue = try DatabaseQueue(path: path, configuration: configuration)
        try Schema.prepare(queue, path: path)
        try queue.writeWithoutTransaction { db in
            statements = try Statements(db)
            lastSequence = try Int64.fetchOne(db, sql: "SELECT max(seq) FROM events") ?? 0
            let ended = try Int64.fetchOne(
                db, sql: "SELECT value FROM meta WHERE name = ?", arguments: [Meta.ended])
            // What went before that was counted were the oldest, in one run.
            endedEvents = try ended ?? (Int64.fetchOne(db, sql: "SELECT min(seq) FROM events") ?? 1) - 1
            sqlite3_wal_hook(
                db.sqliteConnection,
                { context, _, _, pages in
                    context?.assumingMemoryBound(to: Int32.self).pointee = pages
                    return SQLITE_OK
                }, logPages)
        }
    }

    deinit {
        logPages.deallocate()
    }

    /// Writes events and changes in one transaction.
    ///
    /// - Throws: `DatabaseError`; then nothing of it is in the database, unless the failure is one after which nobody
    ///   can tell.
    func write(
        _ events: ArraySlice<Inbox.PendingEvent>, _ changes: ChangeFold, _ durability: CommitPolicy.Durability
    ) throws -> Commit {
        try writing { db in
            guard let statements else { throw DatabaseError(resultCode: .SQLITE_MISUSE) }
            try demand(durability, db)
            logPages.pointee = 0
            try statements.begin.run()
            do {
                for (offset, event) in events.enumerated() {
                    try statements.insert(event.record, lastSequence + 1 + Int64(offset))
                }
                let newest = lastSequence + Int64(events.count)
                var ended = endedEvents
                let refused = try statements.apply(changes, newest: newest, ended: &ended, db)
                try statements.commit.run()
                let first = lastSequence + 1
                lastSequence = newest
                endedEvents = ended
                return Commit(
                    firstSequence: first, hasErased: changes.isErasing, refusedBindings: refused,
                    logPages: Int(logPages.pointee), size: try statements.size(),
                    events: Int(newest - endedEvents))
            } catch {
                // SQLite may have rolled back by itself already.
                if db.isInsideTransaction { try? statements.rollback.run() }
                throw error
            }
        }
    }

    /// Writes the log back into the database.
    ///
    /// - Returns: whether the log is empty; a reader may have been in the way.
    func checkpoint(emptying: Bool) throws -> Bool {
        try writing { db in
            let mode = emptying ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE
            // A reader is not waited for: senders are.
            sqlite3_busy_timeout(db.sqliteConnection, 0)
            defer { sqlite3_busy_timeout(db.sqliteConnection, 5_000) }
            let code = sqlite3_wal_checkpoint_v2(db.sqliteConnection, nil, mode, nil, nil)
            guard code == SQLITE_OK || code & 0xFF == SQLITE_BUSY else {
                throw DatabaseError(resultCode: ResultCode(rawValue: sqlite3_extended_errcode(db.sqliteConnection)))
            }
            return code == SQLITE_OK
        }
    }

    /// Writes something rare, with fsync, between two transactions of the writer.
    ///
    /// - Throws: what `body` throws, or `DatabaseError`.
    func write<Result>(_ body: (Database) throws -> Result) throws -> Result {
        try writing { db in
            try demand(.power, db)
            var result: Result?
            try db.inTransaction(.immediate) {
                result = try body(db)
                return .commit
            }
            guard let result else { throw DatabaseError(resultCode: .SQLITE_ABORT) }
            return result
        }
    }

    /// Whatever is written, by whomever. After a failure that does not pass, everything fails with it.
    private func writing<Result>(_ body: (Database) throws -> Result) throws -> Result {
        try queue.writeWithoutTransaction { db in
            if let failure { throw failure }
            do {
                return try body(db)
            } catch {
                if let error = error as? DatabaseError, !error.isPassing { failure = error }
                throw error
            }
        }
    }

    func close() throws {
        queue.writeWithoutTransaction { _ in statements = nil }
        try queue.close()
    }

    /// `PRAGMA synchronous` cannot change inside a transaction, and is left alone where it is right.
    private func demand(_ wanted: CommitPolicy.Durability, _ db: Database) throws {
        guard durability != wanted, let statements else { return }
        try wanted == .power ? statements.syncFull.run() : statements.syncNormal.run()
        durability = wanted
    }
}

extension DatabaseError {
    /// Whether a failure leaves the database as it was, so that a later attempt may succeed. After any other, and above
    /// all after a failed fsync, the kernel may have dropped what it could not write: trying again would answer for
    /// data that is gone.
    var isPassing: Bool {
        // SHMSIZE: the log's index could not grow, which on a full disk comes before the log itself finds it full.
        resultCode == .SQLITE_FULL || resultCode == .SQLITE_BUSY || extendedResultCode == .SQLITE_IOERR_SHMSIZE
    }
}
