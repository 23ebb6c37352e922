import EventModel
import Journal
import Testing

@testable import Delivery

/// What operators may do with what waits, and with what ended badly.
struct OperatorTests {
    private func refused(_ rig: Rig, _ event: TestEvent) throws -> Int64 {
        let sequence = try rig.post(event)
        let request = try #require(rig.requests().last)
        try rig.answer(request, Completion(.refused, detail: "no"))
        try rig.flush()
        return DeliveryKey(sequence: sequence, slot: 0, deliveryClass: event.kind.deliveryClass).rawValue
    }

    @Test func `a retry by hand gets a key of its own, which outlives a restart`() throws {
        let rig = try Rig()
        let id = try refused(rig, TestEvent(id: "e1", password: "p"))
        try rig.core.retry(id, now: rig.now)
        try rig.turn()
        #expect(try rig.only().idempotencyKey == "e1:provider-0:credential:1:1")
        try rig.restart()
        #expect(try rig.answer(.retry).idempotencyKey == "e1:provider-0:credential:1:1")
        try rig.restart()
        try rig.advance(1_000)
        #expect(try rig.answer(.refused).idempotencyKey == "e1:provider-0:credential:1:1")
        try rig.flush()
        try rig.core.retry(id, now: rig.now)
        try rig.turn()
        #expect(try rig.answer(.delivered).idempotencyKey == "e1:provider-0:credential:1:2")
        #expect(try rig.ended() == ["delivered": 1])
        #expect(try rig.storedSecrets().isEmpty)
        #expect(try rig.report().unaccounted == 0)
    }

    @Test func `what was too old before a restart is a dead letter again when its retry by hand fails`() throws {
        let rig = try Rig([.test(giveUpAfter: 60_000)])
        let id = try refused(rig, TestEvent(id: "e1", password: "p"))
        try rig.sleep(120_000)
        try rig.restart()
        try rig.core.retry(id, now: rig.now)
        try rig.turn()
        try rig.answer(.retry)
        #expect(try rig.ended() == ["dead": 1])
        #expect(try rig.report().unaccounted == 0)
    }

    @Test func `a provider that was paused sends nothing after a restart either`() throws {
        let rig = try Rig()
        try rig.journal.setPaused(true, slot: try rig.core.pause("provider-0", true, now: rig.now))
        try rig.post(TestEvent(id: "e1", password: "p"))
        #expect(try rig.report().state == "paused")
        try rig.restart()
        #expect(try rig.report().state == "paused")
        #expect(rig.requests().isEmpty)
        try rig.journal.setPaused(false, slot: try rig.core.pause("provider-0", false, now: rig.now))
        try rig.restart()
        #expect(try rig.answer(.delivered).secret == "p")
    }

    /// A rig whose provider is held back for minutes, with one waiting delivery and its number.
    private func heldBack() throws -> (Rig, Int64) {
        let rig = try Rig()
        let sequence = try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.answer(.misconfigured, detail: "bad bind")
        for _ in 0..<12 {
            try rig.advance(300_000)
            try rig.answerCheck(.misconfigured)
        }
        try rig.flush()
        #expect(rig.core.idleTime(now: rig.now) > 2_000)
        return (rig, DeliveryKey(sequence: sequence, slot: 0, deliveryClass: .credential).rawValue)
    }

