internal import GRDB
internal import Synchronization
internal import Threads

/// The one thread that writes: takes what waits, commits it, answers, and begins again, for the daemon's whole life.
final class Writer: Sendable {
    /// At most so many events share a transaction.
    static let largestTransaction = 4_096

    private let inbox: Inbox
    private let connection: WriteConnection
    private let path: String
    private let limits: JournalLimits
    private let observer: any CommitObserver
    private let onFatal: @Sendable (JournalError) -> Void
    private let statistics = Mutex(JournalStatistics())
    private let death = Mutex(false)

    init(
        inbox: Inbox, connection: WriteConnection, path: String, limits: JournalLimits, observer: any CommitObserver,
        onFatal: @escaping @Sendable (JournalError) -> Void
    ) {
        self.inbox = inbox
        self.connection = connection
        self.path = path
        self.limits = limits
        self.observer = observer
        self.onFatal = onFatal
    }

    /// Whether writing has failed for good.
    var hasDied: Bool { death.withLock(\.self) }

    var counts: JournalStatistics {
        var counts = statistics.withLock(\.self)
        counts.wakeUps = inbox.wakeUpCount
        return counts
    }

    /// Writes until the inbox is closed and empty, or until writing fails for good.
    func run() {
        var policy = CommitPolicy()
        var failedTickets = TicketRanges()
        while true {
            switch inbox.next(policy) {
            case .commit(let batch, let durability):
                guard commit(batch, durability, &policy, &failedTickets) else { return }
            case .checkpoint(let emptying):
                guard checkpoint(emptying: emptying, &policy) else { return }
            case .stop:
                for barrier in inbox.abandon().barriers {
                    barrier.group.failed([barrier.token], .dead)
                }
                return
            }
        }
    }

    /// - Returns: `false` if the journal has died.
    private func commit(
        _ batch: Inbox.Batch, _ durability: CommitPolicy.Durability, _ policy: inout CommitPolicy,
        _ failedTickets: inout TicketRanges
    ) -> Bool {
        var changes = batch.changes
        var rest = batch.events[...]
        var failure: CommitFailure?
        // The changes go with the first events: no event is committed before what was submitted before it.
        while failure == nil, !rest.isEmpty || !changes.isEmpty {
            let events = rest.prefix(Self.largestTransaction)
            do {
                let commit = try connection.write(events, ChangeFold(changes), durability)
                policy.committed(
                    durability, hasErased: commit.hasErased, logPages: commit.logPages, at: monotonicNow())
                note(commit, events.count, durability)
                answer(events, commit)
                for onCommit in changes.compactMap(\.onCommit) {
                    onCommit(CommittedChanges(refusedBindings: commit.refusedBindings))
                }
                changes = []
                rest = rest.dropFirst(events.count)
            } catch {
                failure = Self.isPassing(error) ? .full : .dead
                guard failure == .full else {
                    die(error, rest, batch)
                    return false
                }
            }
        }
        if failure == .full {
            policy.foundFull(at: monotonicNow())
            statistics.withLock { $0.full += 1 }
            inbox.putBack(changes)
            let firstFailed = batch.firstTicket + UInt64(batch.events.count - rest.count)
            failedTickets.insert(firstFailed..<firstFailed + UInt64(rest.count))
            Self.fail(rest, .full)
        }
        answer(batch.barriers, failedTickets)
        return true
    }

    private func answer(_ events: ArraySlice<Inbox.PendingEvent>, _ commit: WriteConnection.Commit) {
        guard !events.isEmpty else { return }
        var answers = Answers()
        var committed: [CommittedEvent] = []
        committed.reserveCapacity(events.count)
        for (offset, event) in events.enumerated() {
            let sequence = commit.firstSequence + Int64(offset)
            if let group = event.group { answers.add(group, token: event.token, sequence: sequence) }
            committed.append(CommittedEvent(sequence: sequence, record: event.record))
        }
        answers.deliver(nil)
        observer.committed(committed)
    }

    private func answer(_ barriers: [Inbox.PendingBarrier], _ failedTickets: TicketRanges) {
        var good = Answers()
        var bad = Answers()
        for barrier in barriers {
            if failedTickets.contains(barrier.ticket.number) {
                bad.add(barrier.group, token: barrier.token, sequence: nil)
            } else {
                good.add(barrier.group, token: barrier.token, sequence: nil)
            }
        }
        good.deliver(nil)
        bad.deliver(.full)
    }

    /// - Returns: `false` if the journal has died.
    private func checkpoint(emptying: Bool, _ policy: inout CommitPolicy) -> Bool {
        do {
            let isEmpty = try connection.checkpoint(emptying: emptying)
            policy.checkpointed(emptying: emptying, isEmpty: isEmpty, at: monotonicNow())
            statistics.withLock { $0.checkpoints += 1 }
            return true
        } catch  where Self.isPassing(error) {
            policy.checkpointed(emptying: emptying, isEmpty: false, at: monotonicNow())
            return true
        } catch {
            die(error, [], Inbox.Batch())
            return false
        }
    }

    private func note(_ commit: WriteConnection.Commit, _ events: Int, _ durability: CommitPolicy.Durability) {
        statistics.withLock { statistics in
            statistics.events += events
            statistics.size = commit.size
            switch durability {
            case .power: statistics.syncedCommits += 1
            case .process: statistics.unsyncedCommits += 1
            }
        }
        inbox.setFull(commit.size >= limits.databaseBytes || commit.events >= limits.events)
    }

    private static func isPassing(_ error: any Error) -> Bool {
        (error as? DatabaseError)?.isPassing ?? false
    }

    private func die(_ error: any Error, _ rest: ArraySlice<Inbox.PendingEvent>, _ batch: Inbox.Batch) {
        death.withLock { $0 = true }
        let left = inbox.abandon()
        Self.fail(rest + left.events, .dead)
        for barrier in batch.barriers + left.barriers {
            barrier.group.failed([barrier.token], .dead)
        }
        onFatal(JournalError(error, path: path))
    }

    private static func fail(_ events: ArraySlice<Inbox.PendingEvent>, _ failure: CommitFailure) {
        var answers = Answers()
        for event in events {
            if let group = event.group { answers.add(group, token: event.token, sequence: nil) }
        }
        answers.deliver(failure)
    }
}

/// The tickets of events that were not committed. They come in order, and in runs, so a few ranges hold them all.
private struct TicketRanges {
    private var ranges: [Range<UInt64>] = []

    mutating func insert(_ range: Range<UInt64>) {
        guard !range.isEmpty else { return }
        if let last = ranges.last, last.upperBound == range.lowerBound {
            ranges[ranges.count - 1] = last.lowerBound..<range.upperBound
        } else {
            ranges.append(range)
        }
    }

    func contains(_ ticket: UInt64) -> Bool {
        ranges.contains { $0.contains(ticket) }
    }
}
