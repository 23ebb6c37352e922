internal import EventModel
internal import Journal
internal import Synchronization

// What operators ask of the queue. The search runs on the caller's thread, for it may have to pass a million others; what
// it finds goes to the dispatcher's thread a page at a time.
extension Dispatcher {
    /// Deliveries that wait, or dead letters, the oldest first: a part of them.
    ///
    /// - Parameters:
    ///   - filter: its own state does not count.
    ///   - after: where the part before ended, its ``QueueList/next``; `nil` for the first one.
    ///   - limit: at most so many.
    public func list(
        _ state: QueueFilter.State, _ filter: QueueFilter = QueueFilter(), after: Int64? = nil, limit: Int
    ) async throws -> QueueList {
        var filter = filter
        filter.state = state
        var list = QueueList()
        list.next = try await search(filter, after: after.map { DeliveryKey(rawValue: $0) }, limit: limit) { page in
            list.deliveries += try await ask { try $0.describe(page, now: $1) }
        }?.rawValue
        return list
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
        _ = try await search(filter) { page in
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
        _ = try await search(filter) { page in
            let before = report
            report = try await ask { core, now in
                var report = before
                try core.drop(page, report: &report, now: now)
                return report
            }
        }
        return report
    }

    /// - Parameter after: only what is behind it, of a filter for one state.
    /// - Returns: the last one that was seen, if the limit ended the search: there may be more.
    private func search(
        _ filter: QueueFilter, after: DeliveryKey? = nil, limit: Int = .max, _ body: (QueuePage) async throws -> Void
    ) async throws -> DeliveryKey? {
        guard let journal = started.withLock(\.self) else { return nil }
        let slot = try await ask { core, _ in try core.slot(of: filter.provider) }
        if filter.wantsWaiting {
            let last = try await Self.page(after: after, limit: limit) { last, count in
                let rows = try journal.deliveries(slot: slot, kind: filter.kind, after: last, limit: count)
                if !rows.isEmpty { try await body(QueuePage(waiting: rows)) }
                return rows.map(\.id)
            }
            if let last { return last }
        }
        guard filter.wantsDead else { return nil }
        var wanted = DeadLetterFilter(filter, slot: slot)
        return try await Self.page(after: after, limit: limit) { last, count in
            (wanted.after, wanted.limit) = (last, count)
            let letters = try journal.deadLetters(wanted)
            if !letters.isEmpty { try await body(QueuePage(dead: letters)) }
            return letters.map(\.id)
        }
    }

    /// - Parameter read: gets what comes behind a delivery, at most so many.
    /// - Returns: the last one, if the limit was reached.
    private static func page(
        after: DeliveryKey?, limit: Int, _ read: (DeliveryKey?, Int) async throws -> [DeliveryKey]
    ) async throws -> DeliveryKey? {
        var (left, last) = (limit, after)
        while left > 0 {
            let count = min(left, QueuePage.largest)
            let keys = try await read(last, count)
            guard keys.count == count else { return nil }
            left -= count
            last = keys.last
        }
        return last
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
