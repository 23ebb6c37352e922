public import NIOCore
internal import NIOPosix
internal import ServiceLifecycle

/// Accepts connections at an address until the graceful shutdown.
///
/// The shutdown takes nothing on that it could lose: a connection that is accepted while the listener stops finds
/// ``Connection/isStopping`` when it becomes active.
public struct Listener: Sendable {
    private let address: ListenerAddress
    /// The rights of a Unix socket.
    private let mode: UInt32
    private let connections: Connections
    private let group: any EventLoopGroup

    /// So many may wait in the kernel to be accepted, where the system allows it.
    private static let backlog: Int32 = 1_024

    public init(_ address: ListenerAddress, mode: UInt32, connections: Connections, group: any EventLoopGroup) {
        self.address = address
        self.mode = mode
        self.connections = connections
        self.group = group
    }

    /// Serves until the graceful shutdown, and until the last connection has ended.
    ///
    /// - Parameters:
    ///   - configure: gives a new connection its handlers; on its loop. They end it upon `ChannelShouldQuiesceEvent`.
    ///   - onListening: gets the listening channel, with the port that was taken.
    /// - Throws: ``ListenerError`` if the address cannot be listened on.
    public func run(
        configure: @escaping @Sendable (any Channel, Connection) throws -> Void,
        onListening: (any Channel) async -> Void = { _ in }
    ) async throws {
        try await address.listen {
            let channel = try await bind(configure)
            address.open(mode: mode)
            await onListening(channel)
            try await withTaskCancellationOrGracefulShutdownHandler {
                try await channel.closeFuture.get()
                await connections.empty()
            } onCancelOrGracefulShutdown: {
                connections.stop()
                channel.close(promise: nil)
            }
            guard connections.isStopping else { throw ListenerError("the system closed the socket") }
        }
    }

    private func bind(
        _ configure: @escaping @Sendable (any Channel, Connection) throws -> Void
    ) async throws -> any Channel {
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: Self.backlog)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelInitializer { [connections] channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptGate(connections))
                }
            }
            // Who has sent its last still wants its answers.
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { [connections] channel in
                channel.eventLoop.makeCompletedFuture { try configure(channel, connections.enter(channel)) }
            }
        switch address {
        case .tcp(let host, let port): return try await bootstrap.bind(host: host, port: port).get()
        case .unix(let path): return try await bootstrap.bind(unixDomainSocketPath: path).get()
        }
    }
}

/// Accepts nothing while there is no room.
private final class AcceptGate: ChannelOutboundHandler {
    typealias OutboundIn = Never

    private let connections: Connections
    private var timer: Scheduled<Void>?

    init(_ connections: Connections) {
        self.connections = connections
    }

    func read(context: ChannelHandlerContext) {
        let channel = context.channel
        guard let next = connections.room(orElse: { channel.read() }) else { return context.read() }
        timer?.cancel()
        timer = context.eventLoop.scheduleTask(deadline: next) { channel.read() }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.cancel()
    }
}
