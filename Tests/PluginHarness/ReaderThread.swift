internal import Glibc

/// The one thread from which a plugin is called, as the contract promises it.
final class ReaderThread: @unchecked Sendable {  // everything mutable is guarded by `mutex`
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var jobs: [() -> Void] = []
    private var ended = false

    init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                Unmanaged<ReaderThread>.fromOpaque(argument).takeRetainedValue().work()
                return nil
            }, Unmanaged.passRetained(self).toOpaque())
        precondition(code == 0, "pthread_create: \(code)")
        pthread_detach(thread)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Runs `body` on the thread and waits for it.
    func run<R>(_ body: @escaping () -> R) -> R {
        locked {
            var result: R?
            jobs.append {
                let value = body()
                self.locked {
                    result = value
                    pthread_cond_broadcast(self.condition)
                }
            }
            pthread_cond_broadcast(condition)
            while true {
                if let result { return result }
                pthread_cond_wait(condition, mutex)
            }
        }
    }

    /// Lets the thread end after what it has begun.
    func end() {
        locked {
            ended = true
            pthread_cond_broadcast(condition)
        }
    }

    private func work() {
        while let job = next() { job() }
    }

    private func next() -> (() -> Void)? {
        locked {
            while jobs.isEmpty, !ended { pthread_cond_wait(condition, mutex) }
            return jobs.isEmpty ? nil : jobs.removeFirst()
        }
    }

    private func locked<R>(_ body: () -> R) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }
}
