import EventModel
@testable import Intake
@testable import Journal
import Synchronization
import Testing

@Suite struct `The ids that were seen` {
    private let id = Hash128(1, 1)
    private let body = Hash128(2, 2)
    private let clock = SteadyClock()
    private let seen: SeenEvents

    init() {
        seen = SeenEvents(window: 1_000) { [clock] in clock.now.withLock(\.self) }
    }

    /// - Parameter wall: what the wall clock shows; as a rule the same as the steady one.
    private func admit(
        at milliseconds: Int64 = 0, wall: Int64? = nil, id: Hash128? = nil, body: Hash128? = nil
    ) -> SeenEvents.Admission {
        clock.now.withLock { $0 = milliseconds }
        return seen.admit(
            id: id ?? self.id, body: body ?? self.body, received: Timestamp(milliseconds: wall ?? milliseconds)
        ) { .sample }
    }

    @Test func `know one that waits, one that is kept, and one that failed`() {
        #expect(admit() == .submitted)
        #expect(admit() == .pending(.sample))
        #expect(admit(body: Hash128(3, 3)) == .conflict)
        seen.failed(id)
        #expect(admit() == .submitted)
        seen.committed(id)
        #expect(admit() == .duplicate)
        // What is kept does not fail any more.
        seen.failed(id)
        #expect(admit() == .duplicate)
    }

    @Test func `remember nothing of what the journal did not take`() {
        struct Full: Error {}
        #expect(throws: Full.self) {
            try seen.admit(id: id, body: body, received: Timestamp(milliseconds: 0)) { throw Full() }
        }
        #expect(admit() == .submitted)
    }

    @Test func `are forgotten after the window, and not before`() {
        #expect(admit() == .submitted)
        seen.committed(id)
        _ = admit(at: 1_000, id: Hash128(9, 9))
        #expect(admit(at: 1_000) == .duplicate)
        _ = admit(at: 1_001, id: Hash128(8, 8))
        #expect(admit(at: 1_001) == .submitted)
    }

    @Test func `are forgotten after a restart by the age that they had`() {
        let (older, stray) = (Hash128(6, 6), Hash128(7, 7))
        seen.restore(id: older, body: body, received: Timestamp(milliseconds: -400), age: 400)
        // Stamped by a clock that ran ahead: it has its window from now on.
        seen.restore(id: stray, body: body, received: Timestamp(milliseconds: 1_000_000), age: -1_000_000)
        #expect(admit(at: 600, id: Hash128(8, 8)) == .submitted)
        #expect(seen.earlier(older) != nil)
        _ = admit(at: 601, id: Hash128(9, 9))
        #expect(seen.earlier(older) == nil)
        #expect(seen.earlier(stray)?.received == Timestamp(milliseconds: 1_000_000))
        _ = admit(at: 1_001, id: Hash128(10, 10))
        #expect(seen.earlier(stray) == nil)
    }

    @Test(arguments: [0, 1_000_000_000])
    func `are remembered for their window although the clock jumped and came right again`(wrong: Int64) {
        #expect(admit(at: 0, wall: 500_000) == .submitted)
        seen.committed(id)
        _ = admit(at: 10, wall: wrong, id: Hash128(8, 8))
        _ = admit(at: 20, wall: 500_020, id: Hash128(9, 9))
        #expect(admit(at: 30, wall: 500_030) == .duplicate)
    }

    @Test func `count from the time that succeeded, not from one that failed`() {
        _ = admit()
        seen.failed(id)
        _ = admit(at: 900)
        seen.committed(id)
        _ = admit(at: 1_500, id: Hash128(9, 9))
        #expect(admit(at: 1_500) == .duplicate)
    }
}

extension Ticket {
    /// One that some journal gave.
    fileprivate static let sample: Self = Ticket(number: 1)
}

/// One that stands still until it is set.
private final class SteadyClock: Sendable {
    let now = Mutex<Int64>(0)
}
