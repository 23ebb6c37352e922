import EventModel
import Foundation
import GRDB
import Journal
import Testing
import Workbench

struct TablesTests {
    private let folder: Folder
    private let journal: Journal

    init() throws {
        folder = try Folder()
        journal = try Journal(folder: folder.path)
        journal.start(Listener())
    }

    @Test func `a provider keeps its slot for ever`() throws {
        #expect(try journal.slot(for: "ldap") == 0)
        #expect(try journal.slot(for: "hr") == 1)
        #expect(try journal.slot(for: "ldap") == 0)
        #expect(try journal.providers() == [0: "ldap", 1: "hr"])
        try journal.close()
        let again = try Journal(folder: folder.path)
        #expect(try again.slot(for: "hr") == 1)
        #expect(try again.slot(for: "feed") == 2)
        try again.close()
    }

    @Test func `a paused provider stays paused`() throws {
        #expect(try journal.pausedSlots().isEmpty)
        for slot in [0, 1, 1_023] { try journal.setPaused(true, slot: slot) }
        try journal.setPaused(false, slot: 1)
        try journal.close()
        let again = try Journal(folder: folder.path)
        #expect(try again.pausedSlots() == [0, 1_023])
        try again.close()
    }

    @Test func `slots are given while the writer is busy`() throws {
        for index in 0..<200 {
            try journal.submit(.sample("e\(index)"), group: nil, token: 0)
            #expect(try journal.slot(for: "p\(index)") == index)
        }
        try journal.close()
    }

    @Test func `the slots are not endless`() throws {
        for index in 0..<1_024 { #expect(try journal.slot(for: "p\(index)") == index) }
        #expect(throws: JournalError.tooManyProviders) { try journal.slot(for: "one more") }
        try journal.close()
    }

    @Test func `a subject is found by its key and by its number`() throws {
        let subject = SubjectRow(number: 4, key: Hash128(9, 8), state: [1])
        try journal.commit { $0.subjects = [subject] }
        #expect(try journal.subject(key: Hash128(9, 8)) == subject)
        #expect(try journal.subject(4) == subject)
        #expect(try journal.subject(5) == nil)
        try journal.commit { $0.subjects = [SubjectRow(number: 4, key: Hash128(9, 8), state: [2])] }
        #expect(try journal.subject(4)?.state == [2])
        #expect(try journal.largestSubject() == 4)
        var seen: [Int64] = []
        try journal.forEachSubject { number, _ in seen.append(number) }
        #expect(seen == [4])
        try journal.close()
    }

    @Test func `an external id is looked up by all of it, however many bindings the provider has`() throws {
        try journal.close()
        let plan = try DatabaseQueue(path: "\(folder.path)/journal.sqlite").read { db in
            try Row.fetchAll(
                db, sql: "EXPLAIN QUERY PLAN SELECT * FROM bindings \(Journal.byExternalID)", arguments: [0, 0]
            ).map { $0["detail"] as String }
        }
        #expect(plan == ["SEARCH bindings USING INDEX bindings_by_external (slot=? AND external=?)"])
    }

    @Test func `an account has one owner; the second claimant is left out and named`() throws {
        let first = Self.binding(subject: 1, account: 100)
        let second = Self.binding(subject: 2, account: 100)
        #expect(try journal.commit { $0.bindings = [.put(first)] }.refusedBindings.isEmpty)
        // The rest of the changes is written.
        let result = try journal.commit {
            $0.bindings = [.put(second)]
            $0.fannedOutThrough = 3
        }
        #expect(result.refusedBindings == [second])
        #expect(try journal.progress() == (3, 0))
        #expect(try journal.binding(slot: 1, subject: 2) == nil)
        #expect(try journal.binding(slot: 1, account: Hash128(0, 100)) == first)
        // The same account at another provider is another account.
        let elsewhere = Self.binding(slot: 2, subject: 2, account: 100)
        #expect(try journal.commit { $0.bindings = [.put(elsewhere)] }.refusedBindings.isEmpty)
        // The owner may change; released, the account is free.
        let moved = Self.binding(subject: 1, account: 101)
        #expect(try journal.commit { $0.bindings = [.put(moved), .put(second)] }.refusedBindings.isEmpty)
        #expect(try journal.binding(slot: 1, subject: 1) == moved)
        #expect(try journal.bindings(slot: 1, external: Hash128(7, 7)) == [moved, second])
        #expect(try journal.bindings(slot: 1, after: 1, limit: 10) == [second])
        try journal.commit { $0.bindings = [.remove(slot: 1, subject: 1)] }
        #expect(try journal.binding(slot: 1, subject: 1) == nil)
        try journal.close()
    }

    @Test func `dead letters are listed by provider, subject, reason and page`() throws {
        let letters = (1...6).map { number in
            DeadLetter(
                id: DeliveryKey(sequence: Int64(number), slot: number % 2, deliveryClass: .credential),
                subject: Int64(number % 3), kind: .passwordUpdated, at: Timestamp(milliseconds: 1_000), attempt: 2,
                reason: number == 6 ? "unknown" : "refused", detail: [0xFC, UInt8(number)], generation: 1)
        }
        try journal.commit { $0.deadLetters = letters.map { .put($0) } }
        #expect(try journal.deadLetters() == letters)
        func list(_ fill: (inout DeadLetterFilter) -> Void) throws -> [Int64] {
            var filter = DeadLetterFilter()
            fill(&filter)
            return try journal.deadLetters(filter).map(\.id.sequence)
        }
        #expect(try list { $0.slot = 1 } == [1, 3, 5])
        #expect(try list { $0.subject = 0 } == [3, 6])
        #expect(try list { $0.reason = "unknown" } == [6])
        #expect(
            try list {
                $0.slot = 0; $0.reason = "refused"
            } == [2, 4])
        #expect(try list { $0.limit = 2 } == [1, 2])
        #expect(try list { $0.after = letters[3].id } == [5, 6])
        try journal.commit { $0.deadLetters = [.remove(letters[0].id)] }
        #expect(try list { _ in } == [2, 3, 4, 5, 6])
        try journal.close()
    }

