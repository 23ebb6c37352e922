internal import Journal
internal import Synchronization

/// Knows how much of what the dispatcher told the journal is on disk. Until then, memory is right and the disk is behind.
final class CommitLedger: Sendable {
    private struct State {
        var committed: UInt64 = 0
        var refused: [Binding] = []
    }

    private let state = Mutex(State())

    /// The changes up to this number, and all before, are committed.
    var committed: UInt64 { state.withLock(\.committed) }

    /// On the writer's thread.
    func note(_ number: UInt64, _ outcome: CommittedChanges) {
        state.withLock { state in
            state.committed = max(state.committed, number)
            state.refused += outcome.refusedBindings
        }
    }

    /// Bindings that the journal left out since the last call.
    func takeRefused() -> [Binding] {
        state.withLock { state in
            defer { state.refused = [] }
            return state.refused
        }
    }
}
