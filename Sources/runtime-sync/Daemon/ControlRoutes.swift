internal import Control
internal import Delivery
internal import FoundationEssentials
internal import HTTPTypes
internal import Intake
internal import Supervision
internal import WorkerProtocol

/// What a running daemon answers over its control socket; the other end of the commands.
struct ControlRoutes: Sendable {
    let dispatcher: Dispatcher
    let hosts: [ProviderHost]
    let intake: AddressBox
    let room: JournalRoom

    var all: [ControlRoute] {
        [
            ControlRoute(.get, "/status") { _ in
                try Self.json(DaemonStatus(version: RuntimeSync.version, intake: intake.value, want: want))
            },
            ControlRoute(.get, "/providers") { _ in try Self.json(try await providers()) },
            ControlRoute(.post, "/providers/:name/pause") { try await pause($0, true) },
            ControlRoute(.post, "/providers/:name/resume") { try await pause($0, false) },
            ControlRoute(.get, "/queue") { request in
                let filter = try QueueFilter(query: request.query)
                guard let state = filter.state else { throw ControlError(status: 400, "state is waiting or dead") }
                let after = try Self.number("after", of: request)
                let limit = try Self.number("limit", of: request) ?? Int64(QueueList.sizes.upperBound)
                guard let limit = Int(exactly: limit), QueueList.sizes.contains(limit) else {
                    throw ControlError(
                        status: 400,
                        "limit is a whole number, \(QueueList.sizes.lowerBound) to \(QueueList.sizes.upperBound)")
                }
                return try await Self.answering {
                    try await dispatcher.list(state, filter, after: after, limit: limit)
                }
            },
            ControlRoute(.get, "/queue/count") { request in
                let filter = try QueueFilter(query: request.query)
                return try await Self.answering { try await dispatcher.count(filter) }
            },
            ControlRoute(.post, "/queue/retry") { request in
                let filter = try QueueFilter(query: request.query)
                return try await Self.answering { try await dispatcher.retry(filter) }
            },
            ControlRoute(.post, "/queue/drop") { request in
                let filter = try QueueFilter(query: request.query)
                return try await Self.answering { try await dispatcher.drop(filter) }
            },
            ControlRoute(.get, "/queue/:id") { request in
                try await Self.answering { try await dispatcher.show(try Self.id(request)) }
            },
            ControlRoute(.post, "/queue/:id/retry") { request in
                try await Self.answering { try await dispatcher.retry(try Self.id(request)) }
            },
            ControlRoute(.delete, "/queue/:id") { request in
                try await Self.answering { try await dispatcher.drop(try Self.id(request)) }
            },
            ControlRoute(.get, "/explain") { request in
                try await Self.answering {
                    try await dispatcher.explain(
                        instance: request.query["instance"] ?? "", realm: request.query["realm"] ?? "",
                        user: request.query["user"] ?? "")
                }
            },
        ]
    }

    private var want: DaemonStatus.Want? {
        room.want.map {
            DaemonStatus.Want(since: "\($0.since)", last: "\($0.last)", reason: $0.reason, refused: $0.refused)
        }
    }

    private func providers() async throws -> [ProviderStatus] {
        try await dispatcher.providers().map { report in
            let status = hosts.first { $0.name == report.name }?.status
            return ProviderStatus(
                report: report, worker: status?.state.rawValue, pid: status?.pid,
                restarts: max(0, Int(status?.generation ?? 0) - 1), landlockABI: status?.sandbox?.landlockABI,
                layers: status?.sandbox?.layers.names, lastLoss: status?.lastLoss?.description,
                refusedEgress: status?.refusedEgress ?? 0, want: want)
        }
    }

    private func pause(_ request: ControlRequest, _ isPaused: Bool) async throws -> [UInt8] {
        try await Self.answering { try await dispatcher.pause(request.parameters["name"] ?? "", isPaused) }
    }

    private static func id(_ request: ControlRequest) throws -> Int64 {
        guard let id = request.parameters["id"].flatMap({ Int64($0) }) else {
            throw ControlError(status: 400, "a delivery's id is a number; `queue list` shows them")
        }
        return id
    }

    private static func number(_ name: String, of request: ControlRequest) throws -> Int64? {
        guard let text = request.query[name] else { return nil }
        guard let number = Int64(text) else { throw ControlError(status: 400, "\(name) is a whole number") }
        return number
    }

    private static func answering(_ body: () async throws -> some Encodable) async throws -> [UInt8] {
        do {
            return try json(try await body())
        } catch let error as CommandError {
            throw ControlError(status: 404, error.description)
        }
    }

    private static func answering(_ body: () async throws -> Void) async throws -> [UInt8] {
        try await answering {
            try await body()
            return [String: String]()
        }
    }

    static func json(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        return Array(try encoder.encode(value))
    }
}

/// What `GET /status` answers.
struct DaemonStatus: Codable, Sendable {
    var version: String
    /// Why events are refused, although the daemon runs.
    struct Want: Codable, Sendable {
        /// When one was first refused, and when last; RFC 3339.
        var since: String
        var last: String
        var reason: String
        /// Events that were answered 503 since.
        var refused: Int

        /// For people.
        var words: String { "events are refused since \(since): \(reason); \(refused) so far, the last at \(last)" }
    }

    /// Where the intake listens; empty until it does.
    var intake: String
    /// Absent from when an event is taken in until one is refused again.
    var want: Want?
}

/// A provider with its worker.
struct ProviderStatus: Codable, Sendable {
    var report: ProviderReport
    /// `running`, `waiting` …; `nil` if it has none, because it is off or only observes.
    var worker: String?
    var pid: Int32?
    var restarts: Int
    var landlockABI: UInt32?
    /// Layers of the sandbox that are in force.
    var layers: [String]?
    /// Why the last worker ended.
    var lastLoss: String?
    /// Connections that the settings do not allow.
    var refusedEgress: UInt64
    /// Absent from when an event is taken in until one is refused again; the same for all providers.
    var want: DaemonStatus.Want?
}