    @Test func `what the first version wrote of a dead letter in clear goes, and the letter stays`() throws {
        let letter = DeadLetter(
            id: DeliveryKey(sequence: 1, slot: 0, deliveryClass: .credential), subject: 1, kind: .passwordUpdated,
            at: Timestamp(milliseconds: 1), attempt: 2, reason: "refused", detail: [], generation: 3)
        try journal.commit { $0.deadLetters = [.put(letter)] }
        try journal.close()
        let queue = try DatabaseQueue(path: "\(folder.path)/journal.sqlite")
        try queue.write { db in
            try db.execute(
                sql: """
                    DELETE FROM grdb_migrations WHERE identifier IN ('2', '3');
                    DROP INDEX events_by_key;
                    DROP INDEX secrets_by_key;
                    DROP INDEX dead_letters_by_key;
                    ALTER TABLE dead_letters RENAME TO newer;
                    CREATE TABLE dead_letters(
                        did INTEGER PRIMARY KEY, sid INTEGER NOT NULL, kind INTEGER NOT NULL, at INTEGER NOT NULL,
                        attempt INTEGER NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, key INTEGER NOT NULL);
                    INSERT INTO dead_letters
                        SELECT did, sid, kind, at, attempt, reason, 'u1@corp.example is locked', key FROM newer;
                    DROP TABLE newer;
                    """)
        }
        try queue.close()
        let again = try Journal(folder: folder.path)
        #expect(try again.deadLetters() == [letter])
        try again.close()
        #expect(!contents(of: "\(folder.path)/journal.sqlite").contains(Array("u1@corp.example".utf8)))
    }

