import Credentials
import EventModel
import GRDB
import Journal
import Testing

@testable import Delivery

/// What is done now and then: old deliveries end, unused keys are destroyed, memory follows the disk.
struct HousekeepingTests {
    private let week = ProviderRoute.defaultGiveUpAfter

    @Test func `what waited too long is given up although there is no worker, and its password is destroyed`() throws {
        let rig = try Rig([.test(0), .test(1, giveUpAfter: 60_000)])
        try rig.loseWorker(0)
        try rig.loseWorker(1)
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.advance(60_000)
        try rig.advance(60_000)
        #expect(try rig.ended(1) == ["expired": 1])
        #expect(try rig.ended(0).isEmpty)
        #expect(try rig.storedSecrets().count == 1)
        try rig.post(TestEvent(id: "e2", user: "u2", password: "q", externalID: "E-2"))
        try rig.advance(week)
        try rig.advance(60_000)
        #expect(try rig.ended(0) == ["expired": 2])
        #expect(try rig.storedSecrets().isEmpty)
        for slot in 0...1 { #expect(try rig.report(slot).unaccounted == 0) }
    }

    @Test func `after a restart what waited too long is given up at once, however many events are kept`() throws {
        let rig = try Rig([.test(giveUpAfter: 60_000)], in: TemporaryFolder(inMemory: true))
        // In flight it would not be given up.
        try rig.journal.setPaused(true, slot: try rig.core.pause("provider-0", true, now: rig.now))
        func postOthers(_ name: String) throws {
            try rig.post((0..<5_000).map { TestEvent(id: "\(name)-\($0)", user: "other", syncEnabled: "false") })
        }
        try postOthers("first")
        try rig.post(TestEvent(id: "e1", user: "u1", password: "p"))
        try postOthers("second")
        try rig.post(TestEvent(id: "e2", user: "u2", password: "q", externalID: "E-2"))
        try rig.sleep(120_000)
        try rig.restart()
        #expect(try rig.ended()["expired"] == 1)
        #expect(rig.core.idleTime(now: rig.now) <= 2_000)
        try rig.advance(2_000)
        #expect(try rig.ended()["expired"] == 2)
        #expect(try rig.storedSecrets().isEmpty)
        #expect(try rig.report().unaccounted == 0)
    }

    @Test func `an event stays in memory as long as deliveries wait for it, and no longer`() throws {
        let rig = try Rig([.test(0), .test(1)])
        try rig.post(TestEvent(id: "e1", password: "p"))
        #expect(rig.core.hot.count == 1)
        try rig.answer(.delivered, slot: 0)
        #expect(rig.core.hot.count == 1)
        try rig.answer(.retry, slot: 1)
        #expect(rig.core.hot.count == 1)
        try rig.advance(600_000)
        try rig.answer(.delivered, slot: 1)
        #expect(rig.core.hot.count == 0)
        try rig.post(TestEvent(id: "e2", user: "u2", password: "q", syncEnabled: "false"))
        #expect(rig.core.hot.count == 0)
    }

    @Test func `what waited too long is given up while the gate is shut`() throws {
        let rig = try Rig([.test(giveUpAfter: 60_000)])
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.answer(.misconfigured)
        for _ in 0..<3 {
            try rig.advance(60_000)
            if try rig.report().state == "checking" { try rig.answerCheck(.misconfigured) }
        }
        #expect(try rig.ended() == ["expired": 1])
    }

    @Test func `what is in flight when its time comes may still succeed, but is not put back`() throws {
        let rig = try Rig([.test(giveUpAfter: 60_000)])
        for user in 1...2 {
            try rig.post(TestEvent(id: "e\(user)", user: "u\(user)", password: "p", externalID: "E-\(user)"))
        }
        let both = rig.requests()
        try rig.sleep(120_000)
        try rig.core.housekeep(now: rig.now, wall: rig.wall)
        try rig.answer(both[0], Completion(.delivered))
        try rig.answer(both[1], Completion(.retry))
        #expect(try rig.ended() == ["delivered": 1, "expired": 1])
        #expect(try rig.report().unaccounted == 0)
    }

    @Test func `what a provider left that is not configured any more ends too`() throws {
        let rig = try Rig([.test(0), .test(1)])
        try rig.loseWorker(1)
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.answer(.delivered)
        try rig.restart(routes: [.test(0)])
        #expect(try rig.storedSecrets().count == 1)
        try rig.advance(week + 60_000)
        #expect(try rig.storedSecrets().isEmpty)
        #expect(try rig.journal.deliveries(limit: 10).isEmpty)
    }

    @Test func `a data key is destroyed when no secret needs it, and not before`() throws {
        let rig = try Rig()
        let keys = rig.vault.sealer.keys
        func stored(_ purpose: SealPurpose) throws -> Int {
            try rig.flush()
            return try rig.journal.dataKeys().count { $0.purpose == purpose.rawValue }
        }
        try rig.loseWorker()
        try rig.post(TestEvent(id: "e1", password: "stays"))
        try rig.advance(3 * 3_600_000)
        try rig.post(TestEvent(id: "e2", user: "u2", password: "goes", externalID: "E-2"))
        try rig.advance(3 * 3_600_000)
        rig.connect()
        try rig.turn()
        let second = try #require(rig.requests().first { $0.secret == "goes" })
        try rig.answer(second, Completion(.delivered))
        #expect(try stored(.secret) == 2)
        try rig.flush()
        try rig.advance(3_600_000)
        #expect(try stored(.secret) == 1)
        #expect(keys.ids.count { $0 & 3 == UInt32(SealPurpose.secret.rawValue) } == 1)
        // The one that still waits can be read, also by the next run.
        try rig.restart()
        #expect(try rig.answer(.delivered).secret == "stays")
        try rig.flush()
        try rig.advance(3_600_000)
        #expect(try stored(.secret) == 0)
        // Bodies stay readable for as long as their events stay.
        #expect(try stored(.body) > 0)
        #expect(try rig.journal.event(1) != nil)
        try rig.advance(90_000_000)
        try rig.post(TestEvent(id: "e3", kind: .logout, sequence: 9))
        try rig.flush()
        try rig.advance(3_600_000)
        try rig.flush()
        try rig.advance(3_600_000)
        #expect(try rig.journal.event(1) == nil)
        #expect(try stored(.body) == 1)
    }

    @Test func `a forgotten dead letter keeps the key of its event and of its words, and no other`() throws {
        let rig = try Rig([.test(kinds: [.passwordUpdated])])
        func bodyKeys() -> [UInt32] {
            rig.vault.sealer.keys.ids.filter { $0 & 3 == UInt32(SealPurpose.body.rawValue) }
        }
        try rig.post(TestEvent(id: "e0", password: "p"))
        try rig.answer(.refused, detail: "no")
        let forgotten = bodyKeys()
        for number in 1...3 {
            try rig.advance(7_200_000)
            try rig.post(TestEvent(id: "e\(number)", kind: .logout, sequence: UInt64(number + 1)))
        }
        try rig.flush()
        #expect(bodyKeys().count == 4)
        for _ in 0..<40 {
            try rig.advance(3_600_000)
            try rig.flush()
        }
        // Of the newest event, which holds the place, and of the dead letter.
        #expect(bodyKeys().count == 2 && bodyKeys().contains(forgotten))
        let letter = try #require(try rig.journal.deadLetters().first)
        #expect(try rig.vault.openDetail(letter.detail, of: letter.id) == "no")
        #expect(try rig.core.header(of: try #require(try rig.journal.event(1))) != nil)
    }

    @Test func `events behind an old dead letter are retired, at once while there are more`() throws {
        let rig = try Rig([.test(kinds: [.passwordUpdated])], in: TemporaryFolder(inMemory: true))
        try rig.post(TestEvent(id: "e0", password: "p"))
        try rig.answer(.refused)
        let count = Int64(DispatchCore.retiredAtOnce) + 100
        for number in 1...count {
            try rig.post(TestEvent(id: "e\(number)", kind: .logout, sequence: UInt64(number + 1)))
        }
        try rig.advance(2_000)
        try rig.flush()
        try rig.advance(86_460_000)
        try rig.flush()
        #expect(try rig.journal.event(2) == nil && rig.journal.event(count) != nil)
        #expect(rig.core.idleTime(now: rig.now) <= 2_000)
        try rig.advance(2_000)
        try rig.flush()
        #expect(try rig.journal.event(count) == nil)
        // The dead letter's event stays, and the newest, which holds the place.
        #expect(try rig.journal.event(1) != nil && rig.journal.event(count + 1) != nil)
        #expect(rig.core.idleTime(now: rig.now) == 60_000)
    }

    @Test func `an event is retired only when the disk says that it was fanned out`() throws {
        let rig = try Rig(retention: 600_000)
        rig.holdsChanges = true
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.post(TestEvent(id: "e2", user: "u2", password: "q", externalID: "E-2"))
        try rig.sleep(1_200_000)
        try rig.restart(killed: true)
        try rig.flush()
        #expect(try rig.journal.event(1) != nil)
        rig.holdsChanges = false
        try rig.restart()
        #expect(rig.requests().map(\.secret).contains("p"))
    }

    @Test func `an event that was sealed by a slower clock than older ones stays readable`() throws {
        let rig = try Rig()
        try rig.loseWorker()
        func drift(_ milliseconds: Int64) throws {
            for _ in 0..<3 {
                rig.setClock(ahead: milliseconds)
                try rig.turn()
            }
        }
        try drift(3_000_000)
        try rig.post(TestEvent(id: "e1", password: "p"))
        try drift(-3_000_000)
        try rig.post(TestEvent(id: "e2", user: "u2", password: "q", externalID: "E-2"))
        try rig.flush()
        try rig.advance(4 * 3_600_000)
        try rig.flush()
        try rig.restart()
        #expect(Set(rig.requests().map(\.secret)) == ["p", "q"])
        #expect(try rig.ended().isEmpty)
    }

    @Test func `a dead letter's words stay readable, though its event is younger by the wall clock`() throws {
        let rig = try Rig()
        for _ in 0..<4 {
            rig.setClock(ahead: 3_000_000)
            try rig.turn()
        }
        // Sealed by the dispatcher's clock, more than three hours behind the one that seals events.
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.answer(.refused, detail: "no")
        try rig.flush()
        try rig.advance(3_600_000)
        try rig.flush()
        let letter = try #require(try rig.journal.deadLetters().first)
        #expect(try rig.vault.openDetail(letter.detail, of: letter.id) == "no")
    }

    @Test func `an idle dispatcher sleeps for a minute, a waiting one until its time`() throws {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e1", password: "p"))
        #expect(rig.core.idleTime(now: rig.now) <= 500)
        try rig.answer(.retry, retryAfter: 30_000)
        try rig.advance(2_000)
        #expect(rig.core.idleTime(now: rig.now) == 28_000)
        try rig.advance(28_000)
        try rig.answer(.delivered)
        try rig.advance(2_000)
        #expect(rig.core.idleTime(now: rig.now) == 60_000)
        #expect(rig.core.takeChanges() == nil)
    }

    @Test func `a provider without a worker does not keep the dispatcher awake`() throws {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.answer(.retry, retryAfter: 1_000)
        try rig.loseWorker()
        try rig.advance(2_000)
        try rig.advance(2_000)
        #expect(rig.core.idleTime(now: rig.now) == 60_000)
    }

    @Test func `a clock that is set back does not stop the states from being written`() throws {
        let rig = try Rig()
        try rig.advance(10_000)
        rig.setClock(ahead: -7_200_000)
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.advance(2_000)
        try rig.flush()
        #expect(try rig.journal.progress().foldedThrough == 1)
    }

    /// Two subjects with a password each that waits; then the first one's state is damaged, and the daemon starts.
    private func damaged(isFolded: Bool) throws -> Rig {
        let rig = try Rig()
        try rig.loseWorker()
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.post(TestEvent(id: "e2", user: "u2", password: "q", externalID: "E-2"))
        if isFolded { try rig.advance(2_000) }
        try rig.flush()
        var row = try #require(try rig.journal.subject(1))
        row.state[row.state.count - 1] ^= 1
        var changes = JournalChanges()
        changes.subjects = [row]
        try rig.journal.submit(changes)
        try rig.flush()
        try rig.restart()
        return rig
    }

    @Test(arguments: [true, false])
    func `a subject whose state is damaged holds nobody back, and begins anew`(_ isFolded: Bool) throws {
        let rig = try damaged(isFolded: isFolded)
        #expect(try rig.answer(.delivered).secret == "q")
        try rig.flush()
        let letters = try rig.journal.deadLetters()
        #expect(letters.map(\.reason) == ["damaged"])
        #expect(try rig.vault.openDetail(letters[0].detail, of: letters[0].id).contains("subject 1"))
        let reports = try rig.core.describe(rig.page(), now: rig.now)
        #expect(reports.map(\.user) == [isFolded ? "?" : "u1"])
        #expect(try rig.ended() == ["delivered": 1, "dead": 1])
        try rig.post(TestEvent(id: "e3", password: "r", sequence: 3))
        #expect(try rig.answer(.delivered).secret == "r")
        #expect(rig.core.totals[CounterKey(slot: CounterKey.daemon, name: "damaged-subjects")] == 1)
        try rig.advance(2_000)
        try rig.restart()
        #expect(try rig.core.explain(instance: "prod", realm: "corp", user: "u1", now: rig.now).syncEnabled == ["true"])
        #expect(try rig.report().unaccounted == 0)
    }

    @Test func `an operator is told of a damaged subject, and nothing is sent for it`() throws {
        let rig = try damaged(isFolded: true)
        #expect(throws: CommandError.self) {
            try rig.core.explain(instance: "prod", realm: "corp", user: "u1", now: rig.now)
        }
        #expect(try rig.core.explain(instance: "prod", realm: "corp", user: "u2", now: rig.now).user == "u2")
    }

