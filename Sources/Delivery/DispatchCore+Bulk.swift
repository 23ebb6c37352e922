internal import EventModel
internal import Journal

// Commands for many deliveries.
extension DispatchCore {
    /// Tries what a page holds again, each at its pace.
    func retry(_ page: QueuePage, report: inout BulkReport, pace: inout RetryPace, now: Timestamp) throws {
        var asked: Set<Int> = []
        for row in page.waiting {
            try note(&report) {
                // A row without a place in a lane ended a moment ago.
                let index = try configured(row.id)
                guard let look = providers[index].lanes.look(row.id, subject: row.subject) else {
                    throw CommandError.noSuchDelivery(row.id.rawValue)
                }
                guard !look.isInFlight else { throw CommandError.inFlight(row.id.rawValue) }
                let due = pace.next(slot: row.id.slot, now: now)
                _ = providers[index].lanes.hurry(row.id, subject: row.subject, to: due, now: now)
                asked.insert(index)
            }
        }
        for letter in page.dead where removedLetters[letter.id] == nil {
            try note(&report) {
                let index = try configured(letter.id)
                var next = pace
                try retry(letter, provider: index, due: next.next(slot: letter.id.slot, now: now), now: now)
                pace = next
                asked.insert(index)
            }
        }
        askNow(asked, report: &report, now: now)
    }

    /// Gives up what a page holds.
    func drop(_ page: QueuePage, report: inout BulkReport, now: Timestamp) throws {
        for row in page.waiting { try note(&report) { try drop(row, now: now) } }
        for letter in page.dead where removedLetters[letter.id] == nil { try note(&report) { drop(letter) } }
    }

    private func note(_ report: inout BulkReport, _ command: () throws -> Void) throws {
        do {
            try command()
            report.done += 1
        } catch let error as CommandError {
            guard let reason = error.reason else { return }
            report.refused[reason, default: 0] += 1
        }
    }
}

extension CommandError {
    /// In a word or two; `nil` if there was nothing to do.
    fileprivate var reason: String? {
        switch self {
        case .noSuchDelivery: nil
        case .inFlight: "in flight"
        case .needsNewPassword: "needs a new password"
        case .outdated: "outdated"
        case .unreadable: "not readable"
        case .notConfigured(_, let provider): "provider \(provider) is not in the settings any more; it can be dropped"
        default: "\(self)"
        }
    }
}
