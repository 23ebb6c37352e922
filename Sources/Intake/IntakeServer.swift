public import Credentials
public import EventModel
internal import Hummingbird
internal import HummingbirdCore
internal import HummingbirdTLS
public import Journal
public import Logging
public import NIOCore
internal import NIOSSL
public import ServiceLifecycle

/// How much the intake takes at once.
public struct IntakeLimits: Hashable, Sendable {
    /// Bytes of a single event's body.
    public var bodyBytes: Int
    /// Bytes of a batch.
    public var batchBytes: Int
    /// Lines of a batch.
    public var batchLines: Int

    public init(bodyBytes: Int = 262_144, batchBytes: Int = 8_388_608, batchLines: Int = 10_000) {
        self.bodyBytes = bodyBytes
        self.batchBytes = batchBytes
        self.batchLines = batchLines
    }
}

/// Where the intake listens.
public enum IntakeAddress: Hashable, Sendable {
    /// Port 0 takes a free one.
    case tcp(host: String, port: Int)
    case unix(path: String)
}

/// The door: an HTTP server that takes events in.
public struct IntakeServer: Service, Sendable {
    private let application: any ApplicationProtocol & Sendable

    /// - Parameters:
    ///   - tls: PEM files of the certificate chain and its key; `nil` for clear text (loopback and Unix sockets only: the
    ///     settings see to that).
    ///   - idWindow: how long an id is remembered; milliseconds.
    ///   - onListening: gets the address, with the port that was taken.
    /// - Throws: if the journal's ids cannot be read, or the certificate cannot.
    public init(
        address: IntakeAddress, tls: (certificate: String, key: String)?, sources: [IntakeSource],
        limits: IntakeLimits, names: AttributeNames, idWindow: Int64, ring: KeyRing, sealer: Sealer, journal: Journal,
        clock: @escaping @Sendable () -> Timestamp, group: any EventLoopGroup, logger: Logger,
        onListening: @escaping @Sendable (any Channel) async -> Void
    ) throws {
        let seen = SeenEvents(window: idWindow)
        let idHash = KeyedHash(.eventID, ring: ring)
        try journal.forEachEventID { stored in
            seen.restore(id: idHash("\(stored.source)\n\(stored.id)"), body: stored.mac, received: stored.received)
        }
        let gate = Gatekeeper(
            sources: sources, reader: EnvelopeReader(names: names), sealer: sealer,
            bodyHash: KeyedHash(.body, ring: ring), idHash: idHash, seen: seen, journal: journal)
        let relays = RelayTable()
        let http = HTTPServerBuilder.http1(
            configuration: .init(
                additionalChannelHandlers: [
                    IntakeHandler(gate: gate, limits: limits, relays: relays, clock: clock)
                ]))
        let server = try tls.map { files in
            try HTTPServerBuilder.tls(
                http,
                tlsConfiguration: .makeServerConfiguration(
                    certificateChain: NIOSSLCertificate.fromPEMFile(files.certificate).map { .certificate($0) },
                    privateKey: .privateKey(NIOSSLPrivateKey(file: files.key, format: .pem))))
        }
        let bind: BindAddress =
            switch address {
            case .tcp(let host, let port): .hostname(host, port: port)
            case .unix(let path): .unixDomainSocket(path: path)
            }
        application = Application(
            router: Router(), server: server ?? http, configuration: .init(address: bind, backlog: 1_024),
            onServerRunning: onListening, eventLoopGroupProvider: .shared(group), logger: logger)
    }

    public func run() async throws {
        try await application.run()
    }
}
