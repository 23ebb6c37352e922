internal import EventModel
internal import Journal
internal import Synchronization

// What operators ask of the queue. The search runs on the caller's thread, for it may have to pass a million others; what
// it finds goes to the dispatcher's thread a page at a time.
extension Dispatcher {
    /// Waiting deliveries, then dead letters, the oldest first, at most `limit` of each.
    public func queue(_ filter: QueueFilter = QueueFilter(), limit: Int) async throws -> [DeliveryReport] {
        var reports: [DeliveryReport] = []
        try await search(filter, limit: limit) { page in
            reports += try await ask { try $0.describe(page, now: $1) }
        }
        return reports
    }

    /// How many deliveries wait, and how many dead letters there are.
    public func count(_ filter: QueueFilter = QueueFilter()) async throws -> QueueCount {
        guard let journal = started.withLock(\.self) else { return QueueCount() }
        let slot = try await ask { core, _ in try core.slot(of: filter.provider) }
        var count = QueueCount()
        if filter.wantsWaiting { count.waiting = try journal.countDeliveries(slot: slot, kind: filter.kind) }
        if filter.wantsDead { count.dead = try journal.countDeadLetters(DeadLetterFilter(filter, slot: slot)) }
        return count
    }

    /// Tries waiting deliveries now and dead letters again, a hundred a second for each provider.
    public func retry(_ filter: QueueFilter) async throws -> BulkReport {
        var report = BulkReport()
        var pace = RetryPace()
        try await search(filter, limit: .max) { page in
            let before = (report, pace)
            (report, pace) = try await ask { core, now in
                var (report, pace) = before
                try core.retry(page, report: &report, pace: &pace, now: now)
                return (report, pace)
            }
        }
        return report
    }

    /// Gives waiting deliveries and dead letters up.
    public func drop(_ filter: QueueFilter) async throws -> BulkReport {
        var report = BulkReport()
        try await search(filter, limit: .max) { page in
            let before = report
            report = try await ask { core, now in
                var report = before
                try core.drop(page, report: &report, now: now)
                return report
            }
        }
        return report
    }

    private func search(
        _ filter: QueueFilter, limit: Int, _ body: (QueuePage) async throws -> Void
    ) async throws {
        guard let journal = started.withLock(\.self) else { return }
        let slot = try await ask { core, _ in try core.slot(of: filter.provider) }
        var left = filter.wantsWaiting ? limit : 0
        var last: DeliveryKey?
        while left > 0 {
            let rows = try journal.deliveries(
                slot: slot, kind: filter.kind, after: last, limit: min(left, QueuePage.largest))
            if !rows.isEmpty { try await body(QueuePage(waiting: rows)) }
            guard rows.count == QueuePage.largest else { break }
            left -= rows.count
            last = rows.last?.id
        }
        left = filter.wantsDead ? limit : 0
        var letters = DeadLetterFilter(filter, slot: slot)
        while left > 0 {
            letters.limit = min(left, QueuePage.largest)
            let found = try journal.deadLetters(letters)
            if !found.isEmpty { try await body(QueuePage(dead: found)) }
            guard found.count == QueuePage.largest else { break }
            left -= found.count
            letters.after = found.last?.id
        }
    }
}

/// A part of what the journal says of the queue at a moment.
struct QueuePage: Sendable {
    /// At most so many are looked at together.
    static let largest = 500

    var waiting: [DeliveryRow] = []
    var dead: [DeadLetter] = []
}

extension DeadLetterFilter {
    fileprivate init(_ filter: QueueFilter, slot: Int?) {
        self.init()
        self.slot = slot
        kind = filter.kind
        reason = filter.reason
    }
}
