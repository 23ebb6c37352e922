internal import Synchronization

/// A part of the journal's file that is not as it was written.
public struct Damage: Hashable, Sendable {
    /// `events`, `secrets`, `deliveries` …
    public let table: String
    /// SQLite's words; no value of the table is in them.
    public let finding: String
}

/// The check for damage that is under way, so that it can be broken off.
final class Inspection: Sendable {
    private struct State {
        var connection: ReadConnection?
        var isClosed = false
    }

    private let state = Mutex(State())

    /// - Returns: whether it may begin: the journal is open.
    func begin(_ connection: ReadConnection) -> Bool {
        state.withLock { state in
            guard !state.isClosed else { return false }
            state.connection = connection
            return true
        }
    }

    func end() {
        state.withLock { $0.connection = nil }
    }

    /// Breaks the check off; another one does not begin.
    func close() {
        state.withLock { state in
            state.isClosed = true
            state.connection?.interrupt()
        }
    }
}
