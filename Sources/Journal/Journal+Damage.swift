internal import Glibc
internal import Synchronization

/// A part of the journal's file that is not as it was written.
public struct Damage: Hashable, Sendable {
    /// `events`, `secrets`, `deliveries` …
    public let table: String
    /// SQLite's words; no value of the table is in them.
    public let finding: String
}

extension Journal {
    /// Reads the whole file and compares its parts (PRAGMA quick_check): seconds for a large one, minutes for a slow disk.
    /// It has a connection of its own, so nobody waits for it; the write-ahead log is not emptied while a table is read.
    /// ``close()`` ends it, and waits for that.
    ///
    /// - Returns: what is wrong, table by table, in SQLite's words, which hold no values; empty if nothing is.
    /// - Throws: ``JournalError/closed`` if the journal was closed meanwhile.
    public func findDamage() throws(JournalError) -> [Damage] {
        let connection: ReadConnection
        do {
            connection = try ReadConnection(path: path)
        } catch {
            throw JournalError(error, path: path)
        }
        return try inspection.watch(connection) { () throws(JournalError) -> [Damage] in
            var damage: [Damage] = []
            let tables = try connection.rows("SELECT name FROM sqlite_schema WHERE type = 'table'") { $0.text(0) }
            for table in tables {
                do throws(JournalError) {
                    let findings = try connection.rows("PRAGMA quick_check(\"\(table)\")") { $0.text(0) }
                    damage += findings.filter { $0 != "ok" }.map { Damage(table: table, finding: $0) }
                } catch .corrupt(_, let reason) {
                    damage.append(Damage(table: table, finding: reason))  // so bad that the check cannot go on here
                }
            }
            if damage.isEmpty { isSound.store(true, ordering: .relaxed) }
            return damage
        }
    }
}

/// The checks for damage that are under way, so that they can be broken off.
final class Inspection: Sendable {
    private struct State {
        var connections: [ObjectIdentifier: ReadConnection] = [:]
        var isClosed = false
    }

    private let state = Mutex(State())

    /// Runs a check on a connection of its own, which is closed afterwards.
    ///
    /// - Throws: ``JournalError/closed`` if ``close()`` came before it or broke it off.
    func watch<Result>(
        _ connection: ReadConnection, _ check: () throws(JournalError) -> Result
    ) throws(JournalError) -> Result {
        let hasBegun = begin(connection)
        defer { end(connection) }
        guard hasBegun else { throw .closed }
        do {
            return try check()
        } catch .database(_, 9, _) {  // SQLITE_INTERRUPT
            throw .closed
        }
    }

    /// - Returns: whether it may begin: the journal is open.
    func begin(_ connection: ReadConnection) -> Bool {
        state.withLock { state in
            guard !state.isClosed else { return false }
            state.connections[ObjectIdentifier(connection)] = connection
            return true
        }
    }

    /// Closes the connection, which must not be interrupted any more then.
    func end(_ connection: ReadConnection) {
        state.withLock { state in
            try? connection.close()
            state.connections[ObjectIdentifier(connection)] = nil
        }
    }

    /// Breaks the checks off and waits until they have ended; another one does not begin.
    func close() {
        // An interruption is for the statement that runs: one that begins a moment later needs its own.
        while interruptAll() > 0 { usleep(1_000) }
    }

    /// - Returns: how many have not ended.
    private func interruptAll() -> Int {
        state.withLock { state in
            state.isClosed = true
            for connection in state.connections.values { connection.interrupt() }
            return state.connections.count
        }
    }
}
