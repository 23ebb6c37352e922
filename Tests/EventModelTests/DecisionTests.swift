import EventModel
import Testing
import Workbench

struct RetryPolicyTests {
    /// The table of the documentation, with its far edge.
    @Test(
        arguments: [
            (0, 500), (1, 500), (2, 1_000), (3, 2_000), (5, 8_000), (8, 64_000), (10, 256_000), (11, 300_000),
            (64, 300_000),
            (Int.max, 300_000),
        ] as [(Int, Int64)])
    func `the wait grows to its maximum`(_ attempt: Int, _ ceiling: Int64) {
        #expect(RetryPolicy().ceiling(afterAttempt: attempt) == ceiling)
    }

    @Test func `the wait is drawn from zero to its ceiling, and never below what the target asked`() {
        var random = SplitMix(state: 3)
        let policy = RetryPolicy()
        let waits = (0..<1_000).map { _ in policy.wait(afterAttempt: 3, using: &random) }
        #expect(waits.allSatisfy { 0...2_000 ~= $0 })
        #expect(waits.contains { $0 < 200 } && waits.contains { $0 > 1_800 })
        #expect(policy.wait(afterAttempt: 1, asked: 60_000, using: &random) == 60_000)
        #expect(policy.wait(afterAttempt: 1, asked: .max, using: &random) == RetryPolicy.longestAskedWait)
    }

    @Test func `no setting overflows`() {
        #expect(RetryPolicy(initial: .max / 2, maximum: 5).ceiling(afterAttempt: 40) == 5)
    }
}

struct DispositionRuleTests {
    private enum End: String { case delivered, retry, account, provider, dead }

    private func end(
        _ outcome: Outcome, _ kind: EventKind, _ deliveryClass: DeliveryClass, attempt: Int = 1, maximum: Int64 = 500,
        isHeldBack: Bool = true
    ) -> (End, Int64) {
        var random = SplitMix(state: 1)
        let rule = DispositionRule(retry: RetryPolicy(initial: 500, maximum: maximum))
        switch rule.decide(
            Completion(outcome), kind: kind, deliveryClass: deliveryClass, attempt: attempt,
            isHeldBack: isHeldBack, using: &random)
        {
        case .delivered: return (.delivered, 0)
        case .retry(let after): return (.retry, after)
        case .awaitAccount(let after): return (.account, after)
        case .awaitProvider: return (.provider, 0)
        case .dead: return (.dead, 0)
        }
    }

    @Test(arguments: [
        (Outcome.delivered, "delivered", "delivered", "delivered", "delivered"),
        (.retry, "retry", "retry", "retry", "retry"),
        (.refused, "dead", "dead", "dead", "dead"),
        (.misconfigured, "provider", "provider", "provider", "provider"),
        (.absent, "account", "account", "delivered", "dead"),
        (.unknown, "retry", "retry", "retry", "retry"),
    ])
    func `what becomes of a delivery`(
        _ outcome: Outcome, _ credential: String, _ rename: String, _ deletion: String, _ notification: String
    ) {
        #expect(end(outcome, .passwordUpdated, .credential).0.rawValue == credential)
        #expect(end(outcome, .profileUpdated, .profile).0.rawValue == credential)
        #expect(end(outcome, .userRenamed, .lifecycle).0.rawValue == rename)
        #expect(end(outcome, .userDeleted, .lifecycle).0.rawValue == deletion)
        #expect(end(outcome, .logout, .notification).0.rawValue == notification)
    }

    @Test func `what is misconfigured for one alone waits like everything else that fails alone`() {
        for (kind, deliveryClass) in [(EventKind.passwordUpdated, DeliveryClass.credential), (.logout, .notification)] {
            #expect(end(.misconfigured, kind, deliveryClass, attempt: 3, isHeldBack: false).0 == .retry)
        }
    }

    @Test(
        arguments: [(0, 60_000), (1, 60_000), (2, 300_000), (3, 900_000), (4, 3_600_000), (99, 3_600_000)]
            as [(Int, Int64)])
    func `an absent account is looked for ever less often`(_ attempt: Int, _ wait: Int64) {
        let day: Int64 = 86_400_000
        #expect(end(.absent, .passwordUpdated, .credential, attempt: attempt, maximum: day) == (.account, wait))
        // Never later than anything else is tried again.
        let end = end(.absent, .passwordUpdated, .credential, attempt: attempt, maximum: 300_000)
        #expect(end == (.account, min(wait, 300_000)))
    }
}

struct ProviderGateTests {
    private let now = Timestamp(milliseconds: 1_000_000)
    private var random = SplitMix(state: 7)
    private var gate = ProviderGate(retry: RetryPolicy(initial: 1_000, maximum: 8_000))

