public import Credentials
public import EventModel
internal import HTTPTypes
internal import HummingbirdCore
internal import HummingbirdTLS
public import Journal
public import Logging
public import NIOCore
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
    /// Connections at a time; further ones wait in the kernel's backlog. Default: 512, half of the files that a process
    /// usually may have open.
    public var connections = 512
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
    private let server: any Service
    private let address: ListenerAddress

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
        try journal.forEachEventID { stored in
            seen.restore(id: idHash("\(stored.source)\n\(stored.id)"), body: stored.mac, received: stored.received)
        }
        let gate = Gatekeeper(
            sources: sources, reader: EnvelopeReader(names: names), sealer: sealer,
            bodyHash: KeyedHash(.body, ring: ring), idHash: idHash, seen: seen, journal: journal)
        let shared = IntakeShared(budget: BodyBudget(limit: limits.receivingBytes), peerUIDs: listener.peerUIDs)
        let http = HTTPServerBuilder.http1(
            configuration: .init(
                additionalChannelHandlers: [
                    IntakeHandler(gate: gate, limits: limits, shared: shared, clock: clock)
                ]))
        let builder = try listener.tls.map { files in
            try HTTPServerBuilder.tls(http, tlsConfiguration: Self.tls(files.certificate, files.key))
        }
        address = listener.address
        let address = address
        // Not an `Application`: its clock for the Date header wakes an idle daemon every second.
        server = try (builder ?? http).buildServer(
            configuration: ServerConfiguration(
                address: address.bindAddress, backlog: 1_024,
                availableConnectionsDelegate: .maximum(limits.connections, logger: logger)),
            eventLoopGroup: group, logger: logger,
            responder: { _, writer, _ in
                // The handler answers every request itself.
                try await writer.writeResponse(HTTPResponse(status: .notFound))
            },
            onServerRunning: { channel in
                // Its folder says who may connect, and the signature who may speak.
                address.open(mode: 0o666)
                await onListening(channel)
            })
    }

    /// Serves until the graceful shutdown.
    ///
    /// - Throws: ``ListenerError`` if the address cannot be listened on.
    public func run() async throws {
        try await address.listen { try await server.run() }
    }

    private static func tls(_ certificate: String, _ key: String) throws -> TLSConfiguration {
        func reading<Value>(_ path: String, _ what: String, _ read: () throws -> Value) throws -> Value {
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
        do {
            _ = try NIOSSLContext(configuration: configuration)
        } catch {
            throw ListenerError("\(key) is not the key of \(certificate), or one of them cannot be used (\(error))")
        }
        return configuration
    }
}

extension ListenerAddress {
    fileprivate var bindAddress: BindAddress {
        switch self {
        case .tcp(let host, let port): .hostname(host, port: port)
        case .unix(let path): .unixDomainSocket(path: path)
        }
    }
}