    @Test func `how far fan-out and folding went comes back, each by itself`() throws {
        #expect(try journal.progress() == (0, 0))
        try journal.commit { $0.fannedOutThrough = 9 }
        try journal.commit { $0.foldedThrough = 7 }
        #expect(try journal.progress() == (9, 7))
        #expect(try journal.clock() == nil)
        let clock = ClockWatch.Memory(
            trusted: Timestamp(milliseconds: 5), seen: Timestamp(milliseconds: 6), patienceLeft: 7)
        try journal.commit { $0.clock = clock }
        #expect(try journal.clock() == clock)
        try journal.close()
    }

    @Test func `deliveries and dead letters are found one by one and by provider`() throws {
        let rows = (1...4).map { number in
            DeliveryRow(
                id: DeliveryKey(sequence: Int64(number), slot: number % 2, deliveryClass: .profile), subject: 1,
                kind: .profileUpdated)
        }
        let letter = DeadLetter(
            id: rows[0].id, subject: 1, kind: .profileUpdated, at: Timestamp(milliseconds: 1), attempt: 1,
            reason: "refused", detail: [])
        try journal.commit {
            $0.deliveries = rows.map { .begin($0) }
            $0.deadLetters = [.put(letter)]
        }
        #expect(try journal.deliveries(limit: 3) == Array(rows[..<3]))
        #expect(try journal.deliveries(slot: 0, limit: 10) == [rows[1], rows[3]])
        #expect(try journal.deliveries(after: rows[1].id, limit: 1) == [rows[2]])
        #expect(try journal.deliveries(kind: .logout, limit: 10).isEmpty)
        #expect(try journal.countDeliveries() == 4)
        #expect(try journal.countDeliveries(slot: 0, kind: .profileUpdated) == 2)
        var filter = DeadLetterFilter()
        #expect(try journal.countDeadLetters(filter) == 1)
        filter.kind = .logout
        #expect(try journal.countDeadLetters(filter) == 0)
        #expect(try journal.deadLetters(filter).isEmpty)
        #expect(try journal.delivery(rows[2].id) == rows[2])
        #expect(try journal.delivery(DeliveryKey(rawValue: 1)) == nil)
        #expect(try journal.deadLetter(letter.id) == letter)
        #expect(try journal.deadLetter(rows[1].id) == nil)
        try journal.close()
    }

    @Test func `an event may go when it is old and no delivery or dead letter names it`() throws {
        let events = (1...6).map { EventRecord.sample("e\($0)", secret: [UInt8($0)]) }
        try journal.submit(events, group: nil, token: 0)
        let delivery = DeliveryKey(sequence: 3, slot: 1_023, deliveryClass: .notification)
        let letter = DeadLetter(
            id: DeliveryKey(sequence: 5, slot: 0, deliveryClass: .credential), subject: 1, kind: .passwordUpdated,
            at: Timestamp(milliseconds: 1), attempt: 1, reason: "refused", detail: [])
        try journal.commit {
            $0.deliveries = [.begin(DeliveryRow(id: delivery, subject: 1, kind: .passwordUpdated))]
            $0.deadLetters = [.put(letter)]
        }
        func retirable(
            through last: Int64 = 5, from first: Int64 = 0, atMost: Int = 10
        ) throws -> RetirableEvents {
            try journal.retirableEvents(through: last, from: first, atMost: atMost)
        }
        #expect(try retirable().ranges == [1...2, 4...4])
        #expect(try retirable(through: 0).ranges.isEmpty)
        #expect(try retirable(through: 1).ranges == [1...1])
        // In portions, one after the other.
        #expect(try retirable(atMost: 1) == RetirableEvents(ranges: [1...1], next: 2))
        #expect(try retirable(from: 2, atMost: 2) == RetirableEvents(ranges: [2...2], next: 4))
        #expect(try retirable(from: 4) == RetirableEvents(ranges: [4...4], next: nil))
        // What secrets they have left go along.
        try journal.commit { $0.endedEvents = [1...2] }
        #expect(try journal.eventsWithSecrets() == [3, 4, 5, 6])
        #expect(try retirable().ranges == [4...4])
        try journal.commit { $0.deliveries = [.end(delivery)] }
        #expect(try retirable().ranges == [3...4])
        try journal.commit {
            $0.endedEvents = [3...4]
            $0.deadLetters = [.remove(letter.id)]
        }
        #expect(try retirable() == RetirableEvents(ranges: [5...5], next: nil))
        var ids: [String] = []
        try journal.forEachEvent(after: 5) { ids.append($0.id) }
        #expect(ids == ["e6"])
        try journal.close()
    }

