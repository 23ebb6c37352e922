import EventModel
import Testing

@testable import Delivery

/// Who gets what, at fan-out and again before sending.
struct FanOutTests {
    @Test func `opting out while a delivery waits wins`() throws {
        let rig = try Rig()
        try rig.loseWorker()
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.post(TestEvent(id: "e2", kind: .loginSucceeded, sequence: 2, syncEnabled: "false"))
        rig.connect()
        try rig.turn()
        #expect(rig.requests().isEmpty)
        #expect(try rig.ended() == ["skipped:not-enabled": 2])
        #expect(try rig.storedSecrets().isEmpty)
    }

    @Test func `an older password is not sent although the newer one was for somebody who had opted out`() throws {
        let rig = try Rig([.test(kinds: [.passwordUpdated])])
        try rig.loseWorker()
        try rig.post(TestEvent(id: "e1", password: "one", sequence: 1))
        try rig.post(TestEvent(id: "e2", password: "two", sequence: 2, syncEnabled: "false"))
        try rig.post(TestEvent(id: "e3", kind: .profileUpdated, sequence: 3, syncEnabled: "true"))
        rig.connect()
        try rig.turn()
        #expect(rig.requests().isEmpty)
        #expect(try rig.ended() == ["superseded": 1, "skipped:not-enabled": 1, "skipped:kind-not-routed": 1])
    }

    @Test func `opting out while the account is looked up wins`() throws {
        let rig = try Rig([.test(kinds: [.passwordUpdated], canRead: true)])
        try rig.post(TestEvent(id: "e1", password: "p"))
        let lookUp = try rig.only()
        try rig.post(TestEvent(id: "e2", kind: .loginSucceeded, sequence: 2, syncEnabled: "false"))
        try rig.answer(lookUp, Completion(.delivered, account: "uuid-1"))
        #expect(rig.requests().isEmpty)
        #expect(try rig.ended() == ["skipped:not-enabled": 1, "skipped:kind-not-routed": 1])
    }

    @Test func `a newer password that comes while the account is looked up is the one that is written`() throws {
        let rig = try Rig([.test(canRead: true)])
        try rig.post(TestEvent(id: "e1", password: "one", sequence: 1))
        let lookUp = try rig.only()
        try rig.post(TestEvent(id: "e2", password: "two", sequence: 2))
        try rig.answer(lookUp, Completion(.delivered, account: "uuid-1"))
        // The newer one is looked up, too.
        #expect(try rig.answer(.delivered, account: "uuid-1").isLookUp)
        #expect(try rig.only().secret == "two")
        #expect(try rig.ended() == ["superseded": 1])
    }

    @Test func `an event that tells no attributes takes none away`() throws {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e1", kind: .profileUpdated))
        try rig.answer(.delivered)
        try rig.post(TestEvent(id: "e2", password: "p", sequence: 2, syncEnabled: nil, userType: nil, externalID: nil))
        #expect(try rig.only().externalID == "E-1")
    }

    @Test func `an older event does not take back an opt-out, but fills in what nobody told yet`() throws {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e2", kind: .profileUpdated, sequence: 2, syncEnabled: "false", userType: nil))
        try rig.post(TestEvent(id: "e1", kind: .profileUpdated, sequence: 1, syncEnabled: "true"))
        #expect(try rig.ended() == ["skipped:not-enabled": 2])
        let report = try rig.core.explain(instance: "prod", realm: "corp", user: "u1", now: rig.now)
        #expect(report.syncEnabled == ["false"] && report.userType == ["employee"])
    }

    @Test(arguments: [EventKind.loginSucceeded, .loginFailed, .logout, .event])
    func `a notification moves nobody to another account`(_ kind: EventKind) throws {
        let rig = try Rig([.test(kinds: [.passwordUpdated, .profileUpdated])])
        try rig.post(TestEvent(id: "e1", kind: .profileUpdated))
        try rig.answer(.delivered)
        try rig.post(TestEvent(id: "e2", kind: kind, sequence: 2, userType: "guest", externalID: "E-9"))
        try rig.post(TestEvent(id: "e3", password: "p", sequence: 3, syncEnabled: nil, userType: nil, externalID: nil))
        #expect(try rig.answer(.delivered).externalID == "E-1")
        #expect(try rig.ended() == ["delivered": 2, "skipped:kind-not-routed": 1])
    }

    @Test func `a notification opts nobody in, neither who opted out nor who is unknown`() throws {
        let rig = try Rig([.test(kinds: [.passwordUpdated])])
        try rig.post(TestEvent(id: "e1", kind: .profileUpdated, syncEnabled: "false"))
        try rig.post(TestEvent(id: "e2", kind: .loginSucceeded, sequence: 2))
        try rig.post(TestEvent(id: "e3", kind: .loginSucceeded, user: "u2", sequence: 3, externalID: "E-2"))
        for (id, user, sequence) in [("e4", "u1", 4), ("e5", "u2", 5)] as [(String, String, UInt64)] {
            try rig.post(
                TestEvent(
                    id: id, user: user, password: "p", sequence: sequence, syncEnabled: nil, userType: nil,
                    externalID: nil))
        }
        #expect(rig.requests().isEmpty)
        #expect(try rig.ended()["skipped:not-enabled"] == 1)
        #expect(try rig.ended()["skipped:attributes-unknown"] == 1)
    }