    @Test func `a damaged binding ends the deliveries that need it, and no others`() throws {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.answer(.delivered, account: "uuid-1")
        try rig.flush()
        var binding = try #require(try rig.journal.binding(slot: 0, subject: 1))
        binding.state[binding.state.count - 1] ^= 1
        var changes = JournalChanges()
        changes.bindings = [.put(binding)]
        try rig.journal.submit(changes)
        try rig.flush()
        try rig.restart()
        try rig.post(TestEvent(id: "e2", kind: .userDeleted, sequence: 2))
        try rig.post(TestEvent(id: "e3", user: "u2", password: "q", externalID: "E-2"))
        #expect(try rig.answer(.delivered).secret == "q")
        #expect(try rig.ended() == ["delivered": 2, "dead": 1])
    }

    @Test func `a delivery that the journal gives to another subject is a dead letter`() throws {
        let rig = try Rig()
        try rig.loseWorker()
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.post(TestEvent(id: "e2", user: "u2", password: "q", externalID: "E-2"))
        try rig.post(TestEvent(id: "e3", kind: .logout, user: "u3", sequence: 3))
        try rig.flush()
        var rows = try rig.journal.deliveries(limit: 3)
        (rows[0].subject, rows[1].kindNumber, rows[2].subject) = (3, EventKind.userDeleted.number, 0)
        var changes = JournalChanges()
        changes.deliveries = rows.map { .begin($0) }
        try rig.journal.submit(changes)
        try rig.flush()
        try rig.restart()
        #expect(rig.requests().isEmpty)
        #expect(try rig.ended() == ["dead": 3])
        try rig.flush()
        #expect(Set(try rig.journal.deadLetters().map(\.reason)) == ["damaged"])
    }

