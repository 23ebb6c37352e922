import Delivery
import Dispatch
import EventModel
import Glibc
import Installations
import Synchronization
import TargetServers
import Testing
import Workbench

extension `End to end` {
    @Suite struct `When the daemon is killed` {
        /// What goes wrong in a round.
        private enum Trouble: CaseIterable {
            /// The daemon is killed under load.
            case kill
            /// … and was killed before, in the middle of its start.
            case killTwice
            /// … while nothing can be delivered.
            case killWithoutDirectory
            /// The daemon is asked to end under load.
            case stop
        }

        @Test
        func `what was accepted is kept, goes out in order, and the last accepted password is the one that counts`()
            async throws
        {
            let users = (0..<16).map { "user\($0)" }
            let directory = try OpenLDAP(entries: users.map { OpenLDAP.account($0) }.joined())
            let workforce = try HTTPReceiver()
            let installation = try Installation(directory)
            try installation.add(workforce)
            let oracle = Oracle()
            let seed = UInt64.random(in: 0 ... .max)
            var random = SplitMix(state: seed)

            for trouble in (Trouble.allCases + Trouble.allCases).shuffled(using: &random) {
                if trouble == .killWithoutDirectory { directory.stop() }
                if trouble == .killTwice {
                    let before = installation.log.count
                    let daemon = try installation.launch()
                    try await eventually("a worker is ready") {
                        installation.log.dropFirst(before).contains("worker ready") || daemon.hasEnded()
                    }
                    try await installation.crash()
                }
                try await installation.start()
                let workers = try installation.providers().compactMap(\.pid)
                #expect(workers.count == 2)
                let clients = (0..<4).map { part in
                    Client(users: users.indices.filter { $0 % 4 == part }.map { users[$0] }, installation, oracle)
                }
                let enough = Int.random(in: 20...250, using: &random)
                try await eventually("enough are accepted (seed \(seed))") { oracle.acknowledged.count >= enough }
                if trouble == .stop {
                    #expect(try await installation.stop() == 0)
                } else {
                    try await installation.crash()
                }
                for client in clients { try await eventually("the client notices") { client.hasEnded } }
                try await eventually("no worker outlives the daemon") { workers.allSatisfy(hasEnded) }

                try await installation.start()
                let acknowledged = oracle.takeAcknowledged()
                if trouble == .killWithoutDirectory {
                    let posted = Set(acknowledged.map(\.user)).count
                    try await eventually("all that was kept is waiting again (seed \(seed))") {
                        let report = try installation.provider().report
                        return report.waiting + report.inFlight >= posted
                    }
                }
                // What was answered with 202 is known, so posting it again changes nothing.
                var fates: [String?] = []
                for start in stride(from: 0, to: acknowledged.count, by: 200) {
                    let some = acknowledged[start..<min(start + 200, acknowledged.count)].map(\.event)
                    let body = Array(some.joined(separator: [10]))
                    let answer = try installation.post(installation.kc.request(body, type: "application/x-ndjson"))
                    fates += answer.json["results"]?.elements?.map { $0["status"]?.text } ?? []
                }
                #expect(fates.count == acknowledged.count)
                #expect(fates.allSatisfy { $0 == "duplicate" }, "seed \(seed)")
                try await installation.crash()
                if trouble == .killWithoutDirectory { try directory.start() }
            }
            try await installation.start()
            try await eventually("all deliveries have ended (seed \(seed))") {
                try installation.providers().map(\.report).allSatisfy {
                    $0.waiting + $0.inFlight == 0 && $0.unaccounted == 0
                }
            }
            #expect(try installation.queue().isEmpty)
            for name in users {
                let candidates = oracle.candidates(for: name)
                let good = candidates.filter { directory.bind(OpenLDAP.name(name), password: $0) == 0 }
                #expect(good.count == 1, "\(name): \(candidates), seed \(seed)")
                // Passwords carry the number of the post. What was sent is in order; a repeated one says so.
                let sent = workforce.requests.filter { $0.path == "/users/\(name)/password" }
                let numbers = sent.compactMap { request in
                    request.text.firstRange(of: "secret ").flatMap {
                        Int(request.text[$0.upperBound...].prefix { $0.isNumber })
                    }
                }
                #expect(numbers.count == sent.count)
                #expect(numbers == numbers.sorted(), "\(name), seed \(seed)")
                #expect(Set(sent.map { $0.header("idempotency-key") }).count == Set(numbers).count)
            }
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
        /// Those that were sent after it and not answered, one at most each time the daemon ended.
        var unanswered: [String: [String]] = [:]
        var acknowledged: [Acknowledged] = []
        var count = 0
    }

    /// An event that was answered with 202, as it was posted.
    struct Acknowledged {
        var user: String
        var event: [UInt8]
    }

    private let state = Mutex(State())

    /// Those that were not taken yet.
    var acknowledged: [Acknowledged] { state.withLock { $0.acknowledged } }

    func takeAcknowledged() -> [Acknowledged] {
        state.withLock { state in
            defer { state.acknowledged = [] }
            return state.acknowledged
        }
    }

    /// A new password, larger in number than all before, that is about to be sent.
    func nextPassword(for user: String) -> String {
        state.withLock { state in
            state.count += 1
            let password = "secret \(state.count)"
            state.unanswered[user, default: []].append(password)
            return password
        }
    }

    func wasAccepted(_ password: String, for user: String, _ event: [UInt8]) {
        state.withLock { state in
            state.accepted[user] = password
            state.unanswered[user] = nil
            state.acknowledged.append(Acknowledged(user: user, event: event))
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
                let password = oracle.nextPassword(for: user)
                let event = Event(of: user, password: password).bytes
                try connection.send(installation.kc.request(event))
                guard try connection.answer().status == 202 else { throw Failure("not accepted") }
                oracle.wasAccepted(password, for: user, event)
            }
        }
    }
}