    @Test func `a search for events to retire reads indexes at their left edge`() throws {
        try journal.close()
        let database = try DatabaseQueue(path: "\(folder.path)/journal.sqlite")
        for query in Journal.retiring {
            let plan = try database.read { db in
                try Row.fetchAll(db, sql: "EXPLAIN QUERY PLAN \(query)", arguments: [0]).map { $0["detail"] as String }
            }
            let reads = plan.filter { $0.hasPrefix("SEARCH") || $0.hasPrefix("SCAN") }
            // What UNION ALL puts together is a row of each.
            let isShort = reads.allSatisfy {
                $0.hasSuffix("USING INTEGER PRIMARY KEY (rowid>?)") || $0.hasPrefix("SCAN (subquery")
            }
            #expect(!reads.isEmpty && isShort, "\(plan)")
        }
    }

    @Test func `an event is never taken for unneeded while its dead letter becomes a delivery again`() throws {
        try journal.submit((1...2).map { .sample("e\($0)") }, group: nil, token: 0)
        let id = DeliveryKey(sequence: 1, slot: 0, deliveryClass: .profile)
        let row = DeliveryRow(id: id, subject: 1, kind: .profileUpdated)
        let letter = DeadLetter(
            id: id, subject: 1, kind: .profileUpdated, at: Timestamp(milliseconds: 1), attempt: 1, reason: "refused",
            detail: [])
        try journal.commit { $0.deadLetters = [.put(letter)] }
        let isOver = Watched(false)
        let reader = Watched<[RetirableEvents]?>(nil)
        let journal = journal
        Thread.detachNewThread {
            var wrong: [RetirableEvents] = []
            while !isOver.current {
                guard let found = try? journal.retirableEvents(through: 1, atMost: 10) else { break }
                if !found.ranges.isEmpty { wrong.append(found) }
            }
            reader.change { [wrong] in $0 = wrong }
        }
        for _ in 0..<60 {
            try journal.commit {
                $0.deadLetters = [.remove(id)]
                $0.deliveries = [.begin(row)]
            }
            try journal.commit {
                $0.deadLetters = [.put(letter)]
                $0.deliveries = [.end(id)]
            }
        }
        isOver.change { $0 = true }
        #expect(try reader.wait { $0 != nil }?.isEmpty == true)
        try journal.close()
    }

