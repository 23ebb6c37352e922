internal import Synchronization

/// A value that threads change and tests wait for, with a limit and without looking again and again.
public final class Watched<Value: Sendable>: Sendable {
    private struct Guarded {
        var value: Value
        /// Called with every change until it returns true; with `nil` once the wait is over.
        var waiting: [Int: @Sendable (Value?) -> Bool] = [:]
        var lastTicket = 0
    }

    private let guarded: Mutex<Guarded>

    public init(_ value: Value) {
        guarded = Mutex(Guarded(value: value))
    }

    /// What it is now.
    public var value: Value { guarded.withLock { $0.value } }

    /// Changes it, and wakes who waits for that.
    @discardableResult
    public func change<R: Sendable>(_ body: (inout Value) -> R) -> R {
        guarded.withLock { guarded in
            let result = body(&guarded.value)
            for (ticket, isDone) in guarded.waiting where isDone(guarded.value) { guarded.waiting[ticket] = nil }
            return result
        }
    }

    /// Waits until `look` finds something; `nil` after `limit`.
    public func first<T: Sendable>(within limit: Duration, _ look: @escaping @Sendable (Value) -> T?) async -> T? {
        await withTaskGroup(of: T?.self) { group in
            group.addTask { await self.next(look) }
            group.addTask {
                try? await Task.sleep(for: limit)
                return nil
            }
            let found = await group.next() ?? nil
            group.cancelAll()
            return found
        }
    }

    private func next<T: Sendable>(_ look: @escaping @Sendable (Value) -> T?) async -> T? {
        let ticket = guarded.withLock { guarded in
            guarded.lastTicket += 1
            return guarded.lastTicket
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<T?, Never>) in
                guarded.withLock { guarded in
                    if let found = look(guarded.value) {
                        continuation.resume(returning: found)
                    } else if Task.isCancelled {
                        continuation.resume(returning: nil)
                    } else {
                        guarded.waiting[ticket] = { value in
                            let found = value.flatMap(look)
                            guard found != nil || value == nil else { return false }
                            continuation.resume(returning: found)
                            return true
                        }
                    }
                }
            }
        } onCancel: {
            guarded.withLock { _ = $0.waiting.removeValue(forKey: ticket)?(nil) }
        }
    }
}
