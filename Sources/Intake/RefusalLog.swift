internal import Logging
internal import NIOCore
internal import Synchronization

/// Tells the log what the intake turns away: at once, and then every ten seconds how often. Any thread.
final class RefusalLog: Sendable {
    private static let period = TimeAmount.seconds(10)

    private let tally = Mutex(RefusalTally())
    private let loop: any EventLoop
    private let logger: Logger

    init(loop: any EventLoop, logger: Logger) {
        self.loop = loop
        self.logger = logger
    }

    /// A request, or a line of a batch, was refused.
    func refused(_ refusal: Refusal, peer: String, source: String?) {
        // The journal's state has lines of its own.
        guard !refusal.isOfTheJournal else { return }
        note(
            .init(peer: peer, source: source, status: refusal.status, problem: refusal.problem),
            detail: refusal.detail)
    }

    /// An idle connection had to go for a new one.
    func evicted(peer: String) {
        note(
            .init(peer: peer, status: 0, problem: "too-many-connections"),
            detail: "an idle connection is ended for a new one (intake.max_connections)")
    }

    /// No connection can be accepted for the moment.
    func blocked(_ error: any Error) {
        note(
            .init(peer: "the system", status: 0, problem: "not-accepting"),
            detail: "no connection can be accepted: \(error)")
    }

    private func note(_ reason: RefusalTally.Reason, detail: String) {
        let (line, isFirst) = tally.withLock { tally in
            let isFirst = tally.isEmpty
            return (tally.note(reason, detail: detail), isFirst)
        }
        if let line { write(line) }
        if isFirst { waitForPeriod() }
    }

    private func waitForPeriod() {
        loop.scheduleTask(in: Self.period) { [weak self] in
            guard let self else { return }
            let (lines, isOver) = tally.withLock { ($0.endPeriod(), $0.isEmpty) }
            lines.forEach(write)
            // An idle daemon has no timer.
            if !isOver { waitForPeriod() }
        }
    }

    private func write(_ line: RefusalTally.Line) {
        var metadata: Logger.Metadata = [
            "peer": "\(line.reason.peer)", "problem": "\(line.reason.problem)", "reason": "\(line.detail)",
            "count": "\(line.count)",
        ]
        if line.reason.status != 0 { metadata["status"] = "\(line.reason.status)" }
        if let source = line.reason.source { metadata["source"] = "\(source)" }
        let isSuspicious = [0, 401, 403].contains(line.reason.status)
        logger.log(level: isSuspicious ? .warning : .notice, "refused", metadata: metadata)
    }
}
