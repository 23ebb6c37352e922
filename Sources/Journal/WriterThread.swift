internal import Glibc
internal import Synchronization

/// The writer's own thread, for it spends its life waiting for the disk.
final class WriterThread: Sendable {
    private struct State {
        var thread: pthread_t?
        var writer: Writer?
        var isJoined = false
    }

    private let state = Mutex(State())

    var writer: Writer? { state.withLock(\.writer) }

    func start(_ writer: Writer) {
        state.withLock { state in
            precondition(state.writer == nil, "the journal has one writer")
            state.writer = writer
            var thread = pthread_t()
            let code = pthread_create(
                &thread, nil,
                { context in
                    if let context { Unmanaged<Writer>.fromOpaque(context).takeRetainedValue().run() }
                    return nil
                }, Unmanaged.passRetained(writer).toOpaque())
            precondition(code == 0, "no thread for the journal's writer")
            state.thread = thread
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
        if let thread { pthread_join(thread, nil) }
        return isFirst && writer?.hasDied != true
    }
}
