import EventModel
import Testing

@testable import Delivery

/// Who has to wait for whom when a target fails for some users, or for all.
struct GateScheduleTests {
    /// A target that answers at once: some users with trouble, all others as it should.
    private final class Target {
        let rig: Rig
        var outcome: Outcome
        /// Users that are never answered otherwise; `nil` is all.
        var bad: Set<String>?
        var check = Outcome.delivered
        private(set) var checks = 0
        private(set) var asked = 0
        private(set) var arrived: Set<String> = []
        private let start: Timestamp

        init(_ outcome: Outcome, bad: [String]?, seed: UInt64, canCheck: Bool = true) throws {
            rig = try Rig([.test(canCheck: canCheck)], seed: seed, in: TemporaryFolder(inMemory: true))
            self.outcome = outcome
            self.bad = bad.map { Set($0) }
            start = rig.now
        }

        /// Milliseconds since its start.
        var age: Int64 { rig.now - start }

        func post(_ users: [String]) throws {
            for user in users {
                try rig.post(TestEvent(id: "e-\(user)", user: user, password: "p", externalID: user))
            }
        }

        /// Answers until nothing is under way.
        func answer() throws {
            while true {
                for check in rig.ports[0]?.takeChecks() ?? [] {
                    checks += 1
                    rig.core.answered([(check, Completion(self.check))], generation: 1, slot: 0, now: rig.now)
                    try rig.turn()
                }
                guard let request = rig.requests().first, let user = request.externalID else { return }
                asked += 1
                try #require(asked < 10_000, "it is asked without end")
                let isBad = bad?.contains(user) ?? true
                if !isBad { arrived.insert(user) }
                try rig.answer(request, Completion(isBad ? outcome : .delivered, detail: "said so"))
            }
        }

        /// Lets time pass until something is true, or a moment of its age is reached.
        func run(until age: Int64, or isDone: () -> Bool = { false }) throws {
            try answer()
            while self.age < age, !isDone() {
                try rig.advance(min(max(1, rig.core.idleTime(now: rig.now)), max(1, age - self.age)))
                try answer()
            }
        }
    }

    private static func users(_ prefix: String, _ count: Int) -> [String] { (0..<count).map { "\(prefix)\($0)" } }

    /// How many fail with what, how many do not, and within how many milliseconds those are all served. The failing ones
    /// come first, as if they had been chosen to be in the way.
    @Test(
        arguments: [
            (1, .misconfigured, 48, 2_000), (3, .retry, 48, 10_000), (6, .retry, 48, 10_000), (6, .unknown, 48, 10_000),
            (6, .misconfigured, 48, 30_000), (20, .retry, 48, 30_000), (20, .misconfigured, 48, 60_000),
            (48, .retry, 48, 120_000),
        ] as [(Int, Outcome, Int, Int64)], 0..<8 as Range<UInt64>)
    func `users whose deliveries always fail do not stop the others`(
        _ row: (bad: Int, outcome: Outcome, good: Int, within: Int64), seed: UInt64
    ) throws {
        let bad = Self.users("bad", row.bad)
        let good = Self.users("good", row.good)
        let target = try Target(row.outcome, bad: bad, seed: seed)
        try target.post(bad + good)
        try target.run(until: row.within) { target.arrived.count == good.count }
        #expect(target.arrived.count == good.count, "after \(target.age) ms")
        #expect(try target.rig.report().unaccounted == 0)
    }

    @Test(arguments: [Outcome.retry, .misconfigured])
    func `who is known to fail alone holds nobody back again`(_ outcome: Outcome) throws {
        let bad = Self.users("bad", 6)
        let target = try Target(outcome, bad: bad, seed: 1)
        try target.post(bad + Self.users("good", 48))
        try target.run(until: 60_000)
        var states: Set<String> = []
        for hour in 1...3 {
            try target.run(until: Int64(hour) * 3_600_000) {
                states.insert((try? target.rig.report().state) ?? "?")
                return false
            }
            try target.post(["late\(hour)"])
            try target.answer()
            #expect(target.arrived.contains("late\(hour)"))
        }
        #expect(states == ["running"])
        // Each of them at most as often as its own waits say: 11 up to the longest, then one in 150 s.
        #expect(target.asked - target.arrived.count < bad.count * 150)
    }

    @Test func `a newcomer does not wait as long as those who have failed again and again`() throws {
        let bad = Self.users("bad", 4)
        let target = try Target(.retry, bad: bad, seed: 1)
        try target.post(bad)
        try target.run(until: 3_600_000) { false }
        #expect(try target.rig.report().state != "running")
        try target.post(["good"])
        try target.run(until: target.age + 1_000) { target.arrived == ["good"] }
        #expect(target.arrived == ["good"])
        #expect(try target.rig.report().state == "running")
    }

    /// So many looks are had at most until a moment: each wait is at least half of its bound.
    private static func looks(until age: Int64) -> Int {
        let retry = RetryPolicy()
        var looks = 0
        var time: Int64 = 0
        while time <= age {
            looks += 1
            time += retry.ceiling(afterAttempt: looks) / 2
        }
        return looks
    }

    @Test(arguments: [4, 17, 200], [true, false])
    func `a target that is down for all is asked ever less often, and not flooded when it is back`(
        _ count: Int, hasCheck: Bool
    ) throws {
        let target = try Target(.retry, bad: nil, seed: UInt64(count), canCheck: hasCheck)
        target.check = .retry
        let users = Self.users("user", count)
        try target.post(users)
        let hour: Int64 = 3_600_000
        try target.run(until: hour)
        #expect(target.checks <= (hasCheck ? Self.looks(until: hour) : 0))
        // What was sent until three had failed, and without a check one delivery for each look.
        #expect(target.asked <= 19 + (hasCheck ? 0 : Self.looks(until: hour)))
        target.bad = []
        target.check = .delivered
        let (asked, checks) = (target.asked, target.checks)
        try target.run(until: hour + 600_000) { target.arrived.count == count }
        #expect(target.arrived.count == count)
        #expect(target.asked - asked == count)
        #expect(target.checks - checks <= 1)
    }

    @Test(arguments: [1, 6, 200], [Outcome.retry, .misconfigured])
    func `nor does a check that passes make anybody ask a target that takes nothing more often`(
        _ count: Int, _ outcome: Outcome
    ) throws {
        let target = try Target(outcome, bad: nil, seed: UInt64(count))
        let users = Self.users("user", count)
        try target.post(users)
        let hour: Int64 = 3_600_000
        try target.run(until: hour / 2)
        try target.post(Self.users("late", 10))
        try target.run(until: hour)
        // Each newcomer may hurry two looks, itself and whom it hurried past, until their own waits are as long.
        #expect(target.asked <= 19 + Self.looks(until: hour) + 20)
    }

    @Test func `a check that passes begins the count of checks anew`() throws {
        let target = try Target(.retry, bad: nil, seed: 1)
        target.check = .retry
        try target.post(Self.users("user", 40))
        try target.run(until: 3_600_000)
        target.check = .delivered
        let asked = target.asked
        try target.run(until: target.age + 300_000) { target.asked > asked }
        #expect(target.asked == asked + 1)
        // The first trial failed: the next is a moment later, not minutes.
        try target.run(until: target.age + 1_000) { target.asked > asked + 1 }
        #expect(target.asked == asked + 2)
    }
}
