internal import Glibc
internal import Synchronization

/// A part of the journal's file that is not as it was written.
public struct Damage: Hashable, Sendable {
    /// `events`, `secrets`, `deliveries` …
    public let table: String
    /// SQLite's words; no value of the table is in them.
    public let finding: String
}

/// The checks for damage that are under way, so that they can be broken off.
final class Inspection: Sendable {
    private struct State {
        var connections: [ObjectIdentifier: ReadConnection] = [:]
        var isClosed = false
    }

    private let state = Mutex(State())

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
