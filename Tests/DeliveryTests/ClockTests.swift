import EventModel
import Journal
import Testing

@testable import Delivery

/// What a clock does that somebody sets.
struct ClockTests {
    private static let year: Int64 = 365 * 86_400_000

    /// A password that waits, and one in a dead letter.
    private func rig() throws -> Rig {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.answer(.refused)
        try rig.loseWorker()
        try rig.post(TestEvent(id: "e2", user: "u2", password: "q", externalID: "E-2"))
        try rig.advance(60_000)
        return rig
    }

    @Test(arguments: [true, false])
    func `a clock that jumps a year ahead ends nothing, before a restart or after`(_ restarts: Bool) throws {
        let rig = try rig()
        rig.setClock(ahead: Self.year)
        if restarts { try rig.restart() }
        try rig.advance(60_000)
        #expect(try rig.storedSecrets().count == 2)
        #expect(try rig.journal.event(1) != nil)
        #expect(try rig.report().nothingExpires?.contains(" min ahead of ") == true)
        // It was a mistake.
        rig.setClock(ahead: -Self.year)
        if restarts { try rig.restart() }
        try rig.advance(60_000)
        #expect(try rig.report().nothingExpires == nil)
        #expect(try rig.storedSecrets().count == 2)
        rig.connect()
        try rig.turn()
        #expect(try rig.answer(.delivered).secret == "q")
        #expect(try rig.report().unaccounted == 0)
    }

    @Test func `a clock that agrees for a day after it jumped is right`() throws {
        let rig = try rig()
        rig.setClock(ahead: Self.year)
        try rig.advance(60_000)
        try rig.advance(ClockWatch.patience - 1)
        #expect(try rig.report().nothingExpires != nil)
        #expect(try rig.ended() == ["dead": 1])
        try rig.advance(60_000)
        #expect(try rig.report().nothingExpires == nil)
        #expect(try rig.ended() == ["dead": 1, "expired": 1])
        #expect(try rig.storedSecrets().isEmpty)
    }

    @Test func `a daemon that is restarted every night does not doubt its clock for ever`() throws {
        let rig = try rig()
        try rig.sleep(2 * 86_400_000)
        for _ in 0..<2 {
            try rig.restart()
            #expect(try rig.report().nothingExpires != nil)
            try rig.advance(ClockWatch.patience - 3_600_000)
        }
        #expect(try rig.report().nothingExpires == nil)
    }

    @Test(arguments: [-365 * 86_400_000, 365 * 86_400_000] as [Int64])
    func `a wait is as long as it was, whatever the clock says`(_ jump: Int64) throws {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e1", password: "p"))
        try rig.answer(.retry, retryAfter: 60_000)
        rig.setClock(ahead: jump)
        try rig.advance(59_999)
        #expect(rig.requests().isEmpty)
        try rig.advance(1)
        let request = try rig.only()
        rig.setClock(ahead: -jump)
        try rig.advance(29_999)
        #expect(rig.ports[0]?.cancelled.isEmpty == true)
        try rig.advance(1)
        #expect(rig.ports[0]?.cancelled == [request.id])
    }

    @Test func `a wait that was noted by a clock ahead of time ends within a day of the restart`() throws {
        let rig = try Rig()
        try rig.post(TestEvent(id: "e1", password: "p"))
        rig.setClock(ahead: Self.year)
        try rig.restart()
        try rig.answer(.retry, retryAfter: 60_000)
        rig.setClock(ahead: -Self.year)
        try rig.restart()
        #expect(rig.requests().isEmpty)
        try rig.advance(RetryPolicy.longestAskedWait)
        #expect(try rig.only().secret == "p")
    }
}
