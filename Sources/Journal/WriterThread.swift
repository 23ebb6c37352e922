internal import Synchronization
internal import Threads

/// The writer's own thread, for it spends its life waiting for the disk.
final class WriterThread: Sendable {
    private struct State {
        var thread: SystemThread?
        var writer: Writer?
        var isJoined = false
    }

    private let state = Mutex(State())

    var writer: Writer? { state.withLock(\.writer) }

    func start(_ writer: Writer) {
        state.withLock { state in
            precondition(state.writer == nil, "the journal has one writer")
            state.writer = writer
            do {
                state.thread = try SystemThread("journal") { writer.run() }
            } catch {
                preconditionFailure("no thread for the journal's writer: \(error)")
            }
        }
    }

    /// Waits for its end.
    ///
    /// - Returns: `false` if this is not the first wait, or the writer has died.
    func join() -> Bool {
        let (isFirst, thread, writer) = state.withLock { state in
            defer {
                state.isJoined = true
                state.thread = nil
            }
            return (!state.isJoined, state.thread, state.writer)
        }
        thread?.join()
        return isFirst && writer?.hasDied != true
    }
}