    @Test func `a notification goes by what it tells itself, unless its subject opted out`() throws {
        let rig = try Rig()
        try rig.loseWorker()
        try rig.post(TestEvent(id: "e1", kind: .loginSucceeded, externalID: "E-9"))
        try rig.restart()
        #expect(try rig.answer(.delivered).externalID == "E-9")
        try rig.post(TestEvent(id: "e2", kind: .profileUpdated, sequence: 2, syncEnabled: "false"))
        try rig.post(TestEvent(id: "e3", kind: .loginSucceeded, sequence: 3))
        #expect(rig.requests().isEmpty)
        #expect(try rig.ended() == ["delivered": 1, "skipped:not-enabled": 2])
    }

    @Test func `a feed of everybody gets notifications about strangers and nobody`() throws {
        let rig = try Rig([.test(kinds: [.loginFailed], notify: .all)])
        try rig.post(TestEvent(id: "e1", kind: .loginFailed, user: nil))
        #expect(try rig.answer(.delivered).externalID == nil)
        try rig.post(TestEvent(id: "e2", kind: .loginFailed, syncEnabled: nil, userType: nil, externalID: nil))
        #expect(try !rig.answer(.delivered).isFirst)
        #expect(try rig.ended() == ["delivered": 2])
    }

    @Test func `a deletion reaches a bound subject that has opted out`() throws {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.answer(.delivered)
        try rig.post(TestEvent(id: "e2", kind: .userDeleted, sequence: 2, syncEnabled: "false"))
        #expect(try rig.only().kind == "user.deleted")
    }

    @Test(arguments: [true, false])
    func `deleting a subject ends its waiting passwords, bound or not`(_ isBound: Bool) throws {
        let rig = try Rig()
        if isBound {
            try rig.post(TestEvent(id: "e0", password: "p", sequence: 1))
            try rig.answer(.delivered)
        }
        try rig.loseWorker()
        try rig.post(TestEvent(id: "e1", password: "q", sequence: 2))
        try rig.post(TestEvent(id: "e2", kind: .userDeleted, sequence: 3))
        #expect(try rig.storedSecrets().isEmpty)
        #expect(try rig.ended()["dropped:subject-deleted"] == 1)
        // Nor does a password that was on its way come back.
        try rig.post(TestEvent(id: "e3", password: "r", sequence: 4, syncEnabled: nil, externalID: nil))
        #expect(try rig.ended()["skipped:not-enabled"] == 1)
        #expect(try rig.report().unaccounted == 0)
    }

    @Test func `a deletion waits for what is under way, which may bind an account`() throws {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e1", password: "p"))
        let password = try rig.only()
        try rig.post(TestEvent(id: "e2", kind: .userDeleted, sequence: 2))
        #expect(try rig.only().id == password.id)
        try rig.answer(password, Completion(.delivered, account: "uuid-1"))
        let deletion = try rig.answer(.delivered)
        #expect(deletion.kind == "user.deleted" && deletion.account == "uuid-1")
        #expect(try rig.ended() == ["delivered": 2])
    }

    @Test func `a deletion is never outdated`() throws {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e1", password: "p", sequence: 1))
        try rig.answer(.delivered)
        try rig.post(TestEvent(id: "e3", kind: .userDisabled, sequence: 3))
        try rig.answer(.delivered)
        try rig.post(TestEvent(id: "e2", kind: .userDeleted, sequence: 2))
        #expect(try rig.only().kind == "user.deleted")
    }

    @Test func `a creation that comes late is made up for, and what waited for its account follows`() throws {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e3", kind: .userDisabled, sequence: 3))
        try rig.answer(.absent)
        try rig.post(TestEvent(id: "e1", kind: .userCreated, password: "p", sequence: 1))
        #expect(try rig.answer(.delivered).kind == "user.created")
        #expect(try rig.answer(.delivered).kind == "user.disabled")
        #expect(try rig.answer(.delivered).secret == "p")
        #expect(try rig.ended() == ["delivered": 3])
    }

    @Test func `a creation that comes late is not carried out on an account that was disabled since`() throws {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e3", kind: .userDisabled, sequence: 3))
        try rig.answer(.delivered)
        try rig.post(TestEvent(id: "e1", kind: .userCreated, sequence: 1))
        #expect(rig.requests().isEmpty)
        try rig.post(TestEvent(id: "e2", kind: .userRenamed, sequence: 2))
        #expect(try rig.answer(.delivered).kind == "user.renamed")
        #expect(try rig.ended() == ["delivered": 2, "superseded": 1])
    }

    @Test func `what waited for an account ends when it is created anew`() throws {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e1", kind: .userRenamed, sequence: 1))
        try rig.answer(.absent)
        try rig.post(TestEvent(id: "e2", kind: .userCreated, sequence: 2))
        #expect(try rig.answer(.delivered).kind == "user.created")
        #expect(rig.requests().isEmpty)
        #expect(try rig.ended() == ["delivered": 1, "superseded": 1])
    }

    @Test func `a profile carries the mapped attributes`() throws {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e1", kind: .profileUpdated, email: "a@b.example"))
        let request = try rig.only()
        #expect(request.attributes == #"{"mail":["a@b.example"]}"#)
        #expect(request.secret == nil && request.deliveryClass == .profile)
    }

    @Test func `who only observes counts, and no secret is kept for it`() throws {
        let rig = try Rig([.test(isObserving: true)])
        try rig.post(TestEvent(id: "e1", password: "p"))
        #expect(rig.requests().isEmpty)
        #expect(try rig.ended() == ["skipped:observed": 1])
        #expect(try rig.storedSecrets().isEmpty)
    }
}
