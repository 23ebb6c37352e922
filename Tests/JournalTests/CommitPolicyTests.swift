import Testing

@testable import Journal

struct CommitPolicyTests {
    private static let ms: Int64 = 1_000_000

    @Test func `an event is committed at once and with fsync`() {
        let policy = CommitPolicy()
        #expect(policy.next(.init(events: 1, changes: 3, changesSince: 0), at: 0) == .commit(.power))
        #expect(policy.next(.init(barriers: 1), at: 0) == .commit(.power))
    }

    @Test func `nothing waits for ever and wakes for anything`() {
        #expect(CommitPolicy().next(.init(), at: 5) == .wait(until: nil, orChanges: 1))
    }

    @Test func `changes alone wait ten milliseconds, which no further change cuts short`() {
        let policy = CommitPolicy()
        #expect(
            policy.next(.init(changes: 1, changesSince: 0), at: 1) == .wait(until: 10 * Self.ms, orChanges: 512))
        #expect(
            policy.next(.init(changes: 511, changesSince: 0), at: 9 * Self.ms)
                == .wait(until: 10 * Self.ms, orChanges: 512))
        #expect(policy.next(.init(changes: 511, changesSince: 0), at: 10 * Self.ms) == .commit(.process))
        #expect(policy.next(.init(changes: 512, changesSince: 0), at: 1) == .commit(.process))
    }

    @Test func `changes alone are fsynced once a second`() {
        var policy = CommitPolicy()
        let waiting = CommitPolicy.Waiting(changes: 512)
        policy.committed(.process, hasErased: false, logPages: 1, at: 100 * Self.ms)
        policy.committed(.process, hasErased: false, logPages: 1, at: 900 * Self.ms)
        #expect(policy.next(waiting, at: 1_099 * Self.ms) == .commit(.process))
        #expect(policy.next(waiting, at: 1_100 * Self.ms) == .commit(.power))
        policy.committed(.power, hasErased: false, logPages: 1, at: 1_101 * Self.ms)
        #expect(policy.next(waiting, at: 2_000 * Self.ms) == .commit(.process))
    }

    @Test func `a commit that wrote nothing has not fsynced what came before it`() {
        var policy = CommitPolicy()
        policy.committed(.process, hasErased: false, logPages: 1, at: 0)
        policy.committed(.power, hasErased: false, logPages: 0, at: 1)
        #expect(policy.next(.init(changes: 512), at: 1_000 * Self.ms) == .commit(.power))
    }

    @Test(arguments: [false, true])
    func `a second of quiet after an unsynced commit empties the log, and then all is still`(hasErased: Bool) {
        var policy = CommitPolicy()
        policy.committed(.process, hasErased: hasErased, logPages: 1, at: 0)
        #expect(policy.next(.init(), at: 1) == .wait(until: 1_000 * Self.ms, orChanges: 1))
        #expect(policy.next(.init(), at: 1_000 * Self.ms) == .checkpoint(emptying: true))
        policy.checkpointed(emptying: true, isEmpty: true, at: 1_001 * Self.ms)
        #expect(policy.next(.init(), at: 1_002 * Self.ms) == .wait(until: nil, orChanges: 1))
    }

    @Test func `a reader in the way puts the emptying off by a second`() {
        var policy = CommitPolicy()
        policy.committed(.power, hasErased: true, logPages: 1, at: 0)
        policy.checkpointed(emptying: true, isEmpty: false, at: 1_000 * Self.ms)
        #expect(policy.next(.init(), at: 1_001 * Self.ms) == .wait(until: 2_000 * Self.ms, orChanges: 1))
    }

    @Test func `an erased secret leaves the log within thirty seconds however busy it is`() {
        var policy = CommitPolicy()
        policy.committed(.power, hasErased: true, logPages: 1, at: 0)
        policy.committed(.power, hasErased: true, logPages: 1, at: 29_000 * Self.ms)
        #expect(policy.next(.init(events: 1), at: 29_999 * Self.ms) == .commit(.power))
        #expect(policy.next(.init(events: 1), at: 30_000 * Self.ms) == .checkpoint(emptying: true))
    }

    @Test func `a long log is written back between two commits`() {
        var policy = CommitPolicy()
        policy.committed(.power, hasErased: false, logPages: 4_096, at: 0)
        #expect(policy.next(.init(events: 1), at: 1) == .checkpoint(emptying: false))
        policy.checkpointed(emptying: false, isEmpty: false, at: 2)
        #expect(policy.next(.init(events: 1), at: 3) == .commit(.power))
    }

    @Test func `after a full disk changes are tried again in a second or with the next event`() {
        var policy = CommitPolicy()
        policy.foundFull(at: 0)
        #expect(
            policy.next(.init(changes: 600, changesSince: 0), at: 1)
                == .wait(until: 1_000 * Self.ms, orChanges: .max))
        #expect(policy.next(.init(events: 1, changes: 600), at: 1) == .commit(.power))
        #expect(policy.next(.init(changes: 600), at: 1_000 * Self.ms) == .commit(.process))
    }

    @Test func `closing writes what waits at once, then stops; a full disk does not hold it up`() {
        var policy = CommitPolicy()
        #expect(policy.next(.init(changes: 1, changesSince: 0, isClosing: true), at: 1) == .commit(.process))
        #expect(policy.next(.init(isClosing: true), at: 1) == .stop)
        policy.foundFull(at: 1)
        #expect(policy.next(.init(changes: 1, changesSince: 0, isClosing: true), at: 2) == .stop)
    }
}
