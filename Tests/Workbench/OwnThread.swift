internal import Threads

/// Runs `body` on a thread of its own, for work that blocks.
package func onOwnThread(_ body: @escaping @Sendable () -> Void) {
    do {
        try SystemThread.detached("test", body)
    } catch {
        preconditionFailure("\(error)")
    }
}
