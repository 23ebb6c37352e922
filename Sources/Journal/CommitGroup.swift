/// Waits for commits on behalf of many requests, one group per event loop: the writer calls it once per commit, and it
/// wakes its loop once.
public protocol CommitGroup: AnyObject, Sendable {
    /// The events are on disk, fsynced. Called on the writer's thread; must return soon.
    func committed(_ results: [CommitResult])
    /// The events are not on disk, or nobody can tell; nothing of them may be acknowledged. On the writer's thread.
    func failed(_ tokens: [UInt64], _ failure: CommitFailure)
}

/// The answer to one submission.
public struct CommitResult: Hashable, Sendable {
    /// What the submitter gave along.
    public let token: UInt64
    /// The event's number; `nil` for a barrier.
    public let sequence: Int64?
}

/// Why a submission was not committed.
public enum CommitFailure: Hashable, Sendable {
    /// The disk is full, or another process holds the database: rolled back, and later ones are tried again.
    case full
    /// Writing failed, or the journal was closed: what reached the disk is unknown until the next start.
    case dead
}

/// Why a submission was not taken in. Nothing of it was kept.
public enum SubmitRefusal: Error, Hashable, Sendable {
    /// Too much waits in memory for the disk.
    case tooManyWaiting
    /// The database has reached its largest size.
    case full
    /// The journal was closed, or has died.
    case closed
}

/// Names a submitted event until it is committed, for those who wait for the same one.
public struct Ticket: Hashable, Sendable {
    let number: UInt64
}

/// The answers of one commit, gathered by group.
struct Answers {
    private var groups: [(group: any CommitGroup, results: [CommitResult])] = []

    mutating func add(_ group: any CommitGroup, token: UInt64, sequence: Int64?) {
        let result = CommitResult(token: token, sequence: sequence)
        // There are as many groups as event loops: a handful.
        if let index = groups.firstIndex(where: { $0.group === group }) {
            groups[index].results.append(result)
        } else {
            groups.append((group, [result]))
        }
    }

    func deliver(_ failure: CommitFailure?) {
        for (group, results) in groups {
            if let failure {
                group.failed(results.map(\.token), failure)
            } else {
                group.committed(results)
            }
        }
    }
}
