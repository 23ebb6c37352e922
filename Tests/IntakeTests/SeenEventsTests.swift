import EventModel
@testable import Intake
@testable import Journal
import Testing

@Suite struct `The ids that were seen` {
    private let id = Hash128(1, 1)
    private let body = Hash128(2, 2)

    private func admit(
        _ seen: SeenEvents, at milliseconds: Int64 = 0, id: Hash128? = nil, body: Hash128? = nil
    ) -> SeenEvents.Admission {
        seen.admit(
            id: id ?? self.id, body: body ?? self.body, received: Timestamp(milliseconds: milliseconds)
        ) { .sample }
    }

    @Test func `know one that waits, one that is kept, and one that failed`() {
        let seen = SeenEvents(window: 1_000)
        #expect(admit(seen) == .submitted)
        #expect(admit(seen) == .pending(.sample))
        #expect(admit(seen, body: Hash128(3, 3)) == .conflict)
        seen.failed(id)
        #expect(admit(seen) == .submitted)
        seen.committed(id)
        #expect(admit(seen) == .duplicate)
        // What is kept does not fail any more.
        seen.failed(id)
        #expect(admit(seen) == .duplicate)
    }

    @Test func `remember nothing of what the journal did not take`() {
        struct Full: Error {}
        let seen = SeenEvents(window: 1_000)
        #expect(throws: Full.self) {
            try seen.admit(id: id, body: body, received: Timestamp(milliseconds: 0)) { throw Full() }
        }
        #expect(admit(seen) == .submitted)
    }

    @Test func `are forgotten after the window, and not before`() {
        let seen = SeenEvents(window: 1_000)
        #expect(admit(seen) == .submitted)
        seen.committed(id)
        _ = admit(seen, at: 1_000, id: Hash128(9, 9))
        #expect(admit(seen, at: 1_000) == .duplicate)
        _ = admit(seen, at: 1_001, id: Hash128(8, 8))
        #expect(admit(seen, at: 1_001) == .submitted)
    }

    @Test func `are forgotten although one came while the clock was ahead`() {
        let seen = SeenEvents(window: 1_000)
        let stray = Hash128(7, 7)
        seen.restore(id: stray, body: body, received: Timestamp(milliseconds: 1_000_000))
        #expect(admit(seen) == .submitted)
        seen.committed(id)
        // It has its window from when it is found out.
        _ = admit(seen, at: 1_000, id: Hash128(9, 9))
        #expect(seen.earlier(stray)?.received == Timestamp(milliseconds: 1_000_000))
        _ = admit(seen, at: 1_001, id: Hash128(8, 8))
        #expect(seen.earlier(stray) == nil)
        #expect(admit(seen, at: 1_001) == .submitted)
    }

    @Test func `count from the time that succeeded, not from one that failed`() {
        let seen = SeenEvents(window: 1_000)
        _ = admit(seen)
        seen.failed(id)
        _ = admit(seen, at: 900)
        seen.committed(id)
        _ = admit(seen, at: 1_500, id: Hash128(9, 9))
        #expect(admit(seen, at: 1_500) == .duplicate)
    }
}

extension Ticket {
    /// One that some journal gave.
    fileprivate static let sample: Self = Ticket(number: 1)
}
