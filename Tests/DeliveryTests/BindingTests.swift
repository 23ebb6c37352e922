import EventModel
import Journal
import Testing

@testable import Delivery

/// One account, one owner.
struct BindingTests {
    @Test func `an unbound subject's account is looked up, then written, then pinned`() throws {
        let rig = try Rig([.test(canRead: true)])
        try rig.post(TestEvent(id: "e1", password: "p"))
        let lookUp = try rig.answer(.delivered, account: "uuid-1")
        #expect(lookUp.isLookUp && lookUp.secret == nil)
        let write = try rig.answer(.delivered, account: "uuid-1")
        #expect(!write.isLookUp && write.account == "uuid-1" && write.secret == "p" && write.isFirst)
        try rig.post(TestEvent(id: "e2", password: "q", sequence: 2))
        for killed in [false, true] {
            let next = try rig.only()
            #expect(!next.isLookUp && next.account == "uuid-1" && !next.isFirst)
            try rig.flush()
            try rig.restart(killed: killed)
        }
    }

    @Test func `a failed look-up has written nothing and is repeated`() throws {
        let rig = try Rig([.test(canRead: true)])
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.answer(.unknown)
        try rig.advance(1_000)
        #expect(try rig.only().isLookUp)
        try rig.answer(.absent)
        #expect(try rig.report().waiting == 1)
        #expect(rig.core.bindings.isUnclaimed)
    }

    @Test func `a creation goes out although its account is not there`() throws {
        let rig = try Rig([.test(canRead: true)])
        try rig.post(TestEvent(id: "e1", kind: .userCreated, password: "p"))
        #expect(try rig.answer(.absent).isLookUp)
        let create = try rig.answer(.delivered, account: "uuid-1")
        #expect(!create.isLookUp && create.kind == "user.created" && create.deliveryClass == .lifecycle)
        #expect(create.secret == nil && create.account == nil)
        let password = try rig.answer(.delivered)
        #expect(password.deliveryClass == .credential && password.secret == "p" && password.account == "uuid-1")
        #expect(try rig.ended() == ["delivered": 2])
    }

    @Test func `after a restart a creation still goes before the password that came with it`() throws {
        let rig = try Rig()
        try rig.loseWorker()
        try rig.post(TestEvent(id: "e1", kind: .userCreated, password: "p"))
        try rig.restart()
        #expect(try rig.answer(.delivered).deliveryClass == .lifecycle)
        #expect(try rig.answer(.delivered).deliveryClass == .credential)
    }

