import EventModel
import Glibc
import Journal
import Testing
import Workbench

struct JournalTests {
    private let folder: Folder
    private let listener = Listener()

    init() throws {
        folder = try Folder()
    }

    @Test func `an event comes back as it was, also after a restart`() throws {
        var journal = try Journal(folder: folder.path)
        journal.start(listener)
        var record = EventRecord.sample("e1", body: [1, 2, 3], secret: [4, 5])
        record.flags = [.hasSecret, .temporary]
        record.context = "for the dispatcher"
        try journal.submit(record, group: listener, token: 77)
        let heard = try listener.heard.wait { $0.results.count == 1 && $0.events.count == 1 }
        #expect(heard.results.map(\.token) == [77])
        #expect(heard.results.map(\.sequence) == [1])
        #expect(heard.events[0].record.context as? String == "for the dispatcher")
        try journal.close()

        journal = try Journal(folder: folder.path)
        let event = try #require(try journal.event(1))
        #expect(event.id == "e1")
        #expect(event.mac == record.mac)
        #expect(event.kind == .passwordUpdated)
        #expect(event.received == record.received)
        #expect(event.source == "prod")
        #expect(event.flags == [.hasSecret, .temporary])
        #expect(event.body == [1, 2, 3])
        #expect(event.secret == [4, 5])
        #expect(journal.wasClosedInOrder)
        try journal.close()
    }

    @Test func `numbers have no gaps and follow the order of submission`() throws {
        let journal = try Journal(folder: folder.path)
        journal.start(listener)
        for index in 0..<10_000 {
            try journal.submit(.sample("e\(index)"), group: listener, token: UInt64(index))
        }
        let heard = try listener.heard.wait { $0.results.count == 10_000 && $0.events.count == 10_000 }
        #expect(heard.results.map(\.token) == Array(0..<10_000))
        #expect(heard.results.map(\.sequence) == (1...10_000).map(Int64.init))
        #expect(heard.events.map(\.sequence) == Array(1...10_000))
        #expect(heard.events.map(\.record.id) == (0..<10_000).map { "e\($0)" })
        try journal.close()
    }

    @Test func `a number is never given twice, even when all events have gone`() throws {
        var journal = try Journal(folder: folder.path)
        journal.start(listener)
        try journal.submit((0..<5).map { .sample("e\($0)") }, group: listener, token: 0)
        try listener.heard.wait { $0.results.count == 1 }
        try journal.commit { $0.endedEvents = [1...5] }
        #expect(try journal.sequenceBounds() == 5...5)
        try journal.close()
        journal = try Journal(folder: folder.path)
        journal.start(listener)
        try journal.submit(.sample("next"), group: listener, token: 1)
        let heard = try listener.heard.wait { $0.results.count == 2 }
        #expect(heard.results[1].sequence == 6)
        try journal.close()
    }

    @Test func `what waits together shares a commit and one call per group`() throws {
        let journal = try Journal(folder: folder.path)
        // Nothing is written before the start, so all of it waits together.
        let other = Listener()
        for index in 0..<1_000 {
            try journal.submit(
                .sample("e\(index)"), group: index.isMultiple(of: 2) ? listener : other, token: UInt64(index))
        }
        var changes = JournalChanges()
        changes.counters = [CounterKey(slot: 1, name: "delivered"): 1]
        try journal.submit(changes)
        journal.start(listener)
        #expect(try listener.heard.wait { $0.events.count == 1_000 }.calls == [500])
        #expect(other.heard.current.calls == [500])
        let statistics = journal.statistics
        #expect(statistics.syncedCommits == 1)
        #expect(statistics.unsyncedCommits == 0)
        #expect(try journal.counters() == [CounterKey(slot: 1, name: "delivered"): 1])
        try journal.close()
    }

    @Test func `a transaction has at most 4096 events`() throws {
        let journal = try Journal(folder: folder.path)
        try journal.submit((0..<10_000).map { .sample("e\($0)") }, group: listener, token: 0)
        journal.start(listener)
        #expect(try listener.heard.wait { $0.results.count == 1 }.results[0].sequence == 10_000)
        #expect(journal.statistics.syncedCommits == 3)
        try journal.close()
    }

