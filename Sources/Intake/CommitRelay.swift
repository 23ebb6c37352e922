internal import Journal
internal import NIOCore

/// Brings the journal's answers to the requests of one event loop: however many of them a commit answers, the loop is
/// woken once.
final class CommitRelay: CommitGroup {
    private let loop: any EventLoop
    private let state: NIOLoopBoundBox<State>

    private struct State {
        /// Who waits, by number. A request whose connection has gone waits on: its events count as seen only then.
        var answers: [UInt64: Answer] = [:]
        var next: UInt64 = 0
    }

    /// A token is the number of the request and, in so many bits below it, the line of the batch.
    private static let lineBits: UInt64 = 24

    /// Must be called on `loop`.
    init(loop: any EventLoop) {
        self.loop = loop
        state = NIOLoopBoundBox(State(), eventLoop: loop)
    }

    /// A number for a request that is about to submit events. On the loop.
    func reserve() -> UInt64 {
        state.value.next += 1
        return state.value.next
    }

    /// What the submission of the request's event at `index` goes under.
    func token(_ request: UInt64, index: Int) -> UInt64 {
        request << Self.lineBits | UInt64(index)
    }

    /// From now on the answer hears of its submissions. On the loop, and in the same turn as the submissions: what the
    /// journal has to say comes in a later one.
    func enlist(_ answer: Answer, as request: UInt64) {
        state.value.answers[request] = answer
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
        let request = token >> Self.lineBits
        guard let answer = state.value.answers[request] else { return }
        answer.conclude(Int(token & (1 << Self.lineBits - 1)), isOnDisk: isOnDisk)
        guard answer.isComplete else { return }
        state.value.answers[request] = nil
        answer.whenComplete?()
    }
}
