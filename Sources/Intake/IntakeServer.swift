public import Credentials
public import EventModel
internal import Glibc
public import Journal
public import Logging
public import NIOCore
internal import NIOHTTP1
internal import NIOSSL
public import ServiceLifecycle
public import Sockets

/// How much the intake takes at once.
public struct IntakeLimits: Hashable, Sendable {
    /// Bytes of a single event's body, and of a line of a batch. Default: 256 KiB.
    public var bodyBytes = 262_144
    /// Bytes of a batch. Default: 8 MiB.
    public var batchBytes = 8_388_608
    /// Events of a batch. Default: 10,000.
    public var batchLines = 10_000
    /// Bytes of all the bodies that are being received. Default: 64 MiB.
    public var receivingBytes = 64 << 20
    /// Connections at a time. For a further one, one that is idle is ended: of those without a valid signature so far the
    /// one that has been so longest, then of the others; while none is idle for ``courtesy``, it waits in the kernel's
    /// backlog. Default: 512, half of the files that a process usually may have open.
    public var connections = 512
    /// So long a connection may be idle before it has to go for another. Default: 1 s.
    public var courtesy = TimeAmount.seconds(1)
    /// So long a request may take to arrive, and a connection stay without one. Default: 60 s.
    public var patience = TimeAmount.seconds(60)

    public init() {}
}

/// Where the intake listens, and how.
public struct IntakeListener: Sendable {
    public var address: ListenerAddress
    /// PEM files of the certificate chain and its key; `nil` for clear text (loopback and Unix sockets only: the settings
    /// see to that).
    public var tls: (certificate: String, key: String)?
    /// The users that may connect to a Unix socket; empty, the default: whom the rights of its folder let in.
    public var peerUIDs: Set<UInt32> = []

    public init(_ address: ListenerAddress) {
        self.address = address
    }
}

/// The door: an HTTP server that takes events in.
public struct IntakeServer: Service, Sendable {
    /// Whether the journal has room for what comes.
    public let room: JournalRoom
    private let listener: Listener
    private let configure: @Sendable (any Channel, Connection) throws -> Void
    private let onListening: @Sendable (any Channel) async -> Void

    /// - Parameters:
    ///   - idWindow: how long an id is remembered; milliseconds.
    ///   - onListening: gets the address, with the port that was taken.
    /// - Throws: ``ListenerError`` if the certificate cannot be used; what the journal throws if its ids cannot be read.
    public init(
        _ listener: IntakeListener, sources: [IntakeSource], limits: IntakeLimits = IntakeLimits(),
        names: AttributeNames = AttributeNames(), idWindow: Int64, ring: KeyRing, sealer: Sealer, journal: Journal,
        clock: @escaping @Sendable () -> Timestamp, group: any EventLoopGroup, logger: Logger,
        onListening: @escaping @Sendable (any Channel) async -> Void
    ) throws {
        let seen = SeenEvents(window: idWindow)
        let idHash = KeyedHash(.eventID, ring: ring)
        // While the daemon was stopped nothing came: of two clocks that may be wrong, the one that makes ids younger.
        let newest = try journal.sequenceBounds().flatMap { try journal.event($0.upperBound)?.received }
        let now = min(clock(), newest ?? clock())
        try journal.forEachEventID { stored in
            seen.restore(
                id: idHash("\(stored.source)\n\(stored.id)"), body: stored.mac, received: stored.received,
                age: now.milliseconds - stored.received.milliseconds)
        }
        room = JournalRoom(clock: clock, logger: logger)
        let gate = Gatekeeper(
            sources: sources, reader: EnvelopeReader(names: names), sealer: sealer,
            bodyHash: KeyedHash(.body, ring: ring), idHash: idHash, seen: seen, journal: journal, room: room)
        let log = RefusalLog(loop: group.next(), logger: logger)
        let shared = IntakeShared(
            budget: BodyBudget(limit: limits.receivingBytes), log: log, peerUIDs: listener.peerUIDs)
        let tls = try listener.certificate()
        configure = { channel, connection in
            if let tls { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls)) }
            // The handler keeps pipelined answers in order and deals with errors itself.
            try channel.pipeline.syncOperations.configureHTTPServerPipeline(
                withPipeliningAssistance: false, withErrorHandling: false)
            try channel.pipeline.syncOperations.addHandler(
                IntakeHandler(gate: gate, limits: limits, shared: shared, connection: connection, clock: clock))
        }
        // Its folder says who may connect, and the signature who may speak.
        self.listener = Listener(
            listener.address, mode: 0o666,
            connections: Connections(limit: limits.connections, courtesy: limits.courtesy) { channel in
                log.evicted(peer: channel.remoteAddress?.ipAddress ?? "local")
            }, group: group, onTrouble: log.blocked)
        self.onListening = onListening
    }

    /// Serves until the graceful shutdown.
    ///
    /// - Throws: ``ListenerError`` if the address cannot be listened on.
    public func run() async throws {
        try await listener.run(configure: configure, onListening: onListening)
    }
}

extension IntakeListener {
    /// Reads the certificate and its key, if there is one.
    ///
    /// - Throws: ``ListenerError`` if a file cannot be used.
    public func checkCertificate() throws {
        _ = try certificate()
    }

    fileprivate func certificate() throws -> NIOSSLContext? {
        try tls.map { try Self.tls($0.certificate, $0.key) }
    }

    private static func tls(_ certificate: String, _ key: String) throws -> NIOSSLContext {
        func reading<Value>(_ path: String, _ what: String, _ read: () throws -> Value) throws -> Value {
            // The library says of a file that it cannot open what it says of one that is not PEM.
            let file = open(path, O_RDONLY | O_CLOEXEC)
            guard file >= 0 else { throw ListenerError("\(path) cannot be read: \(String(cString: strerror(errno)))") }
            close(file)
            do {
                return try read()
            } catch {
                throw ListenerError("\(path) holds no \(what) in PEM (\(error))")
            }
        }
        let chain = try reading(certificate, "certificate") { try NIOSSLCertificate.fromPEMFile(certificate) }
        let privateKey = try reading(key, "private key") { try NIOSSLPrivateKey(file: key, format: .pem) }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(privateKey))
        configuration.minimumTLSVersion = .tlsv12
        // Who has to go, and says nothing, is not waited for.
        configuration.shutdownTimeout = .seconds(1)
        do {
            return try NIOSSLContext(configuration: configuration)
        } catch {
            throw ListenerError("\(key) is not the key of \(certificate), or one of them cannot be used (\(error))")
        }
    }
}
