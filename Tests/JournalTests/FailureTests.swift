import EventModel
import Glibc
import Journal
import Synchronization
import Testing
import Workbench

struct FailureTests {
    @Test(arguments: [3, 40, 200])
    func `whatever was acknowledged is there after kill -9`(milliseconds: Int) async throws {
        let folder = try Folder()
        let path = folder.path
        await #expect(processExitsWith: .signal(SIGKILL)) {
            [path = path as String, milliseconds = milliseconds as Int] in
            let acknowledged = open("\(path)/acknowledged", O_WRONLY | O_CREAT | O_APPEND, 0o600)
            let journal = try Journal(folder: path)
            let listener = Listener { results in
                var tokens = results.map(\.token)
                write(acknowledged, &tokens, tokens.count * 8)
                // The death comes from another thread, in the middle of whatever the writer does.
                guard results[0].token > 100, !isDying.exchange(true, ordering: .relaxed) else { return }
                onOwnThread {
                    usleep(UInt32(milliseconds) * 1_000)
                    kill(getpid(), SIGKILL)
                }
            }
            journal.start(listener)
            var token: UInt64 = 0
            while true {
                do {
                    try journal.submit(
                        .sample("e\(token)", secret: Array("s\(token)".utf8)), group: listener, token: token)
                    token += 1
                } catch {
                    usleep(200)
                }
            }
        }
        let bytes = contents(of: "\(path)/acknowledged")
        let acknowledged = bytes.withUnsafeBytes { raw in
            (0..<raw.count / 8).map { raw.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self) }
        }
        #expect(acknowledged.count > 100)
        let journal = try Journal(folder: path)
        var stored: [String] = []
        try journal.forEachEventID { stored.append($0.id) }
        #expect(acknowledged.map { "e\($0)" } == stored.prefix(acknowledged.count).map(\.self))
        #expect(try journal.event(Int64(acknowledged.count))?.secret == Array("s\(acknowledged.count - 1)".utf8))
        #expect(try journal.findDamage().isEmpty)
        try journal.close()
    }

    @Test func `a failed write kills the journal: nothing is acknowledged, nothing tried again`() async throws {
        let folder = try Folder()
        let path = folder.path
        await #expect(processExitsWith: .success) { [path = path as String] in
            let journal = try Journal(folder: path)
            let listener = Listener()
            journal.start(listener)
            let ticket = try journal.submit(.sample("good"), group: listener, token: 1)
            try listener.heard.wait { $0.results.count == 1 }
            try limitFiles(to: 100_000)
            let big = [UInt8](repeating: 1, count: 200_000)
            try journal.submit(.sample("bad", body: big), group: listener, token: 2)
            let heard = try listener.heard.wait { $0.fatal != nil && !$0.failures.isEmpty }
            #expect(heard.failures == [2: .dead])
            #expect(heard.results.map(\.token) == [1])
            #expect(heard.events.map(\.record.id) == ["good"])
            // There would be room again; nobody else writes either.
            try limitFiles(to: .max)
            #expect(throws: JournalError.self) { try journal.setPaused(true, slot: 0) }
            #expect(throws: JournalError.self) { try journal.slot(for: "ldap") }
            #expect(throws: SubmitRefusal.closed) { try journal.submit(.sample("late"), group: listener, token: 3) }
            #expect(throws: SubmitRefusal.closed) { try journal.submit(JournalChanges()) }
            #expect(throws: SubmitRefusal.closed) {
                try journal.submit(barrier: ticket, group: listener, token: 4)
            }
            try journal.close()
        }
        let journal = try Journal(folder: path)
        #expect(!journal.wasClosedInOrder)
        #expect(try journal.event(1)?.id == "good")
        #expect(try journal.sequenceBounds() == 1...1)
        try journal.close()
    }

    @Test func `a pause that cannot be written kills the journal too`() async throws {
        let folder = try Folder()
        let path = folder.path
        await #expect(processExitsWith: .success) { [path = path as String] in
            let journal = try Journal(folder: path)
            let listener = Listener()
            journal.start(listener)
            try journal.submit(.sample("good"), group: listener, token: 1)
            try listener.heard.wait { $0.results.count == 1 }
            try limitFiles(to: 4_096)
            #expect(throws: JournalError.self) { try journal.setPaused(true, slot: 0) }
            try limitFiles(to: .max)
            // There would be room again, but nobody knows what became of what was written.
            try listener.heard.wait { $0.fatal != nil }
            #expect(throws: JournalError.self) { try journal.setPaused(true, slot: 0) }
            #expect(throws: SubmitRefusal.closed) { try journal.submit(.sample("late"), group: listener, token: 2) }
            try journal.close()
        }
        let journal = try Journal(folder: path)
        #expect(!journal.wasClosedInOrder)
        #expect(try journal.pausedSlots().isEmpty)
        #expect(try journal.event(1)?.id == "good")
        try journal.close()
    }

    @Test func `more events than are allowed are refused, until old ones have ended`() throws {
        let folder = try Folder()
        var limits = JournalLimits()
        limits.events = 2
        for isSecond in [false, true] {
            // The second time, it finds what the first has left.
            let journal = try Journal(folder: folder.path, limits: limits)
            let listener = Listener()
            journal.start(listener)
            if !isSecond { try journal.submit([.sample("a"), .sample("b")], group: listener, token: 1) }
            try journal.commit { $0.foldedThrough = 1 }
            #expect(throws: SubmitRefusal.full) { try journal.submit(.sample("c"), group: listener, token: 2) }
            if isSecond {
                try journal.commit { $0.endedEvents = [1...1] }
                try journal.submit(.sample("c"), group: listener, token: 3)
                try listener.heard.wait { $0.results.contains { $0.token == 3 } }
                #expect(try journal.sequenceBounds() == 2...3)
            }
            try journal.close()
        }
    }

    @Test(.enabled(if: geteuid() == 0, "only root can mount a small disk"))
    func `a full disk refuses events, keeps changes, and goes on when there is room`() throws {
        let folder = try Folder()
        let path = folder.path
        try #require(mount("tmpfs", path, "tmpfs", 0, "size=4m,mode=700") == 0)
        defer { umount2(path, 0) }
        let ballast = open("\(path)/ballast", O_WRONLY | O_CREAT, 0o600)
        try #require(posix_fallocate(ballast, 0, 3 << 20) == 0)
        close(ballast)

        let journal = try Journal(folder: path)
        let listener = Listener()
        journal.start(listener)
        let body = [UInt8](repeating: 1, count: 50_000)
        var token: UInt64 = 0
        while listener.heard.current.failures.isEmpty, token < 1_000 {
            try journal.submit(.sample("e\(token)", body: body), group: listener, token: token)
            token += 1
            let answers = Int(token)
            try listener.heard.wait { $0.results.count + $0.failures.count == answers }
        }
        let kept = Int64(token - 1)
        #expect(listener.heard.current.failures == [token - 1: .full])
        #expect(listener.heard.current.fatal == nil)

        // Changes that come while there is no room wait for it; who waits for a refused event is refused too.
        let fannedOut = Watched(false)
        var changes = JournalChanges()
        changes.fannedOutThrough = kept
        changes.subjects = [SubjectRow(number: 1, key: Hash128(1, 1), state: body)]
        changes.onCommit = { _ in fannedOut.change { $0 = true } }
        try journal.submit(changes)
        let refused = try journal.submit(.sample("refused", body: body), group: listener, token: 5_000)
        try listener.heard.wait { $0.failures[5_000] == .full }
        try journal.submit(barrier: refused, group: listener, token: 5_001)
        try listener.heard.wait { $0.failures[5_001] == .full }
        #expect(!fannedOut.current)

        unlink("\(path)/ballast")
        let taken = try journal.submit(.sample("again", body: body), group: listener, token: 6_000)
        let heard = try listener.heard.wait { $0.results.contains { $0.token == 6_000 } }
        #expect(heard.results.last?.sequence == kept + 1)
        // In the same commit, but told after the events.
        try fannedOut.wait { $0 }
        #expect(try journal.subject(1)?.state == body)
        try journal.submit(barrier: taken, group: listener, token: 6_001)
        try listener.heard.wait { $0.results.contains { $0.token == 6_001 } }
        #expect(try journal.findDamage().isEmpty)
        try journal.close()
        for name in ["journal.sqlite", "lock"] { unlink("\(path)/\(name)") }
    }
}

/// Set by the first acknowledgement that arranges the end, in the child process.
private let isDying = Atomic(false)
