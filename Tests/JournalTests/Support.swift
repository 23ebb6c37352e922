import EventModel
import Glibc
import Journal
import Synchronization
import Testing

/// Reads a whole file; empty if there is none.
func contents(of path: String) -> [UInt8] {
    let file = open(path, O_RDONLY)
    guard file >= 0 else { return [] }
    defer { close(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = read(file, &buffer, buffer.count)
        guard count > 0 else { return bytes }
        bytes += buffer[..<count]
    }
}

/// A value that a test waits for, with a deadline that only a broken program meets.
final class Watched<Value: Sendable>: Sendable {
    private let value: Mutex<Value>

    init(_ value: Value) {
        self.value = Mutex(value)
    }

    var current: Value { value.withLock(\.self) }

    func change(_ body: @Sendable (inout Value) -> Void) {
        value.withLock { body(&$0) }
    }

    @discardableResult
    func wait(
        until isReached: (Value) -> Bool, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> Value {
        for _ in 0..<30_000 {
            let now = current
            if isReached(now) { return now }
            usleep(1_000)
        }
        Issue.record("waited in vain; it is \(current)", sourceLocation: sourceLocation)
        throw CancellationError()
    }
}

/// Hears what becomes of submissions, and of all events.
final class Listener: CommitGroup, CommitObserver {
    struct Heard: Sendable {
        var results: [CommitResult] = []
        var failures: [UInt64: CommitFailure] = [:]
        /// How many answers each call had.
        var calls: [Int] = []
        var events: [CommittedEvent] = []
        var fatal: JournalError?
    }

    let heard = Watched(Heard())
    private let onResults: @Sendable ([CommitResult]) -> Void

    init(onResults: @escaping @Sendable ([CommitResult]) -> Void = { _ in }) {
        self.onResults = onResults
    }

    func committed(_ results: [CommitResult]) {
        onResults(results)
        heard.change {
            $0.results += results
            $0.calls.append(results.count)
        }
    }

    func failed(_ tokens: [UInt64], _ failure: CommitFailure) {
        heard.change { heard in
            for token in tokens { heard.failures[token] = failure }
        }
    }

    func committed(_ events: [CommittedEvent]) {
        heard.change { $0.events += events }
    }
}

extension Journal {
    func start(_ listener: Listener) {
        start(observer: listener) { error in listener.heard.change { $0.fatal = error } }
    }

    /// Submits changes and waits until they are committed.
    @discardableResult
    func commit(_ fill: (inout JournalChanges) -> Void) throws -> CommittedChanges {
        let done = Watched<CommittedChanges?>(nil)
        var changes = JournalChanges()
        fill(&changes)
        changes.onCommit = { result in done.change { $0 = result } }
        try submit(changes)
        return try #require(try done.wait { $0 != nil })
    }
}

extension EventRecord {
    static func sample(
        _ id: String, body: [UInt8] = Array("sealed body".utf8), secret: [UInt8]? = nil
    ) -> EventRecord {
        EventRecord(
            id: id, mac: Hash128(1, 2), kind: .passwordUpdated, received: Timestamp(milliseconds: 1_800_000_000_000),
            source: "prod", flags: secret == nil ? [] : .hasSecret, body: body, secret: secret)
    }
}

extension [UInt8] {
    func contains(_ needle: [UInt8]) -> Bool {
        guard let first = needle.first else { return true }
        return withUnsafeBytes { hay in
            var rest = hay[...]
            while let start = rest.firstIndex(of: first) {
                if rest[start...].starts(with: needle) { return true }
                rest = rest[(start + 1)...]
            }
            return false
        }
    }
}

/// Lets no file of this process grow beyond so many bytes: the one way to make a real write(2) fail in the middle of one.
func limitFiles(to bytes: Int64) throws {
    signal(SIGXFSZ, SIG_IGN)
    var limit = rlimit(rlim_cur: rlim_t(bytes), rlim_max: rlim_t(Int64.max))
    try #require(setrlimit(__rlimit_resource_t(1), &limit) == 0)  // RLIMIT_FSIZE
}