    @Test func `changes alone are committed without fsync, and not more often than every ten milliseconds`() throws {
        let journal = try Journal(folder: folder.path)
        journal.start(listener)
        let began = monotonicMilliseconds()
        for index in 1...200 {
            var changes = JournalChanges()
            changes.counters = [CounterKey(slot: 1, name: "delivered"): 1]
            try journal.submit(changes)
            // A completion now and then, as an LDAP server makes them.
            if index.isMultiple(of: 4) { usleep(1_000) }
        }
        try journal.commit { _ in }
        let elapsed = monotonicMilliseconds() - began
        let statistics = journal.statistics
        let commits = statistics.syncedCommits + statistics.unsyncedCommits
        #expect(commits <= elapsed / 10 + 1)
        #expect(statistics.syncedCommits <= elapsed / 1_000 + 1)
        #expect(statistics.unsyncedCommits > 0)
        // One signal begins a wait; the others let the writer sleep.
        #expect(statistics.wakeUps <= commits + 1)
        #expect(try journal.counters()[CounterKey(slot: 1, name: "delivered")] == 200)
        try journal.close()
    }

    @Test func `many changes do not wait for the ten milliseconds`() throws {
        let journal = try Journal(folder: folder.path)
        var changes = JournalChanges()
        changes.erasedSecrets = Array(1...512)
        let done = Watched(0)
        changes.onCommit = { _ in done.change { $0 += 1 } }
        journal.start(listener)
        for _ in 0..<100 { try journal.submit(changes) }
        try done.wait { $0 == 100 }
        #expect(journal.statistics.unsyncedCommits + journal.statistics.syncedCommits >= 1)
        try journal.close()
    }

    @Test func `a barrier is answered after the event it waits for`() throws {
        let journal = try Journal(folder: folder.path)
        let ticket = try journal.submit(.sample("e"), group: listener, token: 1)
        try journal.submit(barrier: ticket, group: listener, token: 2)
        journal.start(listener)
        try listener.heard.wait { $0.results.count == 2 }
        // And once more, when nothing else waits.
        try journal.submit(barrier: ticket, group: listener, token: 3)
        let heard = try listener.heard.wait { $0.results.count == 3 }
        #expect(heard.results.map(\.token) == [1, 2, 3])
        #expect(heard.results.map(\.sequence) == [1, nil, nil])
        try journal.close()
    }

