public import HTTPTypes
public import NIOCore
internal import NIOHTTP1
public import ServiceLifecycle
internal import Sockets

/// A command that came over the control socket.
public struct ControlRequest: Sendable {
    /// The values of the path's `:name` parts.
    public var parameters: [String: String]
    /// The values behind the question mark.
    public var query: [String: String]
}

/// Why a command is not carried out; the text reaches the operator's terminal.
public struct ControlError: Error, Hashable, Sendable, CustomStringConvertible {
    public var status: Int
    public var description: String

    public init(status: Int, _ description: String) {
        self.status = status
        self.description = description
    }
}

/// One command: a method and a path such as `/queue/:id/retry`, and what it does.
public struct ControlRoute: Sendable {
    var method: HTTPRequest.Method
    var path: String
    var run: @Sendable (ControlRequest) async throws -> [UInt8]

    /// - Parameter run: answers JSON; a ``ControlError`` it throws is shown as it is, any other as a failure.
    public init(
        _ method: HTTPRequest.Method, _ path: String, run: @escaping @Sendable (ControlRequest) async throws -> [UInt8]
    ) {
        self.method = method
        self.path = path
        self.run = run
    }
}

/// The door for operators: HTTP over a Unix socket that only the daemon's own user, and root, may use.
///
/// Two things see to that: the socket's mode, 0600, and the peer's user id, asked of the kernel for each request.
public struct ControlServer: Service, Sendable {
    /// So many commands at a time.
    private static let limit = 64

    private let routes: [ControlRoute]
    private let listener: Listener
    private let onListening: @Sendable () -> Void

    /// - Parameters:
    ///   - socket: path of the socket; one that a dead daemon left behind is replaced.
    ///   - patience: so long the shutdown waits for commands that are under way. Default: 10 s.
    ///   - onListening: called once commands are taken.
    ///   - onTrouble: hears why no connection can be accepted for a second; on a loop.
    public init(
        socket: String, routes: [ControlRoute], group: any EventLoopGroup, patience: TimeAmount = .seconds(10),
        onListening: @escaping @Sendable () -> Void = {}, onTrouble: @escaping @Sendable (any Error) -> Void = { _ in }
    ) {
        self.routes = routes
        self.onListening = onListening
        listener = Listener(
            .unix(path: socket), mode: 0o600, connections: Connections(limit: Self.limit), group: group,
            patience: patience, onTrouble: onTrouble)
    }

    /// Serves until the graceful shutdown.
    ///
    /// - Throws: ``ListenerError`` if the socket cannot be listened on: among others when another daemon does.
    public func run() async throws {
        try await listener.run(configure: { [routes] channel, connection in
            try channel.pipeline.syncOperations.configureHTTPServerPipeline(
                withPipeliningAssistance: false, withErrorHandling: false)
            try channel.pipeline.syncOperations.addHandler(ControlHandler(routes: routes, connection: connection))
        }) { _ in onListening() }
    }
}
