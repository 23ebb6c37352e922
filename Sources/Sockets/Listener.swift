public import NIOCore
internal import NIOPosix
internal import ServiceLifecycle

/// Accepts connections at an address until the graceful shutdown.
///
/// The shutdown takes nothing on that it could lose: a connection that is accepted while the listener stops finds
/// ``Connection/isStopping`` when it becomes active. And nobody holds it up: who has not got what it is owed after
/// ``patience`` is cut off.
public struct Listener: Sendable {
    private let address: ListenerAddress
    /// The rights of a Unix socket.
    private let mode: UInt32
    private let connections: Connections
    private let group: any EventLoopGroup
    private let patience: TimeAmount
    private let onTrouble: @Sendable (any Error) -> Void

    /// So many may wait in the kernel to be accepted, where the system allows it.
    private static let backlog: Int32 = 1_024

    /// - Parameters:
    ///   - mode: the rights of a Unix socket.
    ///   - patience: so long the shutdown waits for the connections. Default: 10 s.
    ///   - onTrouble: hears why nothing can be accepted for a second, such as for want of file descriptors; on a loop.
    public init(
        _ address: ListenerAddress, mode: UInt32, connections: Connections, group: any EventLoopGroup,
        patience: TimeAmount = .seconds(10), onTrouble: @escaping @Sendable (any Error) -> Void
    ) {
        self.address = address
        self.mode = mode
        self.connections = connections
        self.group = group
        self.patience = patience
        self.onTrouble = onTrouble
    }

    /// Serves until the graceful shutdown, or until the system closes the socket; and until the last connection has ended.
    ///
    /// - Parameters:
    ///   - configure: gives a new connection its handlers; on its loop. They end it upon `ChannelShouldQuiesceEvent`.
    ///   - onListening: gets the listening channel, with the port that was taken.
    /// - Throws: ``ListenerError`` if the address cannot be listened on, or not any more.
    public func run(
        configure: @escaping @Sendable (any Channel, Connection) throws -> Void,
        onListening: (any Channel) async -> Void = { _ in }
    ) async throws {
        try await address.listen {
            let channel = try await bind(configure)
            address.open(mode: mode)
            await onListening(channel)
            let closed = try await withTaskCancellationOrGracefulShutdownHandler {
                try await channel.closeFuture.get()
                return connections.isStopping
            } onCancelOrGracefulShutdown: {
                connections.stop()
                channel.close(promise: nil)
            }
            connections.stop()
            let end = group.next().scheduleTask(in: patience) { [connections] in connections.cut() }
            await connections.empty()
            end.cancel()
            guard closed else { throw ListenerError("the system closed the socket") }
        }
    }

    private func bind(
        _ configure: @escaping @Sendable (any Channel, Connection) throws -> Void
    ) async throws -> any Channel {
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: Self.backlog)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            // The gate is asked for each.
            .serverChannelOption(.maxMessagesPerRead, value: 1)
            .serverChannelInitializer { [connections, onTrouble] channel in
                channel.eventLoop.makeCompletedFuture {
                    // Without it, a process that has no descriptors left would try again at once, and again.
                    try channel.pipeline.syncOperations.addHandler(AcceptBackoffHandler())
                    try channel.pipeline.syncOperations.addHandler(AcceptGate(connections, onTrouble))
                }
            }
            // Who has sent its last still wants its answers.
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { [connections] channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let connection = connections.connection(of: channel) else { throw ChannelError.alreadyClosed }
                    try configure(channel, connection)
                }
            }
        switch address {
        case .tcp(let host, let port): return try await bootstrap.bind(host: host, port: port).get()
        case .unix(let path): return try await bootstrap.bind(unixDomainSocketPath: path).get()
        }
    }
}

/// Accepts nothing while there is no room, and counts what it accepts.
private final class AcceptGate: ChannelDuplexHandler {
    typealias InboundIn = any Channel
    typealias OutboundIn = Never

    private let connections: Connections
    private let onTrouble: @Sendable (any Error) -> Void
    private var timer: Scheduled<Void>?

    init(_ connections: Connections, _ onTrouble: @escaping @Sendable (any Error) -> Void) {
        self.connections = connections
        self.onTrouble = onTrouble
    }

    func read(context: ChannelHandlerContext) {
        let channel = context.channel
        guard let next = connections.room(orElse: { channel.read() }) else { return context.read() }
        timer?.cancel()
        timer = context.eventLoop.scheduleTask(deadline: next) { channel.read() }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        connections.accepted(unwrapInboundIn(data))
        context.fireChannelRead(data)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        onTrouble(error)
        context.fireErrorCaught(error)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.cancel()
    }
}
