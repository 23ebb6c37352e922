import EventModel
import Foundation
import Journal
import Testing
import Workbench

@testable import Delivery

/// Random schedules of events, answers, lost workers, restarts and kills, against rules that are checked from outside.
struct ScheduleTests {
    private static let journals: UInt64 = 100
    private static let schedulesPerJournal = 20

    @Test func `no schedule loses a change, lets an older one win, or breaks the order`() async throws {
        // A thread of its own: it waits for the disk all the time, and other tests want to go on.
        let broken = await withCheckedContinuation { continuation in
            Thread.detachNewThread { continuation.resume(returning: Self.firstBroken()) }
        }
        #expect(broken == nil)
    }

    /// The first seed whose schedules break a rule, and which.
    private static func firstBroken() -> String? {
        for seed in 0..<journals {
            do {
                let schedule = try Schedule(seed: seed)
                for number in 0..<schedulesPerJournal {
                    try schedule.run()
                    if let rule = schedule.broken.first { return "seed \(seed), schedule \(number): \(rule)" }
                }
                try schedule.end()
                if let rule = schedule.broken.first { return "seed \(seed), at the end: \(rule)" }
            } catch {
                return "seed \(seed): \(error)"
            }
        }
        return nil
    }
}

/// Schedules one after the other, each about users of its own, and their oracle.
private final class Schedule {
    private let rig: Rig
    private var random: SplitMix
    /// Which rules were broken.
    private(set) var broken: [String] = []

    private static let slots = 0...1
    private var group = 0
    private var posted = 0
    private var nodeSequence: UInt64 = 0
    /// Versions that were taken and not posted yet: they arrive late.
    private var late: [UInt64] = []
    /// The password of each event that has one.
    private var passwords: [String: String] = [:]
    private var sequences: [String: UInt64] = [:]
    /// The newest version that was accepted, and the event that told it.
    private var newest: [Lane: (sequence: UInt64, event: String)] = [:]
    /// What each account holds: the event whose state was written last.
    private var written: [Target: String] = [:]
    /// Deliveries that ended as dead letters.
    private var buried: Set<String> = []
    private var attempts: [String: Int] = [:]
    private var made = 0

    private struct Lane: Hashable {
        var user: String
        var deliveryClass: DeliveryClass

        init(user: String, deliveryClass: DeliveryClass) {
            self.user = user
            self.deliveryClass = deliveryClass
        }

        init(_ request: SeenRequest) {
            user = request.externalID.map { String($0.dropFirst(2)) } ?? ""
            deliveryClass = request.deliveryClass
        }
    }

    private struct Target: Hashable {
        var slot: Int
        var lane: Lane
    }

    init(seed: UInt64) throws {
        random = SplitMix(state: seed &* 0x5851_f42d_4c95_7f2d)
        rig = try Rig(
            Self.slots.map { .test($0, window: 3, canRead: $0 == 0) }, seed: seed, in: TemporaryFolder(inMemory: true))
    }

    func run() throws {
        group += 1
        rig.holdsChanges = Bool.random(using: &random)
        for _ in 0..<Int.random(in: 10...60, using: &random) {
            try step()
            check()
            if !broken.isEmpty { return }
        }
        try drain()
        try checkTheEnd()
    }

