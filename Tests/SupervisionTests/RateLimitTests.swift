import NIOCore
import Testing

@testable import Supervision

@Suite struct RateLimitTests {
    @Test func `a second's worth passes at once, then as many as time brings, and the rest is counted`() {
        var limit = RateLimit(perSecond: 10)
        let start = NIODeadline.uptimeNanoseconds(0)
        #expect(
            (0..<15).map { _ in limit.pass(start) } == [UInt64?](repeating: 0, count: 10) + [nil, nil, nil, nil, nil])
        #expect(limit.pass(start + .milliseconds(99)) == nil)
        #expect(limit.pass(start + .milliseconds(101)) == 6)
        #expect(limit.pass(start + .milliseconds(102)) == nil)
        #expect((0..<12).filter { _ in limit.pass(start + .hours(1)) != nil }.count == 10)
    }

    @Test func `a limit of nothing lets nothing pass`() {
        var limit = RateLimit(perSecond: 0)
        #expect(limit.pass(.uptimeNanoseconds(0)) == nil)
        #expect(limit.pass(.uptimeNanoseconds(0) + .hours(1)) == nil)
    }
}