    private func wait(_ gate: ProviderGate) -> Int64? { gate.wakeUp.map { $0 - now } }

    @Test mutating func `one misconfigured answer shuts it, and each wait is twice the one before`() {
        #expect(gate.limit(16) == 16 && gate.wakeUp == nil)
        #expect(gate.trouble(.misconfigured, subject: 1, reason: "bind", now: now, using: &random) == true)
        #expect(gate.limit(16) == 0)
        for ceiling: Int64 in [1_000, 2_000, 4_000, 8_000, 8_000] {
            #expect((ceiling / 2...ceiling).contains(wait(gate) ?? 0))
            let isDue = gate.look(now: now + 499)
            #expect(!isDue)
            let isDueThen = gate.look(now: now + 8_000)
            #expect(isDueThen && gate.limit(16) == 0 && gate.wakeUp == nil)
            gate.checkFailed(reason: "still", now: now, using: &random)
        }
    }

    @Test mutating func `a check that passes lets one delivery try, whose trouble shuts it for longer`() {
        gate.trouble(.misconfigured, subject: 1, reason: "bind", now: now, using: &random)
        _ = gate.look(now: now + 8_000)
        gate.checkPassed()
        #expect(gate.limit(16) == 1)
        #expect(gate.trouble(.retry, subject: 2, reason: "busy", now: now, using: &random) == true)
        #expect((1_000...2_000).contains(wait(gate) ?? 0))
        _ = gate.look(now: now + 8_000)
        gate.checkPassed()
        #expect(gate.answered(2) == true)
        #expect(gate.limit(16) == 16)
    }

    @Test mutating func `what was sent before it shut does not open it`() {
        gate.trouble(.misconfigured, subject: 1, reason: "bind", now: now, using: &random)
        #expect(gate.answered(2) == false)
        #expect(gate.limit(16) == 0)
        #expect(gate.trouble(.misconfigured, subject: 2, reason: "bind", now: now, using: &random) == false)
    }

    @Test(arguments: [Outcome.retry, .unknown])
    func `three subjects in trouble without a success between shut it`(_ outcome: Outcome) {
        var gate = gate
        var random = random
        for subject: Int64 in [1, 2, 2, 1] {
            #expect(gate.trouble(outcome, subject: subject, reason: "down", now: now, using: &random) == false)
        }
        #expect(gate.trouble(outcome, subject: 3, reason: "down", now: now, using: &random) == true)
        #expect(gate.state == .shut(until: gate.wakeUp ?? now, reason: "down"))
    }

    @Test(arguments: [Outcome.retry, .unknown, .misconfigured])
    func `who failed before another was answered fails alone, and shuts nothing until it is answered`(
        _ outcome: Outcome
    ) {
        var gate = gate
        var random = random
        for subject: Int64 in 1...2 { gate.trouble(.retry, subject: subject, reason: "", now: now, using: &random) }
        gate.answered(9)
        for subject: Int64 in [1, 2, 1, 2] {
            #expect(gate.trouble(outcome, subject: subject, reason: "", now: now, using: &random) == false)
            #expect(gate.isSuspect(subject))
        }
        for subject: Int64 in 1...2 { gate.answered(subject) }
        #expect(!gate.isSuspect(1) && !gate.isSuspect(2))
        #expect(gate.trouble(.misconfigured, subject: 1, reason: "", now: now, using: &random) == true)
    }

    @Test mutating func `its own answer does not make a subject's trouble its own, and an answer while shut does`() {
        gate.trouble(.retry, subject: 1, reason: "", now: now, using: &random)
        gate.answered(1)
        #expect(!gate.isSuspect(1))
        gate.trouble(.misconfigured, subject: 1, reason: "", now: now, using: &random)
        gate.answered(2)
        _ = gate.look(now: now + 8_000)
        gate.checkPassed()
        gate.answered(3)
        #expect(gate.trouble(.misconfigured, subject: 1, reason: "", now: now, using: &random) == false)
    }

    @Test mutating func `so many that fail alone are remembered, and no more`() {
        for subject in 1...Int64(ProviderGate.rememberedSubjects + 9) {
            gate.trouble(.retry, subject: subject, reason: "", now: now, using: &random)
            gate.answered(0)
        }
        let suspects = (1...Int64(ProviderGate.rememberedSubjects + 9)).count { gate.isSuspect($0) }
        #expect(suspects == ProviderGate.rememberedSubjects)
    }

