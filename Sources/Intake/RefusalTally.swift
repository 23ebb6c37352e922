/// Counts what is turned away, so that the log tells each reason at once and then at the end of a period how often it came
/// again: a crowd of forged requests must show in the log, and must not fill it.
struct RefusalTally {
    /// What is counted together. Nothing in it was sent: the peer is the kernel's word, the source one of the settings.
    struct Reason: Hashable {
        /// IP address, or `uid 998` on a Unix socket.
        var peer: String
        /// Whose signature it bore; `nil` if nobody's.
        var source: String?
        /// RFC 9110 status; 0 for a connection that was ended without an answer.
        var status: Int
        /// Last part of the problem's type.
        var problem: String
    }

    /// A line of the log.
    struct Line: Hashable {
        var reason: Reason
        /// The words of the last one.
        var detail: String
        /// How many, since the reason's last line.
        var count: Int
    }

    /// So many reasons are told apart in a period; for more, the peers are not.
    static let mostReasons = 64
    static let otherPeers = "others"

    private var counted: [Reason: (detail: String, count: Int)] = [:]

    /// Whether nothing came since the last period began.
    var isEmpty: Bool { counted.isEmpty }

    /// Counts one.
    ///
    /// - Returns: the line, if it is the reason's first in this period.
    mutating func note(_ reason: Reason, detail: String) -> Line? {
        var reason = reason
        if counted[reason] == nil, counted.count >= Self.mostReasons { reason.peer = Self.otherPeers }
        guard let known = counted[reason] else {
            counted[reason] = (detail, 0)
            return Line(reason: reason, detail: detail, count: 1)
        }
        counted[reason] = (detail, known.count + 1)
        return nil
    }

    /// Ends the period.
    ///
    /// - Returns: what was counted and not told. These reasons stay known in the next period.
    mutating func endPeriod() -> [Line] {
        counted = counted.filter { $0.value.count > 0 }
        let lines = counted.map { Line(reason: $0, detail: $1.detail, count: $1.count) }
        counted = counted.mapValues { ($0.detail, 0) }
        return lines.sorted { $0.count > $1.count }
    }
}
