internal import EventModel
internal import GRDB

/// The statements of the writer's transactions.
struct Statements {
    let begin, commit, rollback, syncFull, syncNormal: SQLiteStatement
    private let insertEvent, insertSecret, eraseSecret, eraseSecrets, endEvents: SQLiteStatement
    private let writeDelivery, updateDelivery, deleteDelivery: SQLiteStatement
    private let writeSubject, putBinding, removeBinding: SQLiteStatement
    private let putDeadLetter, removeDeadLetter, count, putDataKey, removeDataKey, noteMeta: SQLiteStatement
    private let pageCount, freePages: SQLiteStatement
    private let pageSize: Int

    init(_ db: Database) throws {
        begin = try SQLiteStatement(db, "BEGIN IMMEDIATE")
        commit = try SQLiteStatement(db, "COMMIT")
        rollback = try SQLiteStatement(db, "ROLLBACK")
        syncFull = try SQLiteStatement(db, "PRAGMA synchronous = FULL")
        syncNormal = try SQLiteStatement(db, "PRAGMA synchronous = NORMAL")
        insertEvent = try SQLiteStatement(db, "INSERT INTO events VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")
        insertSecret = try SQLiteStatement(db, "INSERT INTO secrets VALUES(?1, ?2)")
        eraseSecret = try SQLiteStatement(db, "DELETE FROM secrets WHERE seq = ?1")
        eraseSecrets = try SQLiteStatement(db, "DELETE FROM secrets WHERE seq BETWEEN ?1 AND ?2")
        endEvents = try SQLiteStatement(db, "DELETE FROM events WHERE seq BETWEEN ?1 AND ?2")
        writeDelivery = try SQLiteStatement(db, "INSERT OR REPLACE INTO deliveries VALUES(?1, ?2, ?3, ?4, ?5, ?6)")
        updateDelivery = try SQLiteStatement(
            db, "UPDATE deliveries SET due = ?2, attempt = ?3, state = ?4 WHERE did = ?1")
        deleteDelivery = try SQLiteStatement(db, "DELETE FROM deliveries WHERE did = ?1")
        writeSubject = try SQLiteStatement(
            db, "INSERT INTO subjects VALUES(?1, ?2, ?3) ON CONFLICT(sid) DO UPDATE SET state = excluded.state")
        // Whom an account belongs to is checked here, where no other change can come between.
        putBinding = try SQLiteStatement(
            db,
            """
            INSERT INTO bindings SELECT ?1, ?2, ?3, ?4, ?5, ?6
            WHERE NOT EXISTS (SELECT 1 FROM bindings WHERE slot = ?1 AND account = ?3 AND sid <> ?2)
            ON CONFLICT(slot, sid) DO UPDATE SET
                account = excluded.account, external = excluded.external, state = excluded.state, at = excluded.at
            RETURNING 1
            """)
        removeBinding = try SQLiteStatement(db, "DELETE FROM bindings WHERE slot = ?1 AND sid = ?2")
        putDeadLetter = try SQLiteStatement(
            db,
            """
            INSERT OR REPLACE INTO dead_letters(did, sid, kind, at, attempt, reason, detail, key)
            VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
            """)
        removeDeadLetter = try SQLiteStatement(db, "DELETE FROM dead_letters WHERE did = ?1")
        count = try SQLiteStatement(
            db, "INSERT INTO counters VALUES(?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = value + excluded.value")
        putDataKey = try SQLiteStatement(db, "INSERT OR REPLACE INTO data_keys VALUES(?1, ?2, ?3, ?4, ?5)")
        removeDataKey = try SQLiteStatement(db, "DELETE FROM data_keys WHERE id = ?1")
        noteMeta = try SQLiteStatement(db, "INSERT OR REPLACE INTO meta VALUES(?1, ?2)")
        pageCount = try SQLiteStatement(db, "PRAGMA page_count")
        freePages = try SQLiteStatement(db, "PRAGMA freelist_count")
        pageSize = try Int.fetchOne(db, sql: "PRAGMA page_size") ?? 4_096
    }

    func insert(_ event: EventRecord, _ sequence: Int64) throws {
        insertEvent.bind(sequence, at: 1)
        insertEvent.bind(event.id, at: 2)
        insertEvent.bind(event.mac, at: 3)
        insertEvent.bind(event.kind.number, at: 4)
        insertEvent.bind(event.received.milliseconds, at: 5)
        insertEvent.bind(event.source, at: 6)
        insertEvent.bind(Int64(event.flags.rawValue), at: 7)
        try insertEvent.withBlob(event.body, at: 8) { try insertEvent.run() }
        guard let secret = event.secret else { return }
        insertSecret.bind(sequence, at: 1)
        try insertSecret.withBlob(secret, at: 2) { try insertSecret.run() }
    }