    @Test mutating func `a newcomer hurries a wait that others have earned, and none that a check has`() {
        gate.trouble(.misconfigured, subject: 1, reason: "bind", now: now, using: &random)
        for _ in 0..<5 {
            _ = gate.look(now: now + 8_000)
            gate.checkPassed()
            gate.trouble(.misconfigured, subject: 1, reason: "bind", now: now, using: &random)
        }
        #expect((4_000...8_000).contains(wait(gate) ?? 0))
        gate.arrived(1)
        #expect((4_000...8_000).contains(wait(gate) ?? 0))
        gate.arrived(2)
        #expect((500...1_000).contains(wait(gate) ?? 0))
        _ = gate.look(now: now + 8_000)
        for _ in 0..<5 {
            gate.checkFailed(reason: "down", now: now, using: &random)
            gate.arrived(3)
            _ = gate.look(now: now + 8_000)
        }
        gate.checkFailed(reason: "down", now: now, using: &random)
        gate.arrived(3)
        #expect((4_000...8_000).contains(wait(gate) ?? 0))
    }

    @Test mutating func `a check that passes takes the waits of failed checks back`() {
        gate.trouble(.misconfigured, subject: 1, reason: "bind", now: now, using: &random)
        for _ in 0..<5 {
            _ = gate.look(now: now + 8_000)
            gate.checkFailed(reason: "down", now: now, using: &random)
        }
        _ = gate.look(now: now + 8_000)
        gate.checkPassed()
        gate.trouble(.retry, subject: 2, reason: "down", now: now, using: &random)
        #expect((1_000...2_000).contains(wait(gate) ?? 0))
        _ = gate.look(now: now + 8_000)
        gate.checkFailed(reason: "down", now: now, using: &random)
        #expect((1_000...2_000).contains(wait(gate) ?? 0))
    }

    @Test mutating func `who asks now gets a look at once, and short waits after it`() {
        gate.askNow(now: now)
        #expect(gate.state == .open)
        gate.trouble(.misconfigured, subject: 1, reason: "bind", now: now, using: &random)
        for _ in 0..<5 {
            _ = gate.look(now: now + 8_000)
            gate.checkFailed(reason: "still", now: now, using: &random)
        }
        gate.askNow(now: now)
        #expect(wait(gate) == 0)
        _ = gate.look(now: now)
        gate.askNow(now: now)
        #expect(gate.state == .probing(reason: "still"))
        gate.checkFailed(reason: "still", now: now, using: &random)
        #expect((1_000...2_000).contains(wait(gate) ?? 0))
    }

    @Test(arguments: [Outcome.delivered, .refused, .absent])
    func `a delivery's own trouble is not the provider's`(_ outcome: Outcome) {
        var gate = gate
        var random = random
        for subject: Int64 in 1...9 {
            #expect(gate.trouble(outcome, subject: subject, reason: "", now: now, using: &random) == false)
        }
    }

    @Test mutating func `a worker that is lost during a check is looked at again at once`() {
        gate.trouble(.misconfigured, subject: 1, reason: "bind", now: now, using: &random)
        _ = gate.look(now: now + 8_000)
        gate.workerLost(now: now)
        #expect(gate.wakeUp == now)
    }
}

struct ClockWatchTests {
    private static let hour = ClockWatch.tolerance
    private static let day = ClockWatch.patience
    private let start = Timestamp(milliseconds: 1_000_000_000)

    /// How far both clocks go, and how far somebody sets the wall clock; whether it is in doubt then.
    @Test(
        arguments: [
            [(60_000, 0, false), (60_000, hour, false), (60_000, hour, false), (day, -hour, false)],
            [(60_000, hour + 1, true), (60_000, -hour - 1, false)], [(0, -hour - 1, true), (0, 1, false)],
            [(60_000, 9 * day, true), (day - 1, 0, true), (1, 0, false), (60_000, 0, false)],
            // Each jump takes a day of its own.
            [(0, 9 * day, true), (day - 1, 2 * hour, true), (1, 0, true), (day - 1, 0, false)],
        ] as [[(Int64, Int64, Bool)]])
    func `a clock that was set is in doubt for a day`(_ looks: [(Int64, Int64, Bool)]) {
        var watch = ClockWatch(wall: start, steady: start, last: nil)
        var wall = start
        var steady = start
        for (goes, isSet, isDoubted) in looks {
            steady = steady + goes
            wall = wall + goes + isSet
            let before = watch
            let change = watch.look(wall: wall, steady: steady)
            #expect((watch.doubt != nil) == isDoubted)
            #expect((change == .trusted) == (before.doubt != nil && !isDoubted))
            #expect(watch.lastTrusted == (isDoubted ? before.lastTrusted : wall))
        }
    }