    @Test func `a delivery of a kind that there is not ends at the start, and its password with it`() throws {
        let rig = try Rig()
        try rig.loseWorker()
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.post(TestEvent(id: "e2", user: "u2", password: "q", externalID: "E-2"))
        try rig.flush()
        let database = try DatabaseQueue(path: "\(rig.folder.path)/journal/journal.sqlite")
        try database.write { try $0.execute(sql: "UPDATE deliveries SET kind = 255 WHERE did >> 12 = 1") }
        try database.close()
        try rig.restart()
        #expect(try rig.answer(.delivered).secret == "q")
        #expect(try rig.ended() == ["delivered": 1, "dropped:damaged": 1])
        #expect(try rig.report().unaccounted == 0)
        #expect(try rig.storedSecrets().isEmpty)
        #expect(try rig.journal.deliveries(limit: 1).isEmpty)
    }

    @Test func `a subject whose state has another format is named with it, and begins anew`() throws {
        let rig = try Rig()
        try rig.loseWorker()
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.advance(2_000)
        try rig.flush()
        var row = try #require(try rig.journal.subject(1))
        let state = [SubjectState.format - 1, 0, 0, 0]
        row.state = state.withUnsafeBytes {
            rig.vault.sealer.seal($0, as: .state, in: SealContext(table: "subjects", key: "1".utf8), at: rig.now)
        }
        var changes = JournalChanges()
        changes.subjects = [row]
        try rig.journal.submit(changes)
        try rig.flush()
        try rig.restart()
        let error = #expect(throws: CommandError.self) {
            try rig.core.explain(instance: "prod", realm: "corp", user: "u1", now: rig.now)
        }
        let words = "the state of subject 1 has format \(SubjectState.format - 1)"
        #expect(error?.description.hasPrefix(words) == true, "\(String(describing: error))")
        try rig.flush()
        let letter = try #require(try rig.journal.deadLetters().first)
        #expect(try rig.vault.openDetail(letter.detail, of: letter.id).hasPrefix(words))
        try rig.post(TestEvent(id: "e2", password: "q", sequence: 2))
        #expect(try rig.answer(.delivered).secret == "q")
        #expect(try rig.report().unreadable == ["subjects": 1])
    }

    @Test func `what is of a kind that there is not is listed, counted, passed by pages, and can be dropped`() throws {
        let rig = try Rig([.test(kinds: [.profileUpdated])])
        for number in 1...3 {
            try rig.post(
                TestEvent(id: "e\(number)", kind: .profileUpdated, user: "u\(number)", externalID: "E-\(number)"))
            try rig.answer(.refused, detail: "no")
        }
        try rig.post(TestEvent(id: "e4", kind: .profileUpdated, user: "u4", externalID: "E-4"))
        try rig.answer(.retry)
        try rig.flush()
        let database = try DatabaseQueue(path: "\(rig.folder.path)/journal/journal.sqlite")
        // A kind is a number of a byte; this one would be a profile's if it were cut to that.
        try database.write { try $0.execute(sql: "UPDATE dead_letters SET kind = 258 WHERE did >> 12 = 2") }
        try rig.restart()
        try database.write { try $0.execute(sql: "UPDATE deliveries SET kind = 200") }
        try database.close()
        #expect(try rig.report().unreadable == ["dead letters": 1])
        var filter = DeadLetterFilter()
        filter.limit = 2
        let page = try rig.journal.deadLetters(filter)
        filter.after = page.last?.id
        #expect(page.count == 2)
        #expect(try rig.journal.deadLetters(filter).count == 1)
        let reports = try rig.core.describe(rig.page(), now: rig.now)
        let unknown = "unreadable of kind"
        #expect(
            reports.map(\.kind) == ["\(unknown) 200", "profile.updated", "\(unknown) 258", "profile.updated"])
        let letter = page[1].id.rawValue
        #expect(try rig.core.show(letter, now: rig.now).kind == "\(unknown) 258")
        #expect(throws: CommandError.unreadable(letter, kind: 258)) { try rig.core.retry(letter, now: rig.now) }
        try rig.core.drop(letter, now: rig.now)
        #expect(try rig.report().unreadable.isEmpty)
        #expect(try rig.ended() == ["dead": 2, "dropped:operator": 1])
        #expect(try rig.report().unaccounted == 0)
    }

    @Test func `an event whose row names another kind is what its sealed body says`() throws {
        let rig = try Rig()
        rig.holdsChanges = true
        try rig.post(TestEvent(id: "e1", password: "p"))
        let database = try DatabaseQueue(path: "\(rig.folder.path)/journal/journal.sqlite")
        try database.write { try $0.execute(sql: "UPDATE events SET kind = 200") }
        try database.close()
        try rig.restart(killed: true)
        #expect(try rig.answer(.delivered).secret == "p")
        #expect(try rig.report().counters == ["made": 1, "delivered": 1])
    }

    @Test func `an event that cannot be read at the start is counted, and its password goes`() throws {
        let rig = try Rig()
        rig.holdsChanges = true
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.post(TestEvent(id: "e2", user: "u2", password: "q", externalID: "E-2"))
        let database = try DatabaseQueue(path: "\(rig.folder.path)/journal/journal.sqlite")
        try database.write { try $0.execute(sql: "UPDATE events SET body = x'00' WHERE seq = 1") }
        try database.close()
        try rig.restart(killed: true)
        #expect(try rig.storedSecrets() == [2])
        #expect(try rig.answer(.delivered).secret == "q")
        #expect(rig.core.totals[CounterKey(slot: CounterKey.daemon, name: "damaged-events")] == 1)
        #expect(try rig.report().unreadable == ["events": 1])
    }

    @Test func `a secret that cannot be opened is a dead letter and holds nobody back`() throws {
        let rig = try Rig()
        try rig.loseWorker()
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.post(TestEvent(id: "e2", user: "u2", password: "q", externalID: "E-2"))
        try rig.flush()
        var changes = JournalChanges()
        changes.erasedSecrets = [1]
        try rig.journal.submit(changes)
        try rig.flush()
        try rig.restart()
        #expect(try rig.only().secret == "q")
        #expect(try rig.ended() == ["dead": 1])
    }
}
