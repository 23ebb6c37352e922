internal import RuntimeSyncPlugin
internal import Testing

@testable internal import LDAPDecisions

struct ConnectionStateTests {
    private var state = ConnectionState(limit: 4)

    @Test func `without work there is no connection`() {
        #expect(state.next(waiting: 0, inFlight: 0, now: 0) == .wait)
        #expect(state.next(waiting: 1, inFlight: 0, now: 0) == .open)
    }

    @Test func `at most the limit is in flight`() {
        var state = state
        state.opened()
        #expect(state.next(waiting: 9, inFlight: 0, now: 0) == .send(4))
        #expect(state.next(waiting: 9, inFlight: 3, now: 0) == .send(1))
        #expect(state.next(waiting: 9, inFlight: 4, now: 0) == .wait)
        #expect(state.next(waiting: 0, inFlight: 4, now: 0) == .wait)
    }

    @Test(arguments: [(0, 0), (1, 200), (2, 400), (3, 800), (4, 1600), (5, 3200), (6, 5000), (60, 5000)])
    func `the longest pause is as in the table`(failures: Int, pause: UInt64) {
        #expect(ConnectionState.longestPause(afterFailures: failures) == pause)
    }

    @Test func `during the pause everyone gets the last failure and how long it lasts`() {
        var state = state
        let failure = Completion(.retry, detail: "refused")
        #expect(state.failed(failure, now: 1000, random: 0.5) == failure)
        let answer = Completion(.retry, detail: "refused", retryAfter: 60)
        #expect(state.next(waiting: 1, inFlight: 0, now: 1040) == .answer(answer))
        #expect(state.next(waiting: 1, inFlight: 0, now: 1100) == .open)
    }

    @Test func `a failure that is not transient carries no time`() {
        var state = state
        let failure = state.failed(Completion(.misconfigured), now: 0, random: 1)
        #expect(state.next(waiting: 1, inFlight: 0, now: 199) == .answer(failure))
    }

    @Test func `a success or a sign of life ends the pause`() {
        var state = state
        _ = state.failed(Completion(.retry), now: 0, random: 1)
        state.isReachable()
        #expect(state.next(waiting: 1, inFlight: 0, now: 0) == .open)
        state.opened()
        state.closed()
        #expect(state.next(waiting: 1, inFlight: 0, now: 0) == .open)
    }

    @Test func `after an ambiguous end nothing is sent on this connection any more, and it goes when it is empty`() {
        var state = state
        state.opened()
        state.retire()
        #expect(state.next(waiting: 3, inFlight: 2, now: 0) == .wait)
        #expect(state.next(waiting: 3, inFlight: 0, now: 0) == .close)
        state.closed()
        #expect(state.next(waiting: 3, inFlight: 0, now: 0) == .open)
    }
}