    @Test(
        arguments: [(0, false), (hour, false), (hour + 1, true), (-hour, false), (-hour - 1, true)] as [(Int64, Bool)])
    func `a long stop looks like a jump`(_ gone: Int64, _ isDoubted: Bool) {
        let watch = ClockWatch(wall: start + gone, steady: start + gone, last: .init(trusted: start, seen: start))
        #expect((watch.doubt != nil) == isDoubted)
        #expect(watch.lastTrusted == (isDoubted ? start : start + gone))
    }

    @Test(arguments: [(0, true), (hour, true), (hour + 1, false), (-hour - 1, false)] as [(Int64, Bool)])
    func `a start soon after the end needs only what is left of the day`(_ gone: Int64, _ carriesOn: Bool) {
        let back = start + 9 * Self.day
        let first = ClockWatch(wall: back, steady: back, last: .init(trusted: start, seen: start))
        let memory = first.memory(wall: back + 20 * Self.hour, steady: back + 20 * Self.hour)
        #expect(memory == .init(trusted: start, seen: back + 20 * Self.hour, patienceLeft: 4 * Self.hour))
        let again = memory.seen + gone
        var watch = ClockWatch(wall: again, steady: again, last: memory)
        #expect(watch.doubt?.until == again + (carriesOn ? 4 * Self.hour : Self.day))
        let end = again + 4 * Self.hour
        #expect((watch.look(wall: end, steady: end) == .trusted) == carriesOn)
        #expect(watch.memory(wall: end, steady: end).patienceLeft == (carriesOn ? 0 : 20 * Self.hour))
    }

    @Test func `a damaged moment is just doubted`() {
        let damaged = Timestamp(milliseconds: .min)
        var watch = ClockWatch(
            wall: start, steady: start, last: .init(trusted: damaged, seen: damaged, patienceLeft: .max))
        #expect(watch.doubt?.until == start + Self.day)
        #expect(watch.look(wall: damaged, steady: start) != nil)
    }

    @Test func `a steady time begins at the wall clock's and goes its own way`() {
        let first = ClockReading(wall: start, steady: 77)
        let second = ClockReading(wall: start + 9_000_000, steady: 78)
        #expect(second.time(since: first) == start + 1)
    }
}

struct StrayAnswersTests {
    @Test func `a late answer is by right, once; made-up ones end the worker`() {
        var strays = StrayAnswers()
        strays.gaveUp(7)
        let late = strays.judge(7)
        #expect(late == .late)
        var judgements: [StrayAnswers.Judgement] = []
        for _ in 0..<20 { judgements.append(strays.judge(7)) }
        #expect(judgements.first == .stray)
        #expect(judgements.firstIndex(of: .intolerable) == StrayAnswers.tolerated)
        #expect(judgements.count { $0 != .strayAgain } == 2)
        strays.gaveUp(8)
        let lateStill = strays.judge(8)
        #expect(lateStill == .late)
    }

    @Test func `it remembers so many requests and no more`() {
        var strays = StrayAnswers()
        let most = UInt64(StrayAnswers.rememberedRequests)
        for request in 0...most { strays.gaveUp(request) }
        let remembered = strays.judge(most - 1)
        let forgotten = strays.judge(most)
        #expect(remembered == .late && forgotten == .stray)
    }
}

struct VersionTests {
    private func version(_ at: Int64, _ node: String?, _ sequence: UInt64?, _ receipt: Int64) -> Version {
        Version(at: Timestamp(milliseconds: at), node: node, sequence: sequence, receipt: receipt)
    }

    @Test(
        arguments: [
            // one node: the sequence, whatever the clock says
            (0, "a", 2, 1, 9_999, "a", 1, 2, VersionOrder.newer), (9_999, "a", 1, 2, 0, "a", 2, 1, .older),
            (0, "a", 1, 2, 0, "a", 1, 1, .same),
            // two nodes: the moment, if it is clear
            (5_001, "a", 1, 1, 0, "b", 9, 2, .newer), (0, "a", 9, 2, 5_001, "b", 1, 1, .older),
            (5_000, "a", 1, 1, 0, "b", 9, 2, .older), (0, "a", 1, 2, 5_000, "b", 9, 1, .newerApproximately),
            // no node or number: the receipt
            (0, nil, nil, 2, 9_999, "b", 1, 1, .newer), (9_999, "a", nil, 1, 0, "b", 1, 2, .older),
            (9_999, "a", 1, 1, 0, nil, nil, 2, .older), (0, nil, nil, 1, 0, nil, nil, 1, .same),
        ] as [(Int64, String?, UInt64?, Int64, Int64, String?, UInt64?, Int64, VersionOrder)])
    func `two versions are ordered`(
        _ case: (Int64, String?, UInt64?, Int64, Int64, String?, UInt64?, Int64, VersionOrder)
    ) {
        let (at, node, sequence, receipt, otherAt, otherNode, otherSequence, otherReceipt, order) = `case`
        let other = version(otherAt, otherNode, otherSequence, otherReceipt)
        #expect(version(at, node, sequence, receipt).order(after: other) == order)
    }