    private func step() throws {
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<35: try post()
        case 35..<75: try answerOne()
        case 75..<82: try rig.advance(Int64.random(in: 0...90_000, using: &random))
        case 82..<86: try rig.flush()
        case 86..<90: try loseWorker(Self.slots.randomElement(using: &random) ?? 0)
        case 90..<96:
            try loseEndedWorkers()
            rig.connect()
            try rig.turn()
        default:
            try rig.restart(killed: Bool.random(using: &random))
            seen = []
        }
    }

    /// Until its end a worker may carry out what it was asked for, whatever became of that here.
    private func loseWorker(_ slot: Int) throws {
        for request in rig.requests(slot) where Bool.random(using: &random) { write(request, slot) }
        try rig.loseWorker(slot)
    }

    /// The workers that were to end do so.
    private func loseEndedWorkers() throws {
        for slot in Self.slots where rig.ports[slot]?.restarted.isEmpty == false { try loseWorker(slot) }
    }

    private func write(_ request: SeenRequest, _ slot: Int) {
        guard request.deliveryClass.isState, !request.isLookUp else { return }
        written[Target(slot: slot, lane: Lane(request))] = Self.event(request)
    }

    private static func event(_ request: SeenRequest) -> String {
        String(request.idempotencyKey.prefix { $0 != ":" })
    }

    private func post() throws {
        let user = "u\(group)-\(Int.random(in: 1...3, using: &random))"
        posted += 1
        nodeSequence += 1
        var sequence = nodeSequence
        if Int.random(in: 0..<5, using: &random) == 0 {
            late.append(sequence)
            nodeSequence += 1
            sequence = nodeSequence
        } else if Int.random(in: 0..<5, using: &random) == 0, let old = late.popLast() {
            sequence = old
        }
        var event = TestEvent(id: "e\(posted)", user: user, sequence: sequence, externalID: "E-\(user)")
        switch Int.random(in: 0..<10, using: &random) {
        case 0..<5:
            event.password = "pw-\(posted)"
            passwords[event.id] = event.password
        case 5..<8:
            event.kind = .profileUpdated
            event.email = event.id
        case 8: event.kind = [.userRenamed, .userDisabled, .userCreated].randomElement(using: &random) ?? .userRenamed
        default: event.kind = .logout
        }
        sequences[event.id] = sequence
        made += 1
        let lane = Lane(user: user, deliveryClass: event.kind.deliveryClass)
        if lane.deliveryClass.isState, sequence > newest[lane]?.sequence ?? 0 { newest[lane] = (sequence, event.id) }
        try rig.post(event)
    }

    private func answerOne(mayFail: Bool = true) throws {
        let waiting = Self.slots.flatMap { slot in rig.requests(slot).map { (slot, $0) } }
        guard let (slot, request) = waiting.randomElement(using: &random) else { return try answerChecks(mayFail) }
        let delivery = request.idempotencyKey
        let lane = Lane(request)
        var outcome = Outcome.delivered
        if mayFail, Bool.random(using: &random) {
            let outcomes: [Outcome] = [.retry, .retry, .unknown, .unknown, .absent, .misconfigured, .refused]
            outcome = outcomes.randomElement(using: &random) ?? .retry
        }
        if outcome == .delivered || outcome == .unknown && Bool.random(using: &random) { write(request, slot) }
        if outcome == .refused || outcome == .absent && lane.deliveryClass == .notification { buried.insert(delivery) }
        try rig.answer(
            request, Completion(outcome, detail: "said so", account: slot == 0 ? "uuid-\(lane.user)" : nil), slot: slot)
    }

    private func answerChecks(_ mayFail: Bool) throws {
        for slot in Self.slots {
            for check in rig.ports[slot]?.takeChecks() ?? [] {
                guard let index = rig.core.index(ofSlot: slot) else { continue }
                let outcome: Outcome = mayFail && Bool.random(using: &random) ? .misconfigured : .delivered
                rig.core.answered(
                    [(check, Completion(outcome))], generation: rig.core.providers[index].generation, slot: slot,
                    now: rig.now)
                try rig.turn()
            }
        }
    }

    /// Requests that were looked at already, of this run.
    private var seen: Set<String> = []

    private func expect(_ isKept: Bool, _ rule: @autoclosure () throws -> String) rethrows {
        if !isKept { broken.append(try rule()) }
    }

    /// The rules that hold at every moment.
    private func check() {
        for slot in Self.slots {
            guard let report = try? rig.report(slot) else { continue }
            expect(report.unaccounted == 0, "\(report.unaccounted) unaccounted: \(report)")
            expect(report.counters["made"] ?? 0 == made, "made \(report.counters["made"] ?? 0), posted \(made)")
            var lanes: [Lane: Int] = [:]
            for request in rig.requests(slot) {
                let event = Self.event(request)
                let lane = Lane(request)
                if lane.deliveryClass != .notification { lanes[lane, default: 0] += 1 }
                guard seen.insert("\(slot) \(request.id)").inserted else { continue }
                if lane.deliveryClass.isState {
                    // Nothing older than what is accepted is ever sent.
                    expect(newest[lane]?.event == event, "sent \(event), newest is \(newest[lane]?.event ?? "none")")
                }
                if lane.deliveryClass == .credential, !request.isLookUp {
                    expect(request.secret == passwords[event], "\(event) has another password")
                } else {
                    expect(request.secret == nil, "\(event) carries a secret")
                }
                if let password = passwords[event] {
                    expect(!request.event.contains(password), "\(event) has its password in the body")
                }
            }
            for (lane, count) in lanes where count > 1 { expect(false, "\(count) in flight in \(lane)") }
            for (lane, _) in lanes where lane.deliveryClass == .lifecycle {
                let others = lanes.keys.filter { $0.user == lane.user }
                expect(others.count == 1, "\(others) pass a lifecycle change")
            }
        }
    }

    /// From now on nothing fails: everything must end.
    private func drain() throws {
        for _ in 0..<2_000 {
            try loseEndedWorkers()
            rig.connect()
            try rig.turn()
            check()
            if !broken.isEmpty { return }
            let isBusy = Self.slots.contains { !rig.requests($0).isEmpty }
            if isBusy {
                try answerOne(mayFail: false)
            } else {
                try answerChecks(false)
                let isDone = try Self.slots.allSatisfy { slot in
                    let report = try rig.report(slot)
                    return report.waiting + report.inFlight == 0
                }
                if isDone { return }
                let idle = rig.core.idleTime(now: rig.now)
                try rig.advance(max(1, idle))
            }
        }
        try expect(false, "it does not come to an end: \(try Self.slots.map { try rig.report($0) })")
    }

    private func checkTheEnd() throws {
        for slot in Self.slots {
            for (lane, last) in newest {
                let key = "\(last.event):provider-\(slot):\(lane.deliveryClass.name)"
                if buried.contains(where: { $0.hasPrefix("\(key):") }) { continue }
                let target = written[Target(slot: slot, lane: lane)]
                expect(target == last.event, "\(slot) \(lane) ends with \(target ?? "nothing"), not \(last.event)")
            }
        }
        // Secrets stay for dead letters only.
        let kept = Set(try rig.storedSecrets())
        let letters = try rig.journal.deadLetters(.all).filter { $0.id.deliveryClass == .credential }
        expect(kept.isSubset(of: Set(letters.map(\.id.sequence))), "secrets are left: \(kept)")
        expect(try rig.journal.deliveries(limit: 10).isEmpty, "deliveries are left on disk")
        expect(rig.core.bindings.isUnclaimed, "claims are left")
        for slot in Self.slots {
            let dead = try rig.journal.deadLetters(.all).count { $0.id.slot == slot }
            expect(try rig.report(slot).counters["dead"] ?? 0 == Int64(dead), "dead letters do not add up")
        }
        newest = [:]
        written = [:]
        late = []
    }

    /// The counters on disk are the ones in memory.
    func end() throws {
        try rig.restart()
        for slot in Self.slots { expect(try rig.report(slot).unaccounted == 0, "unaccounted after the last start") }
    }
}