    @Test func `a second claimant's dead letter tells whose the account is, by ids alone`() throws {
        let rig = try Rig([.test(canRead: true)])
        try rig.post(TestEvent(id: "e1", password: "p", email: "owner@example.org"))
        try rig.answer(.delivered, account: "uuid-1")
        try rig.answer(.delivered, account: "uuid-1")
        try rig.post(TestEvent(id: "e2", user: "u2", password: "q"))
        try rig.post(TestEvent(id: "e3", user: "u3", password: "r", externalID: "E-3"))
        try rig.answer(.delivered, account: "uuid-1")
        try rig.flush()
        let details = try rig.journal.deadLetters().map { try rig.core.show($0.id.rawValue, now: rig.now).detail }
        #expect(
            details == [
                "the external id is bound to another user: u1 of realm corp at prod",
                "the account belongs to another user: u1 of realm corp at prod",
            ])
        #expect(try rig.core.explain(instance: "prod", realm: "corp", user: "u1", now: rig.now).user == "u1")
    }

    @Test func `a second claimant is refused, by external id and by stable id`() throws {
        let rig = try Rig([.test(canRead: true)])
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.answer(.delivered, account: "uuid-1")
        try rig.answer(.delivered)
        try rig.post(TestEvent(id: "e2", user: "u2", password: "q"))
        #expect(rig.requests().isEmpty)
        #expect(try rig.ended() == ["delivered": 1, "dead": 1])
        // Another spelling of the same entry: only the stable id tells.
        try rig.post(TestEvent(id: "e3", user: "u3", password: "q", externalID: "e-1"))
        #expect(try rig.answer(.delivered, account: "uuid-1").isLookUp)
        #expect(rig.requests().isEmpty)
        #expect(try rig.ended() == ["delivered": 1, "dead": 2])
        try rig.flush()
        #expect(try rig.journal.deadLetters().map(\.reason) == ["refused", "refused"])
        #expect(try rig.report().unaccounted == 0)
    }

    @Test(arguments: [Outcome.delivered, .refused])
    func `of two claimants at once the second waits for the first`(_ firstEnd: Outcome) throws {
        let rig = try Rig([.test(canRead: true)])
        try rig.post(TestEvent(id: "e1", user: "u1", password: "p"))
        try rig.post(TestEvent(id: "e2", user: "u2", password: "q", externalID: "e-1"))
        try rig.post(TestEvent(id: "e3", user: "u3", password: "r"))
        // The third names the same external id and waits at once; the second finds out by its look-up.
        #expect(rig.requests().map(\.externalID) == ["E-1", "e-1"])
        for lookUp in rig.requests() { try rig.answer(lookUp, Completion(.delivered, account: "uuid-1")) }
        #expect(try rig.only().secret == "p")
        try rig.answer(firstEnd)
        try rig.advance(1_000)
        if firstEnd == .delivered {
            #expect(try rig.answer(.delivered, account: "uuid-1").externalID == "e-1")
            #expect(try rig.ended() == ["delivered": 1, "dead": 2])
        } else {
            for lookUp in rig.requests() { try rig.answer(lookUp, Completion(.delivered, account: "uuid-1")) }
            #expect(["q", "r"].contains(try rig.answer(.delivered).secret))
            try rig.advance(1_000)
            try rig.answer(.delivered, account: "uuid-1")
            #expect(try rig.ended() == ["delivered": 1, "dead": 2])
        }
        #expect(rig.core.bindings.isUnclaimed)
        #expect(try rig.report().unaccounted == 0)
    }

    @Test func `a claim lasts until the last delivery that holds it has ended`() throws {
        let rig = try Rig([.test(canRead: true)])
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.post(TestEvent(id: "e2", kind: .profileUpdated, sequence: 2, email: "a@b"))
        for lookUp in rig.requests() { try rig.answer(lookUp, Completion(.delivered, account: "uuid-1")) }
        let password = try #require(rig.requests().first { $0.deliveryClass == .credential })
        try rig.answer(password, Completion(.refused))
        // The profile of the first subject is still on its way to the account.
        try rig.post(TestEvent(id: "e3", user: "u2", password: "q"))
        #expect(rig.requests().map(\.deliveryClass) == [.profile])
        try rig.answer(.delivered)
        try rig.advance(1_000)
        #expect(rig.requests().isEmpty)
        #expect(try rig.ended() == ["delivered": 1, "dead": 2])
    }

    @Test func `two lanes of one subject that name different accounts do not both count`() throws {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.post(TestEvent(id: "e2", kind: .profileUpdated, sequence: 2))
        let both = rig.requests()
        try rig.answer(both[0], Completion(.delivered, account: "uuid-1"))
        try rig.answer(both[1], Completion(.delivered, account: "uuid-2"))
        #expect(try rig.ended() == ["delivered": 1, "dead": 1])
        try rig.post(TestEvent(id: "e3", password: "q", sequence: 3))
        #expect(try rig.only().account == "uuid-1")
    }

    @Test func `a changed external id is refused, but a deletion finds the bound account`() throws {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.answer(.delivered, account: "uuid-1")
        try rig.post(TestEvent(id: "e2", password: "q", sequence: 2, externalID: "E-9"))
        #expect(rig.requests().isEmpty)
        #expect(try rig.ended() == ["delivered": 1, "dead": 1])
        try rig.post(TestEvent(id: "e3", kind: .userDeleted, sequence: 3, externalID: "E-9"))
        let deletion = try rig.answer(.delivered)
        #expect(deletion.kind == "user.deleted" && deletion.account == "uuid-1" && deletion.externalID == "E-1")
        // The account is free again.
        try rig.post(TestEvent(id: "e4", user: "u2", password: "r"))
        #expect(try rig.only().secret == "r")
    }

    @Test func `the journal's word counts where it did not take a binding`() throws {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.answer(.delivered, account: "uuid-1")
        // Behind memory's back the account goes to somebody else, as if our own rules had failed.
        try rig.flush()
        try rig.advance(2_000)
        var changes = JournalChanges()
        rig.core.bindings.bind(
            slot: 0, subject: 77, to: BoundAccount(account: "uuid-1", externalID: "E-7"), now: rig.now,
            changes: &changes, number: 0)
        rig.core.changes.bindings += changes.bindings
        #expect(try rig.core.bindings.owner(slot: 0, account: "uuid-1") == 77)
        try rig.turn()
        try rig.flush()
        try rig.advance(2_000)
        #expect(try rig.core.bindings.owner(slot: 0, account: "uuid-1") == 1)
        #expect(try rig.core.bindings.account(slot: 0, subject: 77) == nil)
    }
}