    @Test func `an older state of a node does not come back over another node's`() {
        var mark = HighWaterMark(version(1_000, "a", 5, 1))
        #expect(mark.hear(version(2_000, "b", 1, 2)) == .newerApproximately)
        #expect(mark.hear(version(900, "a", 4, 3)) == .older)
        #expect(mark.hear(version(2_100, nil, nil, 4)) == .newer)
        #expect(mark.hear(version(900, "a", 5, 5)) == .older)
        #expect(mark.version.receipt == 4)
    }

    @Test func `late states do not walk back in time`() {
        var mark = HighWaterMark(version(20_000, "a", 1, 1))
        #expect(mark.hear(version(16_000, "b", 1, 2)) == .newerApproximately)
        #expect(mark.hear(version(12_000, "c", 1, 3)) == .older)
        #expect(mark.version.receipt == 2)
    }

    /// Whatever the order of arrival: a node's older state never replaces its newer one, and a state never replaces one
    /// that another node says is more than the tolerance newer.
    @Test(arguments: 0..<500)
    func `no order of arrival lets an older state of a node win`(_ seed: UInt64) {
        var random = SplitMix(state: seed)
        var events: [(at: Int64, node: String, sequence: UInt64)] = []
        for node in ["a", "b", "c"] {
            var at: Int64 = 0
            for sequence in 1...6 as ClosedRange<UInt64> {
                at += Int64.random(in: 0...6_000, using: &random)
                events.append((at, node, sequence))
            }
        }
        events.shuffle(using: &random)
        var mark: HighWaterMark?
        var latest: Int64 = .min
        var heard: [String: UInt64] = [:]
        for (receipt, event) in events.enumerated() {
            let candidate = version(event.at, event.node, event.sequence, Int64(receipt))
            let order = mark?.hear(candidate) ?? .newer
            if mark == nil { mark = HighWaterMark(candidate) }
            if order == .newer || order == .newerApproximately {
                #expect(event.sequence > heard[event.node] ?? 0, "seed \(seed)")
                #expect(latest == .min || event.at >= latest - Version.tolerance, "seed \(seed)")
                latest = max(latest, event.at)
            }
            heard[event.node] = max(heard[event.node] ?? 0, event.sequence)
        }
    }
}

struct SubjectStateTests {
    private let key = SubjectKey(instance: "prod", realmID: "corp", userID: "u1")

    private func version(_ sequence: UInt64, at: Int64 = 0) -> Version {
        Version(at: Timestamp(milliseconds: at), node: "a", sequence: sequence, receipt: Int64(sequence))
    }