    @Test func `too many waiting events are refused whole`() throws {
        var limits = JournalLimits()
        limits.waitingEvents = 10
        limits.waitingBytes = 1_000
        let journal = try Journal(folder: folder.path, limits: limits)
        try journal.submit((0..<8).map { .sample("e\($0)") }, group: nil, token: 0)
        #expect(throws: SubmitRefusal.tooManyWaiting) {
            try journal.submit((0..<3).map { .sample("f\($0)") }, group: nil, token: 0)
        }
        #expect(throws: SubmitRefusal.tooManyWaiting) {
            try journal.submit(.sample("g", body: [UInt8](repeating: 0, count: 1_000)), group: nil, token: 0)
        }
        try journal.submit((0..<2).map { .sample("h\($0)") }, group: listener, token: 0)
        journal.start(listener)
        #expect(try listener.heard.wait { $0.results.count == 1 }.results[0].sequence == 10)
        try journal.close()
    }

    @Test func `a database at its largest size refuses events until something is deleted`() throws {
        var limits = JournalLimits()
        limits.databaseBytes = 1 << 20
        let journal = try Journal(folder: folder.path, limits: limits)
        journal.start(listener)
        let body = [UInt8](repeating: 1, count: 100_000)
        var taken: UInt64 = 0
        #expect(throws: SubmitRefusal.full) {
            while taken < 100 {
                try journal.submit(.sample("e", body: body), group: listener, token: 0)
                taken += 1
                let expected = Int(taken)
                try listener.heard.wait { $0.events.count == expected }
            }
        }
        try journal.commit { $0.endedEvents = [1...Int64(taken)] }
        try journal.submit(.sample("again"), group: listener, token: 1)
        try listener.heard.wait { $0.results.last?.token == 1 }
        try journal.close()
    }

    @Test func `closing writes what waits and refuses what comes`() throws {
        let journal = try Journal(folder: folder.path)
        journal.start(listener)
        try journal.submit((0..<5_000).map { .sample("e\($0)") }, group: listener, token: 9)
        var changes = JournalChanges()
        changes.fannedOutThrough = 41
        try journal.submit(changes)
        try journal.close()
        #expect(listener.heard.current.results.map(\.token) == [9])
        #expect(throws: SubmitRefusal.closed) { try journal.submit(.sample("late"), group: nil, token: 0) }
        #expect(throws: SubmitRefusal.closed) { try journal.submit(JournalChanges()) }
        #expect(throws: JournalError.self) { try journal.event(1) }
        #expect(contents(of: "\(folder.path)/journal.sqlite-wal").isEmpty)
        let again = try Journal(folder: folder.path)
        #expect(try again.progress() == (41, 0))
        #expect(try again.sequenceBounds() == 1...5_000)
        try again.close()
    }

    @Test func `an erased secret leaves the files within a second or two`() throws {
        let journal = try Journal(folder: folder.path)
        journal.start(listener)
        let secrets = (0..<50).map { index in
            Array("sealed-secret-\(index)-".utf8) + [UInt8](repeating: 0xA5, count: 80)
        }
        for secret in secrets {
            try journal.submit(
                .sample("e", body: [UInt8](repeating: 7, count: 600), secret: secret), group: nil, token: 0)
        }
        try listener.heard.wait { $0.events.count == 50 }
        func onDisk() -> Int {
            let files = folder.names.map { contents(of: "\(folder.path)/\($0)") }
            return secrets.count { secret in files.contains { $0.contains(secret) } }
        }
        #expect(onDisk() == 50)
        try journal.commit { $0.erasedSecrets = Array(1...25) }
        // A checkpoint that was under way before does not count: what counts is what the files hold.
        let after = Watched(0)
        try after.wait { _ in onDisk() == 25 }
        #expect(try journal.event(25)?.secret == nil)
        #expect(try journal.event(26)?.secret == secrets[25])
        try journal.close()
    }

    @Test func `a delivery that begins and ends within a commit leaves no row, another does`() throws {
        let journal = try Journal(folder: folder.path)
        let first = DeliveryKey(sequence: 1, slot: 0, deliveryClass: .credential)
        let second = DeliveryKey(sequence: 1, slot: 1, deliveryClass: .credential)
        journal.start(listener)
        try journal.commit {
            $0.deliveries = [
                .begin(DeliveryRow(id: first, subject: 1, kind: .passwordUpdated)),
                .begin(DeliveryRow(id: second, subject: 1, kind: .passwordUpdated)), .end(first),
            ]
        }
        #expect(try deliveries(journal).map(\.id) == [second])
        try journal.commit {
            $0.deliveries = [.update(second, due: Timestamp(milliseconds: 5), attempt: 3, state: 2)]
        }
        #expect(
            try deliveries(journal) == [
                DeliveryRow(
                    id: second, subject: 1, kind: .passwordUpdated, due: Timestamp(milliseconds: 5), attempt: 3,
                    state: 2)
            ])
        try journal.commit { $0.deliveries = [.end(second)] }
        #expect(try deliveries(journal).isEmpty)
        try journal.close()
    }

    @Test func `a hundred thousand deliveries come back in order`() throws {
        let journal = try Journal(folder: folder.path)
        journal.start(listener)
        let ids = (1...50_000).flatMap { sequence in
            [0, 7].map { DeliveryKey(sequence: Int64(sequence), slot: $0, deliveryClass: .profile) }
        }
        try journal.commit {
            $0.deliveries = ids.shuffled().map {
                .begin(DeliveryRow(id: $0, subject: $0.sequence, kind: .profileUpdated))
            }
        }
        #expect(try deliveries(journal).map(\.id) == ids)
        try journal.close()
    }

    private func deliveries(_ journal: Journal) throws -> [DeliveryRow] {
        var rows: [DeliveryRow] = []
        try journal.forEachDelivery { rows.append($0) }
        return rows
    }
}

private func monotonicMilliseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
}