    /// - Parameters:
    ///   - newest: the newest event, which stays.
    ///   - ended: how many events have ended since the journal began; grows by those that end now.
    /// - Returns: the bindings that were left out.
    func apply(_ changes: ChangeFold, newest: Int64, ended: inout Int64, _ db: Database) throws -> [Binding] {
        for id in changes.deliveryOrder {
            if let change = changes.deliveries[id] { try apply(change, id) }
        }
        for sequence in changes.erasedSecrets {
            eraseSecret.bind(sequence, at: 1)
            try eraseSecret.run()
        }
        for subject in changes.subjects.values.sorted(by: { $0.number < $1.number }) {
            writeSubject.bind(subject.number, at: 1)
            writeSubject.bind(subject.key, at: 2)
            try writeSubject.withBlob(subject.state, at: 3) { try writeSubject.run() }
        }
        for change in changes.deadLetters { try apply(change) }
        for change in changes.dataKeys { try apply(change) }
        for (key, amount) in changes.counters {
            count.bind(Int64(key.slot), at: 1)
            count.bind(key.name, at: 2)
            count.bind(amount, at: 3)
            try count.run()
        }
        try note(changes.fannedOutThrough, Meta.fannedOutThrough)
        try note(changes.foldedThrough, Meta.foldedThrough)
        try note(changes.clock?.trusted.milliseconds, Meta.clockTrusted)
        try note(changes.clock?.seen.milliseconds, Meta.clockSeen)
        try note(changes.clock?.patienceLeft, Meta.clockPatience)
        for range in changes.endedEvents where range.lowerBound < newest {
            for statement in [eraseSecrets, endEvents] {
                statement.bind(range.lowerBound, at: 1)
                statement.bind(min(range.upperBound, newest - 1), at: 2)
                try statement.run()
            }
            ended += Int64(db.changesCount)
        }
        if !changes.endedEvents.isEmpty { try note(ended, Meta.ended) }
        return try changes.bindings.compactMap(apply)
    }

    private func note(_ value: Int64?, _ name: String) throws {
        guard let value else { return }
        noteMeta.bind(name, at: 1)
        noteMeta.bind(value, at: 2)
        try noteMeta.run()
    }

    /// Bytes in use.
    func size() throws -> Int {
        var pages: Int64 = 0
        try pageCount.query { row in
            pages = row.integer(0)
            return true
        }
        try freePages.query { row in
            pages -= row.integer(0)
            return true
        }
        return Int(pages) * pageSize
    }

    private func apply(_ change: ChangeFold.RowChange, _ id: DeliveryKey) throws {
        switch change {
        case .write(let row, _):
            writeDelivery.bind(id.rawValue, at: 1)
            writeDelivery.bind(row.subject, at: 2)
            writeDelivery.bind(row.kindNumber, at: 3)
            writeDelivery.bind(row.due.milliseconds, at: 4)
            writeDelivery.bind(Int64(row.attempt), at: 5)
            writeDelivery.bind(Int64(row.state), at: 6)
            try writeDelivery.run()
        case .update(let due, let attempt, let state):
            updateDelivery.bind(id.rawValue, at: 1)
            updateDelivery.bind(due, at: 2)
            updateDelivery.bind(Int64(attempt), at: 3)
            updateDelivery.bind(Int64(state), at: 4)
            try updateDelivery.run()
        case .delete:
            deleteDelivery.bind(id.rawValue, at: 1)
            try deleteDelivery.run()
        }
    }

    /// - Returns: the binding if it was left out.
    private func apply(_ change: BindingChange) throws -> Binding? {
        switch change {
        case .put(let binding):
            putBinding.bind(Int64(binding.slot), at: 1)
            putBinding.bind(binding.subject, at: 2)
            putBinding.bind(binding.account, at: 3)
            putBinding.bind(binding.external, at: 4)
            putBinding.bind(binding.at.milliseconds, at: 6)
            var isBound = false
            try putBinding.withBlob(binding.state, at: 5) {
                try putBinding.query { _ in
                    isBound = true
                    return true
                }
            }
            return isBound ? nil : binding
        case .remove(let slot, let subject):
            removeBinding.bind(Int64(slot), at: 1)
            removeBinding.bind(subject, at: 2)
            try removeBinding.run()
            return nil
        }
    }

    private func apply(_ change: DeadLetterChange) throws {
        switch change {
        case .put(let letter):
            putDeadLetter.bind(letter.id.rawValue, at: 1)
            putDeadLetter.bind(letter.subject, at: 2)
            putDeadLetter.bind(letter.kindNumber, at: 3)
            putDeadLetter.bind(letter.at.milliseconds, at: 4)
            putDeadLetter.bind(Int64(letter.attempt), at: 5)
            putDeadLetter.bind(letter.reason, at: 6)
            putDeadLetter.bind(Int64(letter.generation), at: 8)
            try putDeadLetter.withBlob(letter.detail, at: 7) { try putDeadLetter.run() }
        case .remove(let id):
            removeDeadLetter.bind(id.rawValue, at: 1)
            try removeDeadLetter.run()
        }
    }

    private func apply(_ change: DataKeyChange) throws {
        switch change {
        case .put(let key):
            putDataKey.bind(Int64(key.id), at: 1)
            putDataKey.bind(Int64(key.purpose), at: 2)
            putDataKey.bind(Int64(key.ringKey), at: 3)
            putDataKey.bind(key.created.milliseconds, at: 4)
            try putDataKey.withBlob(key.wrapped, at: 5) { try putDataKey.run() }
        case .remove(let id):
            removeDataKey.bind(Int64(id), at: 1)
            try removeDataKey.run()
        }
    }
}

/// The names of table `meta`.
enum Meta {
    static let fannedOutThrough = "fanned out through"
    static let foldedThrough = "folded through"
    /// The last moment of the wall clock that was trusted.
    static let clockTrusted = "clock trusted"
    /// The last moment that it showed.
    static let clockSeen = "clock seen"
    /// How much longer it had to agree to be trusted again.
    static let clockPatience = "clock patience left"
    /// Stands there while a provider is paused.
    static func paused(_ slot: Int) -> String { "paused \(slot)" }
    /// How many events have ended since the journal began.
    static let ended = "events ended"
}
