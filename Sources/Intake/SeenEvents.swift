internal import EventModel
internal import Glibc
internal import Journal
internal import Synchronization

/// The ids that were accepted lately, so that what is sent twice is taken in once. In memory, rebuilt from the journal
/// at the start; an index on disk over ids that outsiders choose would cost four times the rest of the commit.
///
/// Their age goes by a clock that nobody can set: a wall clock that jumps, once forth or back or both, would forget ids
/// whose events are sent again. Some 130 bytes an id. Any thread.
final class SeenEvents: Sendable {
    private enum Stage {
        /// In the journal's hands, not on disk yet.
        case pending(Ticket)
        case committed
    }

    private struct Entry {
        var body: Hash128
        var received: Timestamp
        /// From when on its window counts; by the steady clock.
        var since: Int64
        var stage: Stage
    }

    private struct State {
        var entries: [Hash128: Entry] = [:]
        /// By age, to forget the oldest.
        var ages: [(since: Int64, id: Hash128)] = []
        var forgotten = 0
    }

    private let state = Mutex(State())
    private let window: Int64
    private let steadyClock: @Sendable () -> Int64

    /// - Parameters:
    ///   - window: how long an id is remembered; milliseconds.
    ///   - steadyClock: milliseconds since any moment; never goes back, and goes on while the machine sleeps.
    init(window: Int64, steadyClock: @escaping @Sendable () -> Int64 = SeenEvents.sinceBoot) {
        self.window = window
        self.steadyClock = steadyClock
    }

    /// What is known of an event that arrives.
    enum Admission: Hashable {
        /// It was handed to the journal.
        case submitted
        /// The same event is on its way to the disk.
        case pending(Ticket)
        /// The same event is on disk.
        case duplicate
        /// Another event had this id.
        case conflict
    }

    /// Looks an event up and, if it is new, hands it over: in one step, so that no other copy can slip in between.
    ///
    /// - Parameter submit: hands it to the journal; when it throws, nothing is remembered.
    func admit<Failure: Error>(
        id: Hash128, body: Hash128, received: Timestamp, submit: () throws(Failure) -> Ticket
    ) throws(Failure) -> Admission {
        try state.withLock { state throws(Failure) in
            if let entry = state.entries[id] {
                guard entry.body == body else { return .conflict }
                switch entry.stage {
                case .pending(let ticket): return .pending(ticket)
                case .committed: return .duplicate
                }
            }
            let ticket = try submit()
            let now = steadyClock()
            state.entries[id] = Entry(body: body, received: received, since: now, stage: .pending(ticket))
            state.ages.append((now, id))
            Self.forget(before: now - window, &state)
            return .submitted
        }
    }

    /// What is known of an event of this id: the hash of its body, and when it came.
    func earlier(_ id: Hash128) -> (body: Hash128, received: Timestamp)? {
        state.withLock { $0.entries[id].map { ($0.body, $0.received) } }
    }

    /// It is on disk.
    func committed(_ id: Hash128) {
        state.withLock { $0.entries[id]?.stage = .committed }
    }

    /// It is not on disk, and may be sent again.
    func failed(_ id: Hash128) {
        state.withLock { state in
            if case .pending = state.entries[id]?.stage { state.entries[id] = nil }
        }
    }

    /// Takes in what the journal holds, the oldest first.
    ///
    /// - Parameter age: milliseconds since it was received; less than 0 counts as 0.
    func restore(id: Hash128, body: Hash128, received: Timestamp, age: Int64) {
        state.withLock { state in
            let since = steadyClock() - max(0, age)
            state.entries[id] = Entry(body: body, received: received, since: since, stage: .committed)
            state.ages.append((since, id))
        }
    }

    private static func forget(before moment: Int64, _ state: inout State) {
        while state.forgotten < state.ages.count, state.ages[state.forgotten].since < moment {
            let (since, id) = state.ages[state.forgotten]
            // One that failed and was sent again is younger.
            if state.entries[id]?.since == since { state.entries[id] = nil }
            state.forgotten += 1
        }
        if state.forgotten > 4_096, state.forgotten * 2 > state.ages.count {
            state.ages.removeFirst(state.forgotten)
            state.forgotten = 0
        }
    }

    static let sinceBoot: @Sendable () -> Int64 = {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000
    }
}
