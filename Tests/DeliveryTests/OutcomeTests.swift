import Credentials
import EventModel
import Journal
import Testing

@testable import Delivery

/// What becomes of a delivery, by what its plugin answers.
struct OutcomeTests {
    @Test func `a password goes to every provider, and its secret is erased with the last delivery`() throws {
        let rig = try Rig([.test(0), .test(1)])
        let sequence = try rig.post(TestEvent(id: "e1", password: "canary-1"))
        for slot in 0...1 {
            let request = try rig.only(slot)
            #expect(request.secret == "canary-1")
            #expect(!request.event.contains("canary-1"))
            #expect(request.kind == "password.updated" && request.attempt == 1 && request.externalID == "E-1")
            #expect(request.isFirst && !request.isTemporary)
            #expect(request.idempotencyKey == "e1:provider-\(slot):credential:1")
        }
        try rig.answer(.delivered, slot: 0)
        #expect(try rig.storedSecrets() == [sequence])
        try rig.answer(.delivered, slot: 1)
        #expect(try rig.storedSecrets().isEmpty)
        for slot in 0...1 {
            let report = try rig.report(slot)
            #expect(report.counters["made"] == 1 && report.counters["delivered"] == 1)
            #expect(report.unaccounted == 0 && report.waiting == 0 && report.inFlight == 0)
        }
    }

    @Test func `a temporary password says so, also after a restart`() throws {
        let rig = try Rig([.test(takesTemporaryPasswords: true)])
        try rig.post(TestEvent(id: "e1", password: "p", isTemporary: true))
        #expect(try rig.only().isTemporary)
        try rig.restart()
        #expect(try rig.only().isTemporary)
    }

    @Test func `a temporary password is skipped where nobody would demand its change, and ends an older one`() throws {
        let rig = try Rig([.test(0), .test(1, takesTemporaryPasswords: true)])
        try rig.loseWorker(0)
        try rig.post(TestEvent(id: "e1", password: "old", sequence: 1))
        try rig.post(TestEvent(id: "e2", kind: .userCreated, password: "p", isTemporary: true, sequence: 2))
        rig.connect()
        try rig.turn()
        #expect(try rig.answer(.delivered).deliveryClass == .lifecycle)
        #expect(rig.requests().isEmpty)
        #expect(try rig.ended() == ["superseded": 1, "delivered": 1, "skipped:temporary-password": 1])
        #expect(try rig.report().unaccounted == 0)
    }

    @Test func `a temporary password that waits is skipped when the plugin has lost the means`() throws {
        let rig = try Rig([.test(takesTemporaryPasswords: true)])
        try rig.loseWorker()
        try rig.post(TestEvent(id: "e1", password: "p", isTemporary: true))
        try rig.restart(routes: [.test()])
        #expect(rig.requests().isEmpty)
        #expect(try rig.ended() == ["skipped:temporary-password": 1])
        #expect(try rig.storedSecrets().isEmpty)
    }

    @Test func `what is to be retried waits, and keeps its idempotency key`() throws {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e1", password: "p"))
        let first = try rig.answer(.retry, detail: "busy", retryAfter: 4_000)
        try rig.advance(3_999)
        #expect(rig.requests().isEmpty)
        try rig.advance(1)
        let second = try rig.only()
        #expect(second.attempt == 2)
        #expect(second.idempotencyKey == first.idempotencyKey)
    }

