/// Decides when the writer commits, how hard it pushes to the disk, and when it tidies the write-ahead log. Moments and
/// spans are nanoseconds of the monotonic clock.
///
/// | what waits | what happens |
/// |---|---|
/// | events, barriers | committed at once, with fsync; what comes meanwhile makes the next commit |
/// | changes alone | committed 10 ms after the first, or at 512 rows, without fsync; with it once a second |
/// | nothing, for a second after such a commit or an erased secret | the log is written back, fsynced and emptied |
/// | the log has 4096 pages (16 MiB) | it is written back, after the senders were answered |
/// | an erased secret, for 30 s without a pause | the log is emptied even so |
/// | changes, after the disk was full | tried again after a second, or with the next event; given up when closing |
struct CommitPolicy {
    static let linger = 10 * millisecond
    static let fullBatch = 512
    static let unsyncedLimit = 1_000 * millisecond
    static let erasureLimit = 30_000 * millisecond
    static let retryPause = 1_000 * millisecond
    static let logLimit = 4_096
    private static let millisecond: Int64 = 1_000_000

    /// What the inbox holds.
    struct Waiting {
        var events = 0
        var barriers = 0
        /// Rows of changes.
        var changes = 0
        /// When the first of the changes came.
        var changesSince: Int64 = 0
        var isClosing = false
    }

    /// What `PRAGMA synchronous` is for a commit.
    enum Durability: Int, Hashable {
        /// No fsync: survives the death of the process.
        case process = 1
        /// fsync: survives a power cut.
        case power = 2
    }

    enum Step: Hashable {
        case commit(Durability)
        /// Writes the log back into the database; `emptying` also cuts the file to nothing.
        case checkpoint(emptying: Bool)
        /// Sleeps until the moment (`nil`: for ever), an event, or so many rows of changes.
        case wait(until: Int64?, orChanges: Int)
        case stop
    }

    private var unsyncedSince: Int64?
    private var erasedSince: Int64?
    private var retryAt: Int64?
    private var logPages = 0

    func next(_ waiting: Waiting, at now: Int64) -> Step {
        if let erasedSince, now - erasedSince >= Self.erasureLimit { return .checkpoint(emptying: true) }
        if logPages >= Self.logLimit { return .checkpoint(emptying: false) }
        if waiting.events + waiting.barriers > 0 { return .commit(.power) }
        if waiting.changes > 0, !waiting.isClosing || retryAt == nil {
            let isFull = waiting.isClosing || waiting.changes >= Self.fullBatch
            let due = retryAt ?? (isFull ? now : waiting.changesSince + Self.linger)
            guard due <= now else { return .wait(until: due, orChanges: retryAt == nil ? Self.fullBatch : .max) }
            let isUnsyncedLong = unsyncedSince.map { now - $0 >= Self.unsyncedLimit } ?? false
            return .commit(isUnsyncedLong ? .power : .process)
        }
        if waiting.isClosing { return .stop }
        guard let since = [unsyncedSince, erasedSince].compactMap(\.self).min() else {
            return .wait(until: nil, orChanges: 1)
        }
        let due = since + Self.unsyncedLimit
        return due <= now ? .checkpoint(emptying: true) : .wait(until: due, orChanges: 1)
    }

    /// - Parameter logPages: 0 if there was nothing to write: then there was no fsync either.
    mutating func committed(_ durability: Durability, hasErased: Bool, logPages: Int, at now: Int64) {
        retryAt = nil
        guard logPages > 0 else { return }
        switch durability {
        case .power: unsyncedSince = nil
        case .process: unsyncedSince = unsyncedSince ?? now
        }
        if hasErased { erasedSince = erasedSince ?? now }
        self.logPages = logPages
    }

    /// The transaction was rolled back for want of room.
    mutating func foundFull(at now: Int64) {
        retryAt = now + Self.retryPause
    }

    /// - Parameter isEmpty: `false` if a reader was in the way of emptying the log.
    mutating func checkpointed(emptying: Bool, isEmpty: Bool, at now: Int64) {
        logPages = 0
        guard emptying else { return }
        unsyncedSince = isEmpty ? nil : unsyncedSince.map { _ in now }
        erasedSince = isEmpty ? nil : erasedSince.map { _ in now }
    }
}