    @Test func `events are old one after the other, whatever a clock that was set back has stamped`() throws {
        func post(_ stamps: [Int64]) throws {
            let events = stamps.map { stamp in
                var record = EventRecord.sample("at \(stamp)")
                record.received = Timestamp(milliseconds: stamp)
                return record
            }
            try journal.submit(events, group: nil, token: 0)
            try journal.commit { _ in }
        }
        // The clock ran ahead for the fourth and fifth, and was set back.
        try post([100, 110, 120, 900, 910, 130, 140, 150, 160])
        var old = OldEvents()
        func through(_ moment: Int64, now: Int64, limit: Int = 100) throws -> Int64 {
            try journal.advance(
                &old, receivedBefore: Timestamp(milliseconds: moment), now: Timestamp(milliseconds: now), limit: limit)
            return old.through
        }
        #expect(try through(100, now: 1_000) == 0)
        #expect(try through(115, now: 1_000) == 2)
        // Behind those that seem young nothing is old yet, though its stamp is.
        #expect(try through(155, now: 1_000) == 3)
        #expect(try through(905, now: 1_000) == 4)
        #expect(try through(920, now: 1_000) == 9)
        // A moment that has gone back takes nothing back.
        #expect(try through(100, now: 1_000) == 9)

        // A stamp that lies in the future is wrong: it holds nobody back, and ends nothing by itself.
        old = OldEvents()
        #expect(try through(125, now: 200) == 3)
        #expect(try through(145, now: 200) == 7)
        // In portions.
        old = OldEvents()
        #expect(try through(155, now: 200, limit: 2) == 2 && !old.isComplete)
        #expect(try through(155, now: 200, limit: 2) == 3 && !old.isComplete)
        #expect(try through(155, now: 200, limit: 2) == 6 && !old.isComplete)
        #expect(try through(155, now: 200, limit: 2) == 8 && !old.isComplete)
        #expect(try through(155, now: 200, limit: 2) == 8 && old.isComplete)
        // However many wrong stamps lie in a row, with nothing behind them; once they are old, their events are.
        try post([900, 910, 920])
        #expect(try through(200, now: 300, limit: 2) == 9 && !old.isComplete)
        #expect(try through(200, now: 300, limit: 2) == 9 && old.isComplete)
        #expect(try through(915, now: 1_000) == 11 && old.isComplete)
        try journal.close()
    }

    @Test func `ten thousand events behind an old dead letter go, and room is counted without them`() throws {
        try journal.close()
        let letter = DeadLetter(
            id: DeliveryKey(sequence: 1, slot: 0, deliveryClass: .credential), subject: 1, kind: .passwordUpdated,
            at: Timestamp(milliseconds: 1), attempt: 1, reason: "refused", detail: [])
        var limits = JournalLimits()
        limits.events = 10_002
        for round in 0..<2 {
            let journal = try Journal(folder: folder.path, limits: limits)
            let listener = Listener()
            journal.start(listener)
            try journal.submit((0...10_000).map { .sample("\(round)-\($0)") }, group: listener, token: 0)
            try listener.heard.wait { !$0.results.isEmpty }
            try journal.commit { if round == 0 { $0.deadLetters = [.put(letter)] } }
            var next: Int64? = 0
            var portions = 0
            let last = try #require(try journal.sequenceBounds()).upperBound
            while let from = next, portions < 4 {
                let found = try journal.retirableEvents(through: last, from: from, atMost: 4_096)
                try journal.commit { $0.endedEvents = found.ranges }
                next = found.next
                portions += 1
            }
            #expect(portions == 3)
            var left: [Int64] = []
            try journal.forEachEventID { left.append($0.sequence) }
            let newest = try #require(try journal.sequenceBounds()).upperBound
            #expect(left == [1, newest])
            // Full, if those that went still counted.
            try journal.submit(.sample("last of \(round)"), group: nil, token: 0)
            try journal.commit { _ in }
            try journal.submit(.sample("very last of \(round)"), group: nil, token: 0)
            try journal.close()
        }
    }

    @Test func `what needs a data key is known exactly, however old the rest is`() throws {
        func header(_ key: UInt8) -> [UInt8] { [1, 0, 0, 0, key] }
        func needed() throws -> [UInt8] {
            try (1...5).filter { try journal.holdsSealed(header: header($0)) }
        }
        try journal.submit(
            [
                .sample("e1", body: header(1) + [9]), .sample("e2", body: header(2), secret: header(3) + [9, 9]),
                .sample("e3", body: header(5)),
            ], group: nil, token: 0)
        let letter = DeadLetter(
            id: DeliveryKey(sequence: 1, slot: 0, deliveryClass: .credential), subject: 1, kind: .passwordUpdated,
            at: Timestamp(milliseconds: 1), attempt: 1, reason: "refused", detail: header(4) + [9])
        try journal.commit { $0.deadLetters = [.put(letter)] }
        #expect(try needed() == [1, 2, 3, 4, 5])
        try journal.commit { $0.erasedSecrets = [2] }
        #expect(try needed() == [1, 2, 4, 5])
        try journal.commit { $0.endedEvents = [2...2] }
        #expect(try needed() == [1, 4, 5])
        var renewed = letter
        renewed.detail = header(5)
        try journal.commit { $0.deadLetters = [.put(renewed)] }
        #expect(try needed() == [1, 5])
        try journal.close()
    }

