import Delivery
import Dispatch
import EventModel
import Glibc
import Synchronization
import TargetServers
import Testing

extension `End to end` {
    @Suite struct `When the daemon is killed` {
        @Test func `what was accepted is kept, and in the end every user has the last accepted password`() async throws
        {
            let users = (0..<16).map { "user\($0)" }
            let directory = try OpenLDAP(entries: users.map { OpenLDAP.account($0) }.joined())
            let installation = try Installation(directory)
            let oracle = Oracle()
            let seed = UInt64.random(in: 0 ... .max)
            var random = Seeded(state: seed)

            for round in 0..<4 {
                // In one round nothing can be delivered.
                if round == 2 { directory.stop() }
                if round == 3 { try directory.start() }
                try await installation.start()
                let workers = try installation.providers().compactMap(\.pid)
                #expect(!workers.isEmpty)
                let clients = (0..<4).map { part in
                    Client(users: users.indices.filter { $0 % 4 == part }.map { users[$0] }, installation, oracle)
                }
                let enough = Int.random(in: 40...300, using: &random)
                try await eventually("enough are accepted (seed \(seed))") { oracle.acknowledged.count >= enough }
                try await installation.crash()
                for client in clients { try await eventually("the client notices") { client.hasEnded } }
                try await eventually("no worker outlives the daemon") { workers.allSatisfy(hasEnded) }

                try await installation.start()
                if round == 2 {
                    let report = try installation.provider().report
                    #expect(report.waiting + report.inFlight == users.count, "\(report), seed \(seed)")
                }
                // What was answered with 202 is known, so posting it again changes nothing.
                let acknowledged = oracle.takeAcknowledged()
                let body = Array(acknowledged.joined(separator: [10]))
                let answer = try installation.post(installation.kc.request(body, type: "application/x-ndjson"))
                let fates = answer.json["results"]?.elements?.map { $0["status"]?.text } ?? []
                #expect(fates.count == acknowledged.count)
                #expect(fates.allSatisfy { $0 == "duplicate" }, "seed \(seed)")
                try await installation.crash()
            }
            try await installation.start()
            try await eventually("all deliveries have ended (seed \(seed))") {
                let report = try installation.provider().report
                return report.waiting + report.inFlight == 0 && report.unaccounted == 0
            }
            for name in users {
                let candidates = oracle.candidates(for: name)
                let good = candidates.filter { directory.bind(OpenLDAP.name(name), password: $0) == 0 }
                #expect(good.count == 1, "\(name): \(candidates), seed \(seed)")
            }
            #expect(try installation.queue().isEmpty)
        }

        private func hasEnded(_ pid: pid_t) -> Bool {
            guard let status = try? Folder.read("/proc/\(pid)/stat") else { return true }
            return status.isEmpty || status.contains(") Z ")
        }
    }
}

/// What the world outside the daemon knows: which passwords were accepted, and which may have been.
private final class Oracle: Sendable {
    private struct State {
        /// The last one of each user that was answered with 202.
        var accepted: [String: String] = [:]
        /// Those that were sent after it and not answered, one at most each time the daemon was killed.
        var unanswered: [String: [String]] = [:]
        var acknowledged: [[UInt8]] = []
    }

    private let state = Mutex(State())

    /// Events that were answered with 202 and not taken yet, as they were posted.
    var acknowledged: [[UInt8]] { state.withLock { $0.acknowledged } }

    func takeAcknowledged() -> [[UInt8]] {
        state.withLock { state in
            defer { state.acknowledged = [] }
            return state.acknowledged
        }
    }

    func sends(_ password: String, for user: String) {
        state.withLock { $0.unanswered[user, default: []].append(password) }
    }

    func wasAccepted(_ password: String, for user: String, _ event: [UInt8]) {
        state.withLock { state in
            state.accepted[user] = password
            state.unanswered[user] = nil
            state.acknowledged.append(event)
        }
    }

    /// What the user's password may be in the end.
    func candidates(for user: String) -> [String] {
        state.withLock { [$0.accepted[user] ?? "before"] + ($0.unanswered[user] ?? []) }
    }
}

/// Posts one password after the other for its users, on a connection of its own, until the daemon is gone.
private final class Client: Sendable {
    private let ended = Atomic(false)

    var hasEnded: Bool { ended.load(ordering: .acquiring) }

    init(users: [String], _ installation: Installation, _ oracle: Oracle) {
        DispatchQueue(label: "client").async { [self] in
            try? post(users, installation, oracle)
            ended.store(true, ordering: .releasing)
        }
    }

    private func post(_ users: [String], _ installation: Installation, _ oracle: Oracle) throws {
        let connection = try installation.connect()
        while true {
            for user in users {
                let password = "secret \(UInt64.random(in: 0 ... .max))"
                let event = Event(of: user, password: password).bytes
                oracle.sends(password, for: user)
                try connection.send(installation.kc.request(event))
                guard try connection.answer().status == 202 else { throw Failure("not accepted") }
                oracle.wasAccepted(password, for: user, event)
            }
        }
    }
}

/// Random numbers that a seed repeats (SplitMix64).
private struct Seeded: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