    @Test func `what is refused is a dead letter with the target's words`() throws {
        let rig = try Rig()
        let sequence = try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.answer(.refused, detail: "constraint violation")
        #expect(try rig.ended() == ["dead": 1])
        try rig.flush()
        let letter = try #require(try rig.journal.deadLetters().first)
        #expect(letter.reason == "refused")
        #expect(try rig.core.show(letter.id.rawValue, now: rig.now).detail == "constraint violation")
        // … which may name a person, and so are sealed, each for its own letter.
        #expect(!letter.detail.isEmpty && !String(decoding: letter.detail, as: UTF8.self).contains("violation"))
        #expect(throws: SealError.notAuthentic) {
            try rig.vault.openDetail(letter.detail, of: DeliveryKey(rawValue: letter.id.rawValue + 1))
        }
        #expect(try rig.storedSecrets() == [sequence])
        #expect(try rig.report().unaccounted == 0)
    }

    @Test func `an absent account is waited for, and a deleted one was deleted`() throws {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.answer(.absent)
        try rig.advance(59_999)
        #expect(rig.requests().isEmpty)
        try rig.advance(1)
        try rig.answer(.delivered)
        try rig.post(TestEvent(id: "e2", kind: .userDeleted, sequence: 2))
        try rig.answer(.absent)
        #expect(try rig.ended() == ["delivered": 2])
    }

    @Test func `while an account is absent the newest external id is looked for`() throws {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.answer(.absent)
        try rig.post(TestEvent(id: "e2", kind: .profileUpdated, sequence: 2, externalID: "E-2"))
        try rig.answer(.delivered)
        try rig.advance(60_000)
        #expect(try rig.only().externalID == "E-2")
    }

    @Test func `a newer password supersedes a waiting one, and waits for one in flight`() throws {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e1", password: "one", sequence: 1))
        let first = try rig.only()
        let second = try rig.post(TestEvent(id: "e2", password: "two", sequence: 2))
        let third = try rig.post(TestEvent(id: "e3", password: "three", sequence: 3))
        #expect(try rig.only().id == first.id)
        #expect(try rig.ended() == ["superseded": 1])
        #expect(try !rig.storedSecrets().contains(second))
        // The end of the first is unknown: it is not repeated, the newest goes.
        try rig.answer(first, Completion(.unknown))
        #expect(try rig.only().secret == "three")
        #expect(try rig.storedSecrets() == [third])
        try rig.answer(.delivered)
        #expect(try rig.ended() == ["superseded": 2, "delivered": 1])
        #expect(try rig.report().unaccounted == 0)
    }

    @Test func `a password that arrives late is not sent after a newer one`() throws {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e2", password: "two", sequence: 2))
        try rig.answer(.delivered)
        let late = try rig.post(TestEvent(id: "e1", password: "one", sequence: 1))
        #expect(rig.requests().isEmpty)
        #expect(try rig.ended() == ["superseded": 1, "delivered": 1])
        #expect(try !rig.storedSecrets().contains(late))
    }

    @Test func `a change that nobody caught is not delivered, and does not displace one that waits`() throws {
        let rig = try Rig()
        try rig.loseWorker()
        try rig.post(TestEvent(id: "e1", password: "one", sequence: 1))
        try rig.post(TestEvent(id: "e2", sequence: 2))
        rig.connect()
        try rig.turn()
        #expect(try rig.only().secret == "one")
        #expect(try rig.ended() == ["skipped:not-captured": 1])
    }

    @Test func `a plugin that is silent when a request is cancelled loses its worker before anything else is sent`()
        throws
    {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e1", password: "one", sequence: 1))
        let silent = try rig.only()
        try rig.post(TestEvent(id: "e2", password: "two", sequence: 2))
        try rig.advance(20_000)
        try rig.post(TestEvent(id: "e3", user: "u2", password: "other", externalID: "E-2"))
        let other = try #require(rig.requests().last)
        try rig.advance(10_000)
        #expect(rig.ports[0]?.cancelled == [silent.id])
        try rig.advance(5_000)
        #expect(rig.ports[0]?.restarted == [1])
        #expect(try rig.report().state == "no worker")
        // Until its process has ended the first one may be going on: neither the newer password goes, nor anything else.
        try rig.post(TestEvent(id: "e4", user: "u3", password: "third", externalID: "E-3"))
        try rig.advance(60_000)
        #expect(rig.requests().map(\.secret) == ["one", "other"])
        #expect(rig.ports[0]?.restarted == [1])
        // What is answered in its last moments counts.
        try rig.answer(other, Completion(.delivered))
        try rig.loseWorker()
        rig.connect()
        try rig.turn()
        #expect(Set(rig.requests().map(\.secret)) == ["two", "third"])
        #expect(try rig.ended() == ["superseded": 1, "delivered": 1])
        #expect(try rig.report().unaccounted == 0)
    }

    @Test func `a request that is answered after its cancel costs no worker`() throws {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e1", password: "one", sequence: 1))
        let first = try rig.only()
        try rig.post(TestEvent(id: "e2", password: "two", sequence: 2))
        try rig.advance(30_000)
        try rig.advance(4_999)
        #expect(try rig.only().id == first.id)
        try rig.answer(first, Completion(.unknown, detail: "cancelled"))
        #expect(try rig.only().secret == "two")
        #expect(rig.ports[0]?.restarted == [])
        #expect(try rig.ended() == ["superseded": 1])
    }

    @Test func `a plugin that answers what nobody asked is ended; one that answers a check late is not`() throws {
        let rig = try Rig()
        for user in 1...2 {
            try rig.post(TestEvent(id: "e\(user)", user: "u\(user)", password: "p", externalID: "E-\(user)"))
        }
        let both = rig.requests()
        try rig.answer(both[0], Completion(.delivered))
        try rig.answer(both[1], Completion(.misconfigured))
        try rig.advance(500)
        let check = try #require(rig.ports[0]?.takeChecks().last)
        try rig.advance(30_000)
        rig.core.answered([(check, Completion(.delivered))], generation: 1, slot: 0, now: rig.now)
        for round in 0...StrayAnswers.tolerated {
            #expect(rig.ports[0]?.restarted == [])
            try rig.answer(both[round % 2], Completion(.delivered))
        }
        #expect(rig.ports[0]?.restarted == [1])
        #expect(try rig.ended() == ["delivered": 1])
        try rig.loseWorker()
        rig.connect()
        try rig.answer(both[0], Completion(.delivered))
        #expect(rig.ports[0]?.restarted == [])
        #expect(try rig.report().unaccounted == 0)
    }

    @Test func `what a lost worker had is tried again under the same key`() throws {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e1", password: "p"))
        let first = try rig.only()
        try rig.loseWorker()
        #expect(try rig.report().waiting == 1)
        #expect(try rig.report().state == "no worker")
        rig.connect()
        try rig.advance(500)
        let second = try rig.only()
        #expect(second.attempt == 2 && second.idempotencyKey == first.idempotencyKey && second.secret == "p")
        // An answer of the worker that is gone means nothing.
        rig.core.answered([(second.id, Completion(.delivered))], generation: 1, slot: 0, now: rig.now)
        #expect(try rig.report().inFlight == 1)
    }
}