    @Test func `what is written is read back, and nothing else`() throws {
        var state = SubjectState(key: key)
        #expect(SubjectState(bytes: state.bytes) == state)
        state.learn(
            SubjectFacts(syncEnabled: .known(["true"]), userType: .known([])), from: .profileUpdated,
            version: version(1))
        state.learn(SubjectFacts(syncEnabled: .known(["no", ""])), from: .logout, version: version(2, at: 3))
        _ = state.accept(.credential, kind: .passwordUpdated, hasSecret: true, version: version(2))
        _ = state.accept(
            .profile, kind: .profileUpdated, hasSecret: false,
            version: Version(at: Timestamp(milliseconds: 5), node: nil, sequence: nil, receipt: 9))
        _ = state.accept(.credential, kind: .passwordUpdated, hasSecret: false, version: version(3, at: 7))
        #expect(SubjectState(bytes: state.bytes) == state)
        for count in 0..<state.bytes.count { #expect(SubjectState(bytes: Array(state.bytes[..<count])) == nil) }
        #expect(SubjectState(bytes: state.bytes + [0]) == nil)
    }

    private func facts(_ syncEnabled: String?, _ externalID: String? = nil) -> SubjectFacts {
        SubjectFacts(
            syncEnabled: syncEnabled.map { .known([$0]) } ?? .unknown,
            externalID: externalID.map { .known([$0]) } ?? .unknown)
    }

    /// What is told, by which kind, as which number of the node, at which moment; and whether sync is on in the end.
    @Test(
        arguments: [
            // A notification opts out, not in.
            ([("true", .profileUpdated, 1, 10), ("false", .logout, 2, 20)], false),
            ([("false", .profileUpdated, 1, 10), ("true", .logout, 2, 20)], false),
            ([("true", .logout, 1, 10)], nil),
            // Within a millisecond the node's numbers count.
            ([("true", .profileUpdated, 1, 10), ("false", .logout, 2, 10)], false),
            ([("true", .profileUpdated, 2, 10), ("false", .logout, 1, 10)], true),
            // A late one says nothing new.
            ([("true", .profileUpdated, 2, 20), ("false", .logout, 1, 10)], true),
            ([("true", .profileUpdated, 2, 20), ("false", .profileUpdated, 1, 10)], true),
            // A newer change opts in again, an older one does not; whatever number the notification made up.
            ([("true", .profileUpdated, 1, 10), ("false", .logout, .max, 20), ("true", .userRenamed, 3, 30)], true),
            ([("false", .logout, 2, 20), ("true", .profileUpdated, 1, 10)], false),
            ([("false", .logout, 2, 20), ("true", .profileUpdated, 1, 10), ("true", .userCreated, 3, 20)], true),
            // A notification does not make a real opt-out old.
            ([("true", .profileUpdated, 1, 10), ("true", .logout, .max, 20), ("false", .userRenamed, 2, 15)], false),
            // Nor does a change that is silent about sync.
            ([("true", .profileUpdated, 1, 10), (nil, .passwordUpdated, 3, 30), ("false", .logout, 2, 20)], false),
            ([("true", .profileUpdated, 1, 10), (nil, .userRenamed, 3, 30), ("false", .userDisabled, 2, 20)], false),
        ] as [([(String?, EventKind, UInt64, Int64)], Bool?)])
    func `opting out wins, whoever tells it, and only changes opt in`(
        _ told: [(String?, EventKind, UInt64, Int64)], _ isOptedIn: Bool?
    ) {
        var state = SubjectState(key: key)
        for (receipt, (syncEnabled, kind, sequence, at)) in told.enumerated() {
            state.learn(
                facts(syncEnabled, "E-1"), from: kind,
                version: Version(
                    at: Timestamp(milliseconds: at), node: "a", sequence: sequence, receipt: Int64(receipt + 1)))
        }
        #expect(state.facts.isOptedIn == isOptedIn)
        #expect(SubjectState(bytes: state.bytes) == state)
    }

    @Test func `a notification's facts are its own, and it opts nobody in`() {
        var state = SubjectState(key: key)
        let own = facts("true", "E-9")
        #expect(state.facts(for: .logout, telling: own) == own)
        state.learn(facts("true", "E-1"), from: .profileUpdated, version: version(1))
        #expect(state.facts(for: .logout, telling: own) == own)
        #expect(state.facts(for: .logout, telling: SubjectFacts()) == facts("true", "E-1"))
        #expect(state.facts(for: .passwordUpdated, telling: own) == facts("true", "E-1"))
        state.learn(facts("false", "E-1"), from: .profileUpdated, version: version(2))
        #expect(state.facts(for: .logout, telling: own) == facts("false", "E-9"))
    }

    @Test func `a captured password is accepted once, and the newest stays`() {
        var state = SubjectState(key: key)
        func hear(_ sequence: UInt64, hasSecret: Bool = true) -> SubjectState.Acceptance {
            state.accept(.credential, kind: .passwordUpdated, hasSecret: hasSecret, version: version(sequence))
        }
        #expect(hear(2) == .newest(approximately: false))
        #expect(hear(2) == .outdated)
        #expect(hear(1) == .outdated)
        #expect(hear(3, hasSecret: false) == .notCaptured)
        #expect(state.newest(.credential)?.receipt == 2)
        #expect(state.notCapturedSince != nil)
        #expect(hear(4) == .newest(approximately: false))
        #expect(state.notCapturedSince == nil)
    }

    @Test func `an older captured password does not cover up one that nobody caught`() {
        var state = SubjectState(key: key)
        _ = state.accept(.credential, kind: .passwordUpdated, hasSecret: false, version: version(9, at: 900))
        _ = state.accept(.credential, kind: .passwordUpdated, hasSecret: true, version: version(8, at: 800))
        #expect(state.notCapturedSince == Timestamp(milliseconds: 900))
        _ = state.accept(.credential, kind: .passwordUpdated, hasSecret: true, version: version(9, at: 900))
        #expect(state.notCapturedSince == nil)
    }

    /// What is heard, as which number of the node, and whether it counts.
    @Test(
        arguments: [
            // A newer word on one thing does not make the word on another old.
            [(.userDisabled, 3, true), (.userCreated, 1, true), (.userRenamed, 2, true)],
            [(.userRenamed, 3, true), (.userDisabled, 2, true)],
            // On the same thing it does.
            [(.userRenamed, 3, true), (.userRenamed, 2, false)], [(.userDisabled, 3, true), (.userDisabled, 2, false)],
            [(.userCreated, 2, true), (.userCreated, 1, false)],
            // A creation or deletion says it all.
            [(.userCreated, 3, true), (.userRenamed, 2, false), (.userDisabled, 1, false), (.userRenamed, 4, true)],
            [(.userDeleted, 3, true), (.userCreated, 1, false), (.userDisabled, 2, false)],
            // A deletion is never outdated.
            [(.userCreated, 3, true), (.userDeleted, 2, true), (.userDisabled, 4, true), (.userDeleted, 1, true)],
        ] as [[(EventKind, UInt64, Bool)]])
    func `lifecycle changes are newer or older by what they speak of`(_ heard: [(EventKind, UInt64, Bool)]) {
        var state = SubjectState(key: key)
        for (kind, sequence, counts) in heard {
            let acceptance = state.accept(.lifecycle, kind: kind, hasSecret: false, version: version(sequence))
            #expect((acceptance != .outdated) == counts, "\(kind) \(sequence)")
            #expect(SubjectState(bytes: state.bytes) == state)
        }
    }

    @Test func `what was accepted may become pointless`() {
        var state = SubjectState(key: key)
        func isOutdated(_ kind: EventKind, _ sequence: Int64) -> Bool {
            state.isOutdated(DeliveryKey(sequence: sequence, slot: 0, deliveryClass: kind.deliveryClass), kind)
        }
        func hear(_ kind: EventKind, _ sequence: UInt64) {
            _ = state.accept(kind.deliveryClass, kind: kind, hasSecret: true, version: version(sequence))
        }
        hear(.passwordUpdated, 4)
        #expect(isOutdated(.passwordUpdated, 3) && !isOutdated(.passwordUpdated, 4) && !isOutdated(.profileUpdated, 1))
        hear(.userRenamed, 5)
        #expect(!isOutdated(.userRenamed, 5) && state.wasChangedSinceCreation)
        hear(.userCreated, 2)
        #expect(!isOutdated(.userRenamed, 5) && state.wasChangedSinceCreation)
        hear(.userCreated, 6)
        #expect(isOutdated(.userRenamed, 5) && !isOutdated(.userDisabled, 5) && !state.wasChangedSinceCreation)
        #expect(!isOutdated(.userCreated, 2) && !isOutdated(.logout, 1))
    }

    @Test func `classes have marks of their own, and notifications none`() {
        var state = SubjectState(key: key)
        _ = state.accept(.credential, kind: .passwordUpdated, hasSecret: true, version: version(5))
        #expect(
            state.accept(.profile, kind: .profileUpdated, hasSecret: false, version: version(4))
                == .newest(approximately: false))
        for _ in 0..<2 {
            #expect(
                state.accept(.notification, kind: .logout, hasSecret: false, version: version(1))
                    == .newest(approximately: false))
        }
    }
}