    @Test func `a retry by hand asks a target that is held back at once, and often again for a while`() throws {
        let (rig, id) = try heldBack()
        let report = try rig.core.retry(id, now: rig.now)
        #expect(report.done == 1)
        #expect(
            report.held["provider-0"]
                == "provider provider-0 is held back (misconfigured: check); its target is asked now, then one "
                + "delivery is tried")
        try rig.turn()
        try rig.answerCheck(.misconfigured)
        try rig.advance(1_000)
        try rig.answerCheck(.delivered)
        #expect(try rig.answer(.delivered).secret == "p")
    }

    @Test func `so does a retry of many, and a provider that is resumed`() throws {
        let (rig, _) = try heldBack()
        var report = BulkReport()
        var pace = RetryPace()
        try rig.core.retry(rig.page(), report: &report, pace: &pace, now: rig.now)
        #expect(report.done == 1 && report.held.count == 1)
        try rig.turn()
        try rig.answerCheck(.delivered)
        #expect(rig.requests().count == 1)

        let (other, _) = try heldBack()
        _ = try other.core.pause("provider-0", false, now: other.now)
        try other.turn()
        try other.answerCheck(.delivered)
        #expect(other.requests().count == 1)
    }

    @Test func `who retries is told what keeps it from being sent`() throws {
        let rig = try Rig()
        let id = try refused(rig, TestEvent(id: "e1", password: "p"))
        try rig.loseWorker()
        #expect(
            try rig.core.retry(id, now: rig.now).held
                == ["provider-0": "provider provider-0 has no worker; its deliveries wait until it has one"])
        try rig.turn()
        try rig.flush()
        rig.core.providers[0].route.obstacle = "no such plugin"
        #expect(try rig.core.retry(id, now: rig.now).held["provider-0"]?.contains("no worker (no such plugin)") == true)
        rig.core.providers[0].route.obstacle = nil
        rig.core.providers[0].route.targeting.providerIsOn = false
        #expect(try rig.core.retry(id, now: rig.now).held["provider-0"]?.contains("switched off") == true)
        rig.core.providers[0].route.targeting.providerIsOn = true
        rig.connect()
        #expect(try rig.core.retry(id, now: rig.now).held.isEmpty)
        _ = try rig.core.pause("provider-0", true, now: rig.now)
        #expect(
            try rig.core.retry(id, now: rig.now).held
                == [
                    "provider-0":
                        "provider provider-0 is paused; `runtime-sync providers resume provider-0` lets its deliveries go"
                ])
        try rig.restart(routes: [.test(1)])
        #expect(throws: CommandError.notConfigured(id, provider: "provider-0")) { try rig.core.retry(id, now: rig.now) }
        var report = BulkReport()
        var pace = RetryPace()
        try rig.core.retry(rig.page(), report: &report, pace: &pace, now: rig.now)
        #expect(report.refused == ["provider provider-0 is not in the settings any more; it can be dropped": 1])
    }

    @Test func `two hands that retry the same dead letter deliver it once`() throws {
        let rig = try Rig()
        let id = try refused(rig, TestEvent(id: "e1", kind: .logout))
        rig.holdsChanges = true
        try rig.core.retry(id, now: rig.now)
        #expect(throws: CommandError.self) { try rig.core.retry(id, now: rig.now) }
        #expect(throws: CommandError.self) { try rig.core.drop(id, now: rig.now) }
        try rig.turn()
        try rig.answer(.delivered)
        #expect(try rig.ended() == ["delivered": 1])
        #expect(try rig.report().unaccounted == 0)
    }

    @Test func `an outdated profile is not tried again, and the newer one stays`() throws {
        let rig = try Rig()
        let id = try refused(rig, TestEvent(id: "e1", kind: .profileUpdated, sequence: 1, email: "old@x"))
        try rig.loseWorker()
        try rig.post(TestEvent(id: "e2", kind: .profileUpdated, sequence: 2, email: "new@x"))
        #expect(throws: CommandError.outdated(id)) { try rig.core.retry(id, now: rig.now) }
        rig.connect()
        try rig.turn()
        #expect(try rig.only().attributes?.contains("new@x") == true)
    }

    @Test func `a newer password ends the one in a dead letter, also after a restart`() throws {
        let rig = try Rig()
        let id = try refused(rig, TestEvent(id: "e1", password: "p", sequence: 1))
        try rig.post(TestEvent(id: "e2", password: "q", sequence: 2))
        try rig.answer(.delivered)
        #expect(try rig.storedSecrets().isEmpty)
        #expect(throws: CommandError.needsNewPassword(id)) { try rig.core.retry(id, now: rig.now) }
        try rig.restart()
        #expect(try rig.core.show(id, now: rig.now).hasSecret == false)
        #expect(throws: CommandError.needsNewPassword(id)) { try rig.core.retry(id, now: rig.now) }
    }

    @Test func `a dead letter keeps its password for a day, running or not`() throws {
        let rig = try Rig()
        let id = try refused(rig, TestEvent(id: "e1", password: "p"))
        try rig.advance(86_399_999)
        #expect(try rig.storedSecrets().count == 1)
        try rig.advance(60_000)
        #expect(try rig.storedSecrets().isEmpty)
        #expect(throws: CommandError.needsNewPassword(id)) { try rig.core.retry(id, now: rig.now) }

        let other = try Rig()
        _ = try refused(other, TestEvent(id: "e1", password: "p"))
        try other.sleep(2 * 86_400_000)
        try other.restart()
        // Nobody can tell a long stop from a clock that jumped; after a day the clock is trusted.
        #expect(try other.storedSecrets().count == 1)
        try other.advance(ClockWatch.patience)
        #expect(try other.storedSecrets().isEmpty)
    }

    @Test func `a dead letter's password stays at a start while another one of the event has not had its day`() throws {
        let rig = try Rig([.test(0), .test(1)])
        try rig.loseWorker(1)
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.answer(.refused)
        try rig.advance(80_000_000)
        rig.connect()
        try rig.turn()
        try rig.answer(.refused, slot: 1)
        try rig.advance(10_000_000)
        try rig.flush()
        try rig.restart()
        #expect(try rig.storedSecrets().count == 1)
        let letters = try rig.journal.deadLetters()
        #expect(try letters.map { try rig.core.show($0.id.rawValue, now: rig.now).hasSecret } == [false, true])
    }

    @Test func `a dead letter that is tried again when it is too old to wait is a dead letter again`() throws {
        let rig = try Rig([.test(giveUpAfter: 60_000)])
        let id = try refused(rig, TestEvent(id: "e1", password: "p"))
        try rig.advance(120_000)
        try rig.core.retry(id, now: rig.now)
        try rig.turn()
        // What is too old ends at a start, but not this.
        try rig.restart()
        #expect(try rig.answer(.retry, detail: "later").secret == "p")
        #expect(try rig.ended() == ["dead": 1])
        try rig.flush()
        let report = try rig.core.show(id, now: rig.now)
        #expect(report.reason == "expired" && report.detail == "later" && report.hasSecret == true)
        try rig.core.retry(id, now: rig.now)
        try rig.turn()
        try rig.answer(.delivered)
        #expect(try rig.ended() == ["delivered": 1])
        #expect(try rig.storedSecrets().isEmpty)
        #expect(try rig.report().unaccounted == 0)
    }

    @Test func `a dead letter that is tried again when it is too old gives way to a newer one that waits`() throws {
        let rig = try Rig([.test(giveUpAfter: 60_000)])
        let id = try refused(rig, TestEvent(id: "e1", kind: .profileUpdated, sequence: 1, email: "old@x"))
        try rig.advance(120_000)
        try rig.core.retry(id, now: rig.now)
        try rig.turn()
        try rig.post(TestEvent(id: "e2", kind: .profileUpdated, sequence: 2, email: "new@x"))
        #expect(try rig.answer(.retry).attributes?.contains("old@x") == true)
        #expect(try rig.ended() == ["superseded": 1])
        #expect(try rig.answer(.delivered).attributes?.contains("new@x") == true)
        try rig.flush()
        #expect(try rig.journal.deadLetters().isEmpty)
        #expect(try rig.report().unaccounted == 0)
    }

    @Test func `what is dropped is counted, and its password is gone`() throws {
        let rig = try Rig()
        let dead = try refused(rig, TestEvent(id: "e1", password: "p"))
        try rig.core.drop(dead, now: rig.now)
        try rig.turn()
        try rig.loseWorker()
        let waiting = try rig.post(TestEvent(id: "e2", user: "u2", password: "q", externalID: "E-2"))
        try rig.flush()
        let key = DeliveryKey(sequence: waiting, slot: 0, deliveryClass: .credential)
        try rig.core.drop(key.rawValue, now: rig.now)
        try rig.turn()
        #expect(try rig.ended() == ["dropped:operator": 2])
        #expect(try rig.storedSecrets().isEmpty)
        #expect(try rig.report().unaccounted == 0)
    }

    @Test func `the queue shows what waits, what is in flight and what is dead`() throws {
        let rig = try Rig([.test(window: 1)])
        let dead = try refused(rig, TestEvent(id: "e1", password: "p"))
        for user in 2...3 {
            try rig.post(TestEvent(id: "e\(user)", user: "u\(user)", password: "q", externalID: "E-\(user)"))
        }
        try rig.post(TestEvent(id: "e4", kind: .logout, user: "u4", externalID: "E-4"))
        try rig.flush()
        let reports = try rig.core.describe(rig.page(), now: rig.now)
        #expect(reports.map(\.state) == ["in flight", "waiting", "waiting", "dead"])
        #expect(reports.map(\.user) == ["u2", "u3", "u4", "u1"])
        #expect(reports.map(\.hasSecret) == [true, true, nil, true])
        #expect(reports.last?.id == dead && reports.last?.detail == "no")
        #expect(throws: CommandError.inFlight(reports[0].id)) { try rig.core.drop(reports[0].id, now: rig.now) }
    }

    @Test func `what a removed provider left is dropped with one look each, and nothing of it is read again`() throws {
        let rig = try Rig([.test(0), .test(1)])
        try rig.loseWorker(1)
        for number in 1...3 {
            try rig.post(
                TestEvent(id: "e\(number)", user: "u\(number)", password: "p", externalID: "E-\(number)"))
            try rig.answer(.delivered, slot: 0)
        }
        try rig.restart(routes: [.test(0)])
        #expect(rig.core.orphans.count == 3)
        #expect(try rig.core.slot(of: "provider-1") == 1)
        let page = try rig.page()
        let reports = try rig.core.describe(page, now: rig.now)
        #expect(Set(reports.map(\.provider)) == ["provider-1"])
        #expect(Set(reports.map(\.reason)) == ["its provider is not in the settings"])
        let id = try #require(page.waiting.first).id.rawValue
        #expect(throws: CommandError.notConfigured(id, provider: "provider-1")) {
            try rig.core.retry(id, now: rig.now)
        }
        try rig.flush()
        // From here on a read would fail.
        try rig.journal.close()
        var report = BulkReport()
        try rig.core.drop(page, report: &report, now: rig.now)
        #expect(report.done == 3 && report.refused.isEmpty)
        #expect(rig.core.orphans.isEmpty && rig.core.secretUses.isEmpty)
    }

    @Test func `what a removed provider left ends with a newer state or the user, and its secret with it`() throws {
        let rig = try Rig([.test(0), .test(1), .test(2)])
        try rig.loseWorker(1)
        try rig.loseWorker(2)
        for (number, user) in ["u1", "u2", "u3"].enumerated() {
            let old = try rig.post(
                TestEvent(id: "e\(number)", user: user, password: "old", sequence: 1, externalID: user))
            try rig.answer(.delivered)
            #expect(old > 0)
        }
        try rig.post(TestEvent(id: "p1", kind: .profileUpdated, user: "u1", sequence: 2, externalID: "u1"))
        try rig.answer(.delivered)
        try rig.post(TestEvent(id: "l1", kind: .logout, user: "u1", sequence: 3, externalID: "u1"))
        try rig.answer(.delivered)
        try rig.restart(routes: [.test(0)])
        #expect(try rig.storedSecrets().count == 3)

        // Nobody caught it, so it ends nothing; nor does one that is older.
        try rig.post(TestEvent(id: "n1", user: "u1", sequence: 4, externalID: "u1"))
        try rig.post(TestEvent(id: "o2", user: "u2", password: "older", sequence: 0, externalID: "u2"))
        #expect(try rig.storedSecrets().count == 3)
        try rig.post(TestEvent(id: "n2", user: "u1", password: "new", sequence: 5, externalID: "u1"))
        try rig.answer(.delivered)
        try rig.post(TestEvent(id: "d2", kind: .userDeleted, user: "u2", sequence: 6, externalID: "u2"))
        try rig.answer(.delivered)
        #expect(try rig.storedSecrets().count == 1)
        let left = try rig.core.report().dropFirst()
        #expect(left.map(\.name) == ["provider-1", "provider-2"])
        for report in left {
            #expect(report.state == "not in the settings" && report.waiting == 3 && report.unaccounted == 0)
            #expect(report.counters["superseded"] == 1 && report.counters["dropped:subject-deleted"] == 1)
            #expect(
                report.words.contains("3 deliveries wait for provider \(report.name), which is not in the settings"))
        }
        try rig.post(TestEvent(id: "p2", kind: .profileUpdated, user: "u1", sequence: 7, externalID: "u1"))
        try rig.answer(.delivered)

        // Whose settings come back has what is left.
        try rig.restart(routes: [.test(0), .test(1)])
        #expect(Set(rig.requests(1).map(\.event).map { $0.contains("\"u3\"") ? "u3" : "u1" }) == ["u3", "u1"])
        #expect(rig.requests(1).count == 2)
        #expect(try rig.core.report().map(\.name) == ["provider-0", "provider-1", "provider-2"])
    }

    @Test func `many are tried again at a bounded rate, and what cannot be is counted by its reason`() throws {
        let rig = try Rig([.test(window: 1_000)])
        for number in 1...250 {
            try rig.post(
                TestEvent(id: "e\(number)", user: "u\(number)", password: "p", externalID: "E-\(number)"))
        }
        for request in rig.requests() { try rig.answer(request, Completion(.refused, detail: "no")) }
        try rig.flush()
        let first = try #require(try rig.page().dead.first)
        rig.core.endDeadSecret(first.id, of: first.subject)
        try rig.flush()
        var report = BulkReport()
        var pace = RetryPace()
        try rig.core.retry(rig.page(), report: &report, pace: &pace, now: rig.now)
        #expect(report == BulkReport(done: 249, refused: ["needs a new password": 1]))
        try rig.turn()
        #expect(rig.requests().count == 1)
        try rig.advance(1_000)
        #expect(rig.requests().count == 101)
        // Over a restart, too.
        try rig.flush()
        try rig.restart()
        try rig.advance(500)
        #expect(rig.requests().count == 151)
        #expect(try rig.report().unaccounted == 0)
    }

    @Test func `what waits is tried sooner, what is in flight is left, and both kinds are given up together`() throws {
        let rig = try Rig([.test(window: 1)])
        _ = try refused(rig, TestEvent(id: "e1", password: "p"))
        try rig.post(TestEvent(id: "e2", user: "u2", password: "q", externalID: "E-2"))
        try rig.post(TestEvent(id: "e3", user: "u3", password: "r", externalID: "E-3"))
        try rig.flush()
        var report = BulkReport()
        try rig.core.drop(rig.page(), report: &report, now: rig.now)
        #expect(report == BulkReport(done: 2, refused: ["in flight": 1]))
        try rig.flush()
        #expect(try rig.ended() == ["dropped:operator": 2])
        #expect(try rig.report().unaccounted == 0)
    }
}

extension Rig {
    /// What the journal holds of the queue.
    func page() throws -> QueuePage {
        QueuePage(waiting: try journal.deliveries(limit: 1_000), dead: try journal.deadLetters(.all))
    }
}