/// What a provider does when its target takes nothing.
struct GateTests {
    @Test func `a misconfigured provider is held back, checked, and tried with one delivery`() throws {
        let rig = try Rig()
        for user in 1...5 {
            try rig.post(TestEvent(id: "e\(user)", user: "u\(user)", password: "p", externalID: "E-\(user)"))
        }
        for request in rig.requests() { try rig.answer(request, Completion(.misconfigured, detail: "bad bind")) }
        #expect(try rig.report().state == "held back")
        #expect(try rig.report().reason == "misconfigured: bad bind")
        #expect(rig.requests().isEmpty)
        try rig.advance(500)
        #expect(rig.requests().isEmpty)
        try rig.answerCheck(.misconfigured)
        #expect(try rig.report().state == "held back")
        try rig.advance(1_000)
        try rig.answerCheck(.delivered)
        #expect(try rig.report().state == "trying")
        let trial = try rig.only()
        #expect(trial.attempt == 1, "an attempt at a provider that is not in order does not count")
        try rig.answer(.delivered)
        #expect(try rig.report().state == "running")
        #expect(rig.requests().count == 4)
        #expect(try rig.report().unaccounted == 0)
    }

    @Test func `a provider whose check passes but whose deliveries do not is asked less and less often`() throws {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.answer(.misconfigured)
        var asked = 0
        for _ in 0..<600 {
            try rig.advance(1_000)
            if let checks = rig.ports[0]?.takeChecks(), let check = checks.last {
                rig.core.answered([(check, Completion(.delivered))], generation: 1, slot: 0, now: rig.now)
                try rig.turn()
            }
            for request in rig.requests() {
                asked += 1
                try rig.answer(request, Completion(.misconfigured))
            }
        }
        #expect((5...14).contains(asked))
    }

    @Test(arguments: [Outcome.retry, .unknown])
    func `the trouble of three subjects shuts the gate, that of one does not`(_ outcome: Outcome) throws {
        let rig = try Rig()
        for user in 1...3 {
            #expect(try rig.report().state == "running")
            try rig.post(TestEvent(id: "e\(user)", user: "u\(user)", password: "p", externalID: "E-\(user)"))
            let request = try #require(rig.requests().last)
            try rig.answer(request, Completion(outcome, detail: "down", retryAfter: 60_000))
        }
        #expect(try rig.report().state == "held back")
    }

    @Test func `a target that answers nobody shuts the gate, a worker that ends does not`() throws {
        let rig = try Rig()
        for user in 1...3 {
            try rig.post(TestEvent(id: "e\(user)", user: "u\(user)", password: "p", externalID: "E-\(user)"))
        }
        try rig.loseWorker()
        rig.connect()
        #expect(try rig.report().state == "running")
        try rig.advance(500)
        #expect(rig.requests().count == 3)
        try rig.advance(30_000)
        try rig.advance(5_000)
        try rig.loseWorker()
        rig.connect()
        #expect(try rig.report().state == "held back")
    }

    @Test func `a wait that the target asked for outlasts the gate`() throws {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.answer(.retry, retryAfter: 3_600_000)
        try rig.post(TestEvent(id: "e2", user: "u2", password: "q", externalID: "E-2"))
        try rig.answer(.misconfigured)
        try rig.advance(500)
        try rig.answerCheck(.delivered)
        #expect(try rig.answer(.delivered).secret == "q")
        #expect(rig.requests().isEmpty)
        try rig.advance(3_600_000)
        #expect(try rig.only().secret == "p")
    }

    @Test func `without a check one delivery is the test`() throws {
        let rig = try Rig([.test(canCheck: false)])
        for user in 1...3 {
            try rig.post(TestEvent(id: "e\(user)", user: "u\(user)", password: "p", externalID: "E-\(user)"))
        }
        for request in rig.requests() { try rig.answer(request, Completion(.misconfigured)) }
        try rig.advance(500)
        #expect(rig.requests().count == 1)
    }
}