struct TargetingRuleTests {
    private static let rule = TargetingRule(
        kinds: Set(EventKind.allCases), userTypes: .some(["employee", "contractor"]), defaultUserType: "employee")
    private static let facts = SubjectFacts(
        syncEnabled: .known(["true"]), userType: .known(["employee"]), externalID: .known(["E-1"]))

    private static func facts(_ change: (inout SubjectFacts) -> Void) -> SubjectFacts {
        var facts = facts
        change(&facts)
        return facts
    }

    @Test(arguments: [
        (facts, TargetingDecision.deliver(externalID: "E-1")),
        (facts { $0.syncEnabled = .known(["TRUE"]) }, .deliver(externalID: "E-1")),
        (facts { $0.syncEnabled = .unknown }, .skip(.attributesUnknown)),
        (facts { $0.syncEnabled = .known([]) }, .skip(.notEnabled)),
        (facts { $0.syncEnabled = .known(["false"]) }, .skip(.notEnabled)),
        (facts { $0.syncEnabled = .known(["yes"]) }, .skip(.notEnabled)),
        (facts { $0.syncEnabled = .known(["true", "true"]) }, .skip(.notEnabled)),
        (facts { $0.userType = .known(["contractor"]) }, .deliver(externalID: "E-1")),
        (facts { $0.userType = .known(["guest", "contractor"]) }, .deliver(externalID: "E-1")),
        (facts { $0.userType = .known([]) }, .deliver(externalID: "E-1")),
        (facts { $0.userType = .known(["guest"]) }, .skip(.otherUserType)),
        (facts { $0.userType = .unknown }, .skip(.attributesUnknown)),
        (facts { $0.externalID = .unknown }, .skip(.attributesUnknown)),
        (facts { $0.externalID = .known([]) }, .skip(.noExternalID)),
        (facts { $0.externalID = .known([""]) }, .skip(.noExternalID)),
        (facts { $0.externalID = .known(["E-1", "E-2"]) }, .skip(.ambiguousExternalID)),
    ])
    func `a subject is eligible, or there is a reason`(_ facts: SubjectFacts, _ decision: TargetingDecision) {
        for kind in EventKind.allCases where kind != .userDeleted {
            #expect(Self.rule.decide(kind, facts: facts, isBound: false) == decision)
        }
    }

