import Credentials
import EventModel
import Glibc
import Intake
import Journal
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Sockets
import TargetServers
import Testing

/// A running intake on a journal of its own.
final class Door: Sendable {
    let journal: Journal
    let sealer: Sealer
    let port: UInt16
    private let committed = Committed()
    private let services: ServiceGroup

    static let secret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    static let otherSecret = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
    static let formerSecret = "whsec_AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="

    /// How a test wants it.
    struct Setup: Sendable {
        var listener = IntakeListener(.tcp(host: "127.0.0.1", port: 0))
        var limits = IntakeLimits()
        var journal = JournalLimits()
        var sources = [source()]
        /// Otherwise everything waits for the disk until the test calls ``Door/startWriting()``.
        var isWriting = true
        /// Threads of the server.
        var threads = 1
        var logger = Door.quiet
        /// Where journal and key are; `nil`: in a folder of its own.
        var folder: Folder?

        init() {}

        init(_ change: (inout Self) throws -> Void) rethrows { try change(&self) }
    }

    /// The source `kc`, which may say everything of the realm `corp` at `prod`.
    static func source(_ change: (inout IntakeSource) -> Void = { _ in }) -> IntakeSource {
        var source = IntakeSource(
            name: "kc", instance: "prod", realms: .some(["corp"]), kinds: .all, mayCarryPassword: true,
            signature: WebhookSignature(current: webhookSecret(secret), previous: webhookSecret(formerSecret)),
            maximumAge: 3_600_000)
        change(&source)
        return source
    }

    static func webhookSecret(_ text: String) -> WebhookSecret {
        do {
            return try Array(text.utf8).withUnsafeBytes { try WebhookSecret(parsing: $0) }
        } catch {
            fatalError("\(error)")
        }
    }

    /// Opens it for the length of `body`, and stops it in order.
    static func open(_ setup: Setup = Setup(), _ body: (Door) async throws -> Void) async throws {
        let folder = try setup.folder ?? Folder()
        let ring = try KeyRing.open(path: "\(folder.path)/key", now: now())
        let sealer = Sealer(keys: try DataKeys(ring: ring, stored: [], persist: { _ in }))
        let journal = try Journal(folder: "\(folder.path)/journal", limits: setup.journal)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: setup.threads)
        let listening = AsyncStream<UInt16>.makeStream()
        let server = try IntakeServer(
            setup.listener, sources: setup.sources, limits: setup.limits, idWindow: 7_200_000, ring: ring,
            sealer: sealer, journal: journal, clock: now, group: group, logger: setup.logger
        ) { channel in
            listening.continuation.yield(UInt16(channel.localAddress?.port ?? 0))
        }
        let services = ServiceGroup(configuration: .init(services: [server], logger: quiet))
        try await withThrowingTaskGroup { tasks in
            var ports = listening.stream.makeAsyncIterator()
            tasks.addTask {
                defer { listening.continuation.finish() }
                try await services.run()
            }
            guard let port = await ports.next() else {
                try await tasks.next()
                return
            }
            let door = Door(services, journal, sealer, port: port)
            if setup.isWriting { door.startWriting() }
            let result: Result<Void, any Error>
            do {
                result = .success(try await body(door))
            } catch {
                result = .failure(error)
            }
            await services.triggerGracefulShutdown()
            try await tasks.next()
            try result.get()
        }
        try journal.close()
        try await group.shutdownGracefully()
    }

    private init(_ services: ServiceGroup, _ journal: Journal, _ sealer: Sealer, port: UInt16) {
        self.services = services
        self.journal = journal
        self.sealer = sealer
        self.port = port
    }

    func startWriting() {
        journal.start(observer: committed) { error in fatalError("\(error)") }
    }

    /// Begins the graceful shutdown.
    func stop() {
        Task { await services.triggerGracefulShutdown() }
    }

    /// Runs blocking work on a thread of its own kind: the server needs Swift's.
    func onThread<Result: Sendable>(
        _ body: @escaping @Sendable (Door) throws -> Result
    ) async throws -> Result {
        try await NIOThreadPool.singleton.runIfActive { try body(self) }
    }

    func connect() throws -> Connection {
        try Connection(port: port)
    }

    /// Posts one body, signed, over a connection of its own.
    func post(_ body: String, _ type: String = "application/json") throws -> Reply {
        let connection = try connect()
        try connection.send(Self.request(body, type: type))
        return try connection.reply()
    }

    /// A signed request as it goes over the wire.
    static func request(
        _ body: String, type: String? = "application/json", secret: String = secret, at time: Timestamp = now(),
        method: String = "POST", path: String = "/v1/events", fields: [String] = [], leavingOut: String? = nil,
        framing: Framing = .length
    ) -> String {
        let seconds = time.milliseconds / 1_000
        let signature = Array(body.utf8).withUnsafeBytes {
            WebhookSignature(current: webhookSecret(secret)).sign(id: "msg", timestamp: seconds, body: $0)
        }
        var lines = ["\(method) \(path) HTTP/1.1", "host: x"]
        if let type { lines.append("content-type: \(type)") }
        lines += [
            "webhook-id: msg", "webhook-timestamp: \(seconds)", "webhook-signature: \(signature)",
        ].filter { line in leavingOut.map { !line.hasPrefix($0) } ?? true }
        lines += fields
        switch framing {
        case .length: lines.append("content-length: \(body.utf8.count)")
        case .chunks: lines.append("transfer-encoding: chunked")
        case .none: break
        }
        let head = lines.joined(separator: "\r\n") + "\r\n\r\n"
        guard case .chunks(let size) = framing else { return head + body }
        let bytes = Array(body.utf8)
        let chunks = stride(from: 0, to: bytes.count, by: size).map { start in
            let part = bytes[start..<min(start + size, bytes.count)]
            return "\(String(part.count, radix: 16))\r\n\(String(decoding: part, as: UTF8.self))\r\n"
        }
        return head + chunks.joined() + "0\r\n\r\n"
    }

    enum Framing: Sendable {
        case length
        case chunks(of: Int)
        /// The test says it in the fields.
        case none
    }

    /// Every event in the journal, in order.
    func stored() throws -> [StoredEvent] {
        try journal.events(after: 0, limit: 100_000)
    }

    @Sendable static func now() -> Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(milliseconds: Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000)
    }

    static let quiet = Logger(label: "intake") { _ in SwiftLogNoOpLogHandler() }
}

/// An event's envelope.
func event(
    _ id: String, kind: String = "profile.updated", password: String? = nil, time: Timestamp = Door.now(),
    instance: String = "prod", realm: String = "corp", subject: String? = "u1", extra: String = ""
) -> String {
    let credential = password.map { #","credential":{"type":"password","value":"\#($0)"}"# } ?? ""
    let subject = subject.map { #","subject":{"id":"\#($0)"}"# } ?? ""
    return #"{"specversion":"1","id":"\#(id)","kind":"\#(kind)","time":"\#(time)","source":{"instance":"\#(instance)","#
        + #""realmId":"\#(realm)"}\#(subject)\#(extra)\#(credential)}"#
}

/// Nobody cares.
private final class Committed: CommitObserver {
    func committed(_ events: [CommittedEvent]) {}
}
