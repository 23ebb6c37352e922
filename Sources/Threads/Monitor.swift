public import Glibc

/// A value that threads share, and that one of them waits for: a mutex and a condition variable around it.
///
/// Who changes the value decides whether that is worth waking the one who waits:
///
/// ```swift
/// if monitor.withLock({ $0.append(work) }) { monitor.wake() }
/// ```
public final class Monitor<Value>: @unchecked Sendable {  // the value is touched under the lock only
    @usableFromInline let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    @usableFromInline let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    @usableFromInline var value: Value

    public init(_ value: sending Value) {
        self.value = value
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Lends the value; `body` is short.
    @inlinable
    public func withLock<Result, Failure: Error>(
        _ body: (inout Value) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(&value)
    }

    /// Wakes a thread that waits, if there is one. With or without the lock.
    @inlinable
    public func wake() {
        pthread_cond_signal(condition)
    }

    /// Waits until `look` finds something. It may be called more often than there was a reason for.
    ///
    /// - Parameter look: is lent the value, and told whether the moment has come until which it wanted to wait.
    public func wait<Result>(_ look: (inout Value, _ isLate: Bool) -> Look<Result>) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        var isLate = false
        while true {
            switch look(&value, isLate) {
            case .found(let result): return result
            case .wait(until: nil):
                pthread_cond_wait(condition, mutex)
                isLate = false
            case .wait(let moment?):
                var time = timespec(tv_sec: Int(moment / 1_000_000_000), tv_nsec: Int(moment % 1_000_000_000))
                isLate = pthread_cond_timedwait(condition, mutex, &time) == ETIMEDOUT
            }
        }
    }
}

/// What a look at a ``Monitor``'s value led to.
public enum Look<Result> {
    case found(Result)
    /// Look again once woken, or at this moment of ``monotonicNow()``; `nil`: once woken only.
    case wait(until: Int64?)
}

extension Look: Sendable where Result: Sendable {}

/// Nanoseconds since some moment before the process; they never go back.
public func monotonicNow() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}
