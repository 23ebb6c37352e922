internal import Journal
internal import NIOCore

/// Brings the journal's answers to the connections of one event loop: however many of them a commit answers, the loop is
/// woken once.
final class CommitRelay: CommitGroup {
    /// Who waits for a commit.
    protocol Waiter: AnyObject {
        /// On the event loop: the submission with this token is on disk, or is not.
        func concluded(_ token: UInt64, isOnDisk: Bool)
    }

    private let loop: any EventLoop
    private let state: NIOLoopBoundBox<State>

    private struct State {
        var waiters: [UInt64: any Waiter] = [:]
        var next: UInt64 = 0
    }

    /// Must be called on `loop`.
    init(loop: any EventLoop) {
        self.loop = loop
        state = NIOLoopBoundBox(State(), eventLoop: loop)
    }

    /// A token for a submission that `waiter` is about to make. On the loop.
    func token(for waiter: any Waiter) -> UInt64 {
        state.value.next += 1
        state.value.waiters[state.value.next] = waiter
        return state.value.next
    }

    /// The submission was not made after all. On the loop.
    func forget(_ token: UInt64) {
        state.value.waiters[token] = nil
    }

    func committed(_ results: [CommitResult]) {
        loop.execute { [self] in
            for result in results { conclude(result.token, isOnDisk: true) }
        }
    }

    func failed(_ tokens: [UInt64], _ failure: CommitFailure) {
        loop.execute { [self] in
            for token in tokens { conclude(token, isOnDisk: false) }
        }
    }

    private func conclude(_ token: UInt64, isOnDisk: Bool) {
        state.value.waiters.removeValue(forKey: token)?.concluded(token, isOnDisk: isOnDisk)
    }
}