    @Test func `an absent type without a default is no type, and a rule for all types asks for none`() {
        var rule = Self.rule
        rule.defaultUserType = nil
        let untyped = Self.facts { $0.userType = .known([]) }
        #expect(rule.decide(.logout, facts: untyped, isBound: false) == .skip(.otherUserType))
        rule.userTypes = .all
        let unknown = Self.facts { $0.userType = .unknown }
        #expect(rule.decide(.logout, facts: unknown, isBound: false) == .deliver(externalID: "E-1"))
    }

    @Test(arguments: [Known.unknown, .known([]), .known([""])] as [Known<[String]>])
    func `a provider that finds accounts otherwise needs no external id`(_ externalID: Known<[String]>) {
        var rule = Self.rule
        rule.needsExternalID = false
        let facts = Self.facts { $0.externalID = externalID }
        #expect(rule.decide(.passwordUpdated, facts: facts, isBound: false) == .deliver(externalID: nil))
    }

    @Test func `switches come before everything else`() {
        var rule = Self.rule
        rule.kinds = [.passwordUpdated]
        #expect(rule.decide(.logout, facts: Self.facts, isBound: false) == .skip(.kindNotRouted))
        rule.providerIsOn = false
        #expect(rule.decide(.logout, facts: Self.facts, isBound: false) == .skip(.providerOff))
        rule.syncIsOn = false
        #expect(rule.decide(.userDeleted, facts: Self.facts, isBound: true) == .skip(.syncOff))
    }

    @Test func `deletes are targeted by bindings, notifications as the provider wishes`() {
        var rule = Self.rule
        let optedOut = Self.facts { $0.syncEnabled = .known([]) }
        #expect(rule.decide(.userDeleted, facts: optedOut, isBound: true) == .deliver(externalID: "E-1"))
        #expect(rule.decide(.userDeleted, facts: Self.facts, isBound: false) == .skip(.notBound))
        #expect(rule.decide(.loginFailed, facts: nil, isBound: false) == .skip(.noSubject))
        rule.notify = .all
        #expect(rule.decide(.loginFailed, facts: nil, isBound: false) == .deliver(externalID: nil))
        #expect(rule.decide(.loginFailed, facts: SubjectFacts(), isBound: false) == .deliver(externalID: nil))
        #expect(rule.decide(.loginFailed, facts: optedOut, isBound: false) == .deliver(externalID: "E-1"))
        #expect(rule.decide(.passwordUpdated, facts: optedOut, isBound: true) == .skip(.notEnabled))
    }
}

struct AttributeMappingTests {
    private let mapping = AttributeMapping(
        rules: ["username", "email", "firstName", "lastName", "attributes.department"].compactMap {
            .init(target: "t-\($0)", origin: AttributeMapping.Origin(name: $0) ?? .username)
        })

    private func attributes(_ subject: String) throws -> String {
        String(decoding: mapping.attributes(of: try JSONValue(parsing: Array(subject.utf8))).bytes, as: UTF8.self)
    }

    @Test func `a value, no value and an unknown value are three things`() throws {
        #expect(
            try attributes(#"{"username":"u","email":"","firstName":null,"attributes":{"department":["a","","b"]}}"#)
                == #"{"t-username":["u"],"t-email":[],"t-firstName":[],"t-attributes.department":["a","b"]}"#)
        #expect(try attributes("{}") == "{}")
        #expect(mapping.attributes(of: nil) == .object([]))
    }

    @Test func `a full snapshot empties what it does not have`() throws {
        #expect(
            try attributes(#"{"complete":true,"email":"e"}"#)
                == #"{"t-username":[],"t-email":["e"],"t-firstName":[],"t-lastName":[],"t-attributes.department":[]}"#)
        #expect(try attributes(#"{"complete":"true"}"#) == "{}")
    }

    @Test(arguments: ["", "Email", "attributes", "attributes.", "department"])
    func `an origin that does not exist is refused`(_ name: String) {
        #expect(AttributeMapping.Origin(name: name) == nil)
    }
}
