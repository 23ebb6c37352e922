internal import EventModel
internal import Glibc
internal import Journal

/// What the dispatcher has not looked at yet: filled by any thread under a short lock, emptied with one exchange.
final class DispatchInbox: @unchecked Sendable {  // every field is touched under the lock
    /// Something that happened to a provider's worker.
    enum Happening {
        case ready(any ProviderPort, Int, Int)
        case lost(Int, Int, String)
        case answered([(id: UInt64, Completion)], Int, Int)
    }

    /// What one exchange takes out.
    struct Batch {
        var events: [CommittedEvent] = []
        var happenings: [Happening] = []
        var questions: [(DispatchCore, Timestamp) -> Void] = []
        /// Called when the thread has ended.
        var stopped: (() -> Void)?

        var isEmpty: Bool { events.isEmpty && happenings.isEmpty && questions.isEmpty && stopped == nil }
    }

    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let wakeUp = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var batch = Batch()
    private var isSleeping = false

    init() {
        pthread_mutex_init(lock, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(wakeUp, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(wakeUp)
        pthread_mutex_destroy(lock)
        wakeUp.deallocate()
        lock.deallocate()
    }

    /// Puts something in, and wakes the dispatcher if it sleeps.
    func add(_ fill: (inout Batch) -> Void) {
        pthread_mutex_lock(lock)
        fill(&batch)
        let mustWake = isSleeping
        isSleeping = false
        pthread_mutex_unlock(lock)
        if mustWake { pthread_cond_signal(wakeUp) }
    }

    /// Takes everything out; waits for something for at most `milliseconds`.
    func take(waiting milliseconds: Int64) -> Batch {
        var until = timespec()
        clock_gettime(CLOCK_MONOTONIC, &until)
        let nanoseconds = Int64(until.tv_nsec) + max(0, milliseconds) % 1_000 * 1_000_000
        until.tv_sec += Int(max(0, milliseconds) / 1_000 + nanoseconds / 1_000_000_000)
        until.tv_nsec = Int(nanoseconds % 1_000_000_000)
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        while batch.isEmpty {
            isSleeping = true
            guard pthread_cond_timedwait(wakeUp, lock, &until) == 0 else { break }
        }
        isSleeping = false
        var taken = Batch()
        swap(&taken, &batch)
        return taken
    }
}
