internal import GRDB
internal import Glibc
internal import Synchronization

/// How much the journal takes in.
public struct JournalLimits: Hashable, Sendable {
    /// Events that may wait in memory for the disk. Default: 16384.
    public var waitingEvents = 16_384
    /// Their bytes. Default: 64 MiB.
    public var waitingBytes = 64 << 20
    /// Bytes of the database in use beyond which new events are refused; changes still go in. Default: 16 GiB.
    public var databaseBytes = 16 << 30
    /// Events kept beyond which new ones are refused likewise. Default: 5,000,000.
    public var events = 5_000_000

    public init() {}
}

/// What the writer has done since the start.
public struct JournalStatistics: Hashable, Sendable {
    public var events = 0
    /// Transactions that ended with fsync.
    public var syncedCommits = 0
    /// Transactions of changes alone that ended without.
    public var unsyncedCommits = 0
    /// Times the write-ahead log was written back.
    public var checkpoints = 0
    /// Transactions that were rolled back for want of room.
    public var full = 0
    /// Times the writer was woken before its time.
    public var wakeUps = 0
    /// Bytes of the database in use after the last commit.
    public var size = 0
}

/// The durable store: events, deliveries, subjects, bindings, dead letters, counters and wrapped keys, in one SQLite
/// database in a folder of its own. One process has it open; one thread writes.
///
/// Reads (in the other files of this folder) run on the caller's thread and may wait for the disk: they do not belong
/// on an event loop.
public final class Journal: Sendable {
    /// Whether the last process that had it open closed it in order, and no unclean end before that was left without a
    /// look for damage (``findDamage()``).
    public let wasClosedInOrder: Bool
    let path: String
    let connection: WriteConnection
    let lookups: ReadConnection
    let scans: ReadConnection
    let inspection = Inspection()
    /// It was closed in order, or a check since then found no damage.
    let isSound: Atomic<Bool>
    private let folderLock: FolderLock
    private let inbox: Inbox
    private let limits: JournalLimits
    private let thread = WriterThread()

    /// Opens the journal in `folder`, which is made (mode 0700) if it is absent. Submissions wait until
    /// ``start(observer:onFatal:)``; reads and rare writes work at once.
    ///
    /// New files get the mode 0600 whatever the umask.
    ///
    /// - Throws: ``JournalError``: among others when another process has it open, when others may enter the folder, and
    ///   when the file is damaged, another program's, or newer than this one.
    public init(folder: String, limits: JournalLimits = JournalLimits()) throws(JournalError) {
        folderLock = try FolderLock(folder: folder)
        wasClosedInOrder = folderLock.wasClosedInOrder
        isSound = Atomic(wasClosedInOrder)
        let path = "\(folder)/journal.sqlite"
        self.path = path
        self.limits = limits
        // SQLite gives the files beside it the same mode.
        let file = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw .system(call: "open", path: path, code: errno) }
        Glibc.close(file)
        do {
            connection = try WriteConnection(path: path)
            lookups = try ReadConnection(path: path)
            scans = try ReadConnection(path: path)
        } catch {
            throw JournalError(error, path: path)
        }
        inbox = Inbox(eventLimit: limits.waitingEvents, byteLimit: limits.waitingBytes)
    }

    /// Starts the writer. Call it once.
    ///
    /// - Parameters:
    ///   - observer: hears of every committed event.
    ///   - onFatal: called once, on the writer's thread, when writing has failed for good. Nothing is taken in any more;
    ///     the process must end, and what is on disk is found out at the next start.
    public func start(
        observer: any CommitObserver, onFatal: @escaping @Sendable (JournalError) -> Void
    ) {
        thread.start(
            Writer(
                inbox: inbox, connection: connection, path: path, limits: limits, observer: observer,
                onFatal: onFatal))
    }

    /// Hands over an event; any thread, without waiting for the disk.
    ///
    /// - Parameters:
    ///   - group: is told, with `token`, when the event is on disk or has failed.
    /// - Returns: names the event for ``submit(barrier:group:token:)`` until then.
    @discardableResult
    public func submit(
        _ event: EventRecord, group: (any CommitGroup)?, token: UInt64
    ) throws(SubmitRefusal) -> Ticket {
        try inbox.submit([event], group, token)
    }

    /// Hands over several events at once; all are taken in, or none. `group` is told once, when the last of them is on
    /// disk: then all are. If it hears of a failure, some may be on disk even so.
    ///
    /// - Precondition: there is at least one.
    @discardableResult
    public func submit(
        _ events: [EventRecord], group: (any CommitGroup)?, token: UInt64
    ) throws(SubmitRefusal) -> Ticket {
        precondition(!events.isEmpty, "nobody could be told of the commit of nothing")
        return try inbox.submit(events, group, token)
    }

    /// Waits for somebody else's event: `group` is told what became of it.
    public func submit(
        barrier ticket: Ticket, group: any CommitGroup, token: UInt64
    ) throws(SubmitRefusal) {
        try inbox.submit(barrier: ticket, group, token)
    }

    /// Hands over changes; any thread, without waiting for the disk. They are kept until they can be written.
    public func submit(_ changes: JournalChanges) throws(SubmitRefusal) {
        try inbox.submit(changes)
    }

    /// What the writer has done since the start.
    public var statistics: JournalStatistics {
        thread.writer?.counts ?? JournalStatistics()
    }

    /// Writes what waits, empties the log and closes everything. Not from the writer's thread. Submissions and reads
    /// fail from now on.
    ///
    /// After a fatal failure the files are left as they are for the next start to judge.
    public func close() throws(JournalError) {
        inspection.close()
        inbox.close()
        guard thread.join() else { return }
        do {
            try lookups.close()
            try scans.close()
            _ = try connection.checkpoint(emptying: true)
            try connection.close()
        } catch {
            throw JournalError(error, path: path)
        }
        folderLock.release(isSound: isSound.load(ordering: .relaxed))
    }
}
