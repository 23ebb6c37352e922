package import RuntimeSyncPlugin

/// Whether there is a connection, and what is to be done about it.
///
/// ```
/// closed ─ open ─▶ ready ─ ambiguous end ─▶ draining ─ nothing in flight ─▶ closed
///   ▲  └─ failed: wait a little ─┘ │
///   └────────── lost ──────────────┘
/// ```
///
/// A server that cannot be reached is not asked again for a little while: requests that come meanwhile get the failure
/// of the last attempt at once. The pause is chosen at random between nothing and a limit ("full jitter"):
///
/// | failures in a row | 1 | 2 | 3 | 4 | 5 | 6 and more |
/// |---|---|---|---|---|---|---|
/// | limit in ms | 200 | 400 | 800 | 1600 | 3200 | 5000 |
///
/// It is short because it only keeps a burst of requests from becoming a burst of connections and failed binds; when a
/// delivery is tried again is the host's decision.
package struct ConnectionState: Sendable {
    private enum Phase {
        case closed
        case ready
        /// An operation ended without an answer. What is in flight may end, nothing new is sent here, and then the
        /// connection goes: whatever the server still does with that operation, it does not do it on the next one.
        case draining
    }

    /// What to do now.
    package enum Move: Equatable, Sendable {
        /// Wait for something to happen.
        case wait
        /// Make a connection; then tell ``opened()`` or ``failed(_:now:random:)``.
        case open
        /// Give all waiting requests this answer.
        case answer(Completion)
        /// Send at most so many of the waiting requests.
        case send(Int)
        /// Close the connection and ask again.
        case close
    }

    private let limit: Int
    private var phase: Phase = .closed
    private var failures = 0
    private var notBefore: UInt64 = 0
    private var lastFailure = Completion(.retry)

    /// - Parameter limit: how many requests may be in flight.
    package init(limit: Int) {
        self.limit = limit
    }

    package func next(waiting: Int, inFlight: Int, now: UInt64) -> Move {
        switch phase {
        case .closed:
            if waiting == 0 { return .wait }
            if now >= notBefore { return .open }
            var answer = lastFailure
            if answer.outcome == .retry { answer.retryAfter = UInt32(clamping: notBefore - now) }
            return .answer(answer)
        case .ready:
            let room = min(waiting, limit - inFlight)
            return room > 0 ? .send(room) : .wait
        case .draining:
            return inFlight == 0 ? .close : .wait
        }
    }

    package mutating func opened() {
        phase = .ready
        failures = 0
        notBefore = 0
    }

    /// An attempt to connect failed.
    ///
    /// - Parameters:
    ///   - answer: what the waiting requests get.
    ///   - random: between 0 and 1.
    /// - Returns: `answer`, for those that wait now.
    package mutating func failed(_ answer: Completion, now: UInt64, random: Double) -> Completion {
        phase = .closed
        failures += 1
        lastFailure = answer
        notBefore = now + UInt64(random * Double(Self.longestPause(afterFailures: failures)))
        return answer
    }

    /// The connection is gone, or was closed because it had been drained.
    package mutating func closed() {
        phase = .closed
    }

    /// An operation ended without an answer.
    package mutating func retire() {
        if phase == .ready { phase = .draining }
    }

    /// Somebody else just connected successfully: no reason to wait any longer.
    package mutating func isReachable() {
        notBefore = 0
    }

    /// Milliseconds.
    package static func longestPause(afterFailures failures: Int) -> UInt64 {
        failures <= 0 ? 0 : min(5000, 200 << UInt64(min(failures - 1, 10)))
    }
}