    @Test func `what needs a data key is looked up in indexes, also in a journal that was made without them`() throws {
        try journal.submit(.sample("e1", body: [1, 0, 0, 0, 7, 9]), group: nil, token: 0)
        try journal.close()
        let database = try DatabaseQueue(path: "\(folder.path)/journal.sqlite")
        try database.write { db in
            try db.execute(
                sql: """
                    DELETE FROM grdb_migrations WHERE identifier = '3';
                    DROP INDEX events_by_key;
                    DROP INDEX secrets_by_key;
                    DROP INDEX dead_letters_by_key;
                    """)
        }
        try database.close()
        let again = try Journal(folder: folder.path)
        #expect(try again.holdsSealed(header: [1, 0, 0, 0, 7]))
        #expect(try !again.holdsSealed(header: [1, 0, 0, 0, 8]))
        try again.close()
        let plan = try DatabaseQueue(path: "\(folder.path)/journal.sqlite").read { db in
            try Row.fetchAll(db, sql: "EXPLAIN QUERY PLAN \(Journal.sealedUnderKey)", arguments: [Data()])
                .map { $0["detail"] as String }
        }
        let reads = plan.filter { $0.hasPrefix("SEARCH") || $0.hasPrefix("SCAN") && $0 != "SCAN CONSTANT ROW" }
        #expect(
            reads
                == ["events", "secrets", "dead_letters"].map { "SEARCH \($0) USING INDEX \($0)_by_key (<expr>=?)" })
    }

    @Test func `data keys and counters come back`() throws {
        let keys = [1, 2].map { id in
            DataKeyRow(id: id, purpose: 1, ringKey: 3, created: Timestamp(milliseconds: 9), wrapped: [UInt8(id)])
        }
        try journal.commit {
            $0.dataKeys = keys.map { .put($0) }
            $0.counters = [CounterKey(slot: 0, name: "skipped: opted out"): 4]
        }
        #expect(try journal.dataKeys() == keys)
        try journal.commit {
            $0.dataKeys = [.remove(1)]
            $0.counters = [CounterKey(slot: 0, name: "skipped: opted out"): -1]
        }
        #expect(try journal.dataKeys() == [keys[1]])
        #expect(try journal.counters() == [CounterKey(slot: 0, name: "skipped: opted out"): 3])
        try journal.close()
    }

    @Test func `events are read in pages, ids in one sweep`() throws {
        try journal.submit(
            (1...5).map { .sample("e\($0)", secret: $0 == 3 ? [9, 8, 7] : nil) }, group: nil, token: 0)
        try journal.commit { _ in }
        #expect(try journal.events(after: 2, limit: 2).map(\.id) == ["e3", "e4"])
        #expect(try journal.events(after: 2, limit: 2).map(\.secret) == [[9, 8, 7], nil])
        var ids: [String] = []
        try journal.forEachEventID { ids.append($0.id) }
        #expect(ids == ["e1", "e2", "e3", "e4", "e5"])
        #expect(try journal.eventsWithSecrets() == [3])
        #expect(try journal.event(99) == nil)
        #expect(try journal.findDamage().isEmpty)
        try journal.close()
    }

    private static func binding(slot: Int = 1, subject: Int64, account: UInt64) -> Binding {
        Binding(
            slot: slot, subject: subject, account: Hash128(0, account), external: Hash128(7, 7), state: [1],
            at: Timestamp(milliseconds: 1))
    }
}
