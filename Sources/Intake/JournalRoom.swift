public import EventModel
internal import Logging
internal import NIOCore
internal import Synchronization

/// Whether the journal has room for events, as the intake finds it. Any thread.
public final class JournalRoom: Sendable {
    /// While there is none, as far as is known.
    public struct Want: Hashable, Sendable {
        /// When an event was first refused, and when last. Long after the last one there may be room again.
        public var since: Timestamp
        public var last: Timestamp
        /// For people: `the journal is full`.
        public var reason: String
        /// How many events were refused since.
        public var refused: Int
    }

    private struct State {
        var want: Want?
        var lastRefusal = NIODeadline.distantPast
    }

    /// An event is taken in now and then on a disk that is all but full: only so long after the last refusal is there
    /// room again.
    private static let calm = TimeAmount.seconds(5)

    private let state = Mutex(State())
    /// What every event looks at.
    private let isWanting = Atomic(false)
    private let clock: @Sendable () -> Timestamp
    private let logger: Logger

    init(clock: @escaping @Sendable () -> Timestamp, logger: Logger) {
        self.clock = clock
        self.logger = logger
    }

    /// What is wanting; `nil` while events are taken in, and before the first one comes. An event that is taken in within
    /// seconds of a refusal does not end it.
    public var want: Want? { state.withLock { $0.want } }

    /// An event was refused.
    func refused(_ reason: String) {
        let isNew = state.withLock { state in
            state.lastRefusal = .now()
            let now = clock()
            state.want?.refused += 1
            state.want?.last = now
            guard state.want == nil else { return false }
            state.want = Want(since: now, last: now, reason: reason, refused: 1)
            isWanting.store(true, ordering: .relaxed)
            return true
        }
        if isNew { logger.error("no events are taken in", metadata: ["reason": "\(reason)"]) }
    }

    /// An event is on disk.
    func committed(now: NIODeadline = .now()) {
        guard isWanting.load(ordering: .relaxed) else { return }
        let past = state.withLock { state in
            guard now - state.lastRefusal > Self.calm else { return nil as Want? }
            isWanting.store(false, ordering: .relaxed)
            return state.want.take()
        }
        guard let past else { return }
        logger.notice(
            "events are taken in again",
            metadata: ["since": "\(past.since)", "reason": "\(past.reason)", "refused": "\(past.refused)"])
    }
}
