internal import Glibc
public import HTTPTypes
internal import Hummingbird
internal import HummingbirdCore
public import Logging
public import NIOCore
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
    private let server: any Service
    private let address: ListenerAddress

    /// - Parameters:
    ///   - socket: path of the socket; one that a dead daemon left behind is replaced.
    ///   - onListening: called once, when commands are taken.
    public init(
        socket: String, routes: [ControlRoute], group: any EventLoopGroup, logger: Logger,
        onListening: @escaping @Sendable () -> Void = {}
    ) throws {
        address = .unix(path: socket)
        let address = address
        let router = Router(context: ControlContext.self)
        router.add(middleware: OwnerOnly())
        for route in routes {
            router.on(RouterPath(route.path), method: route.method) { request, context in
                let parameters = Dictionary(
                    context.parameters.map { (String($0.key), PercentEncoding.decode($0.value)) },
                    uniquingKeysWith: { first, _ in first })
                let query = Dictionary(
                    request.uri.queryParameters.map { (String($0.key), String($0.value)) },
                    uniquingKeysWith: { first, _ in first })
                do {
                    let json = try await route.run(ControlRequest(parameters: parameters, query: query))
                    return Response(
                        status: .ok, headers: [.contentType: "application/json"],
                        body: .init(byteBuffer: ByteBuffer(bytes: json)))
                } catch let error as ControlError {
                    return Response(error)
                } catch {
                    return Response(ControlError(status: 500, "the command failed: \(error)"))
                }
            }
        }
        let responder = router.buildResponder()
        // Not an `Application`: its clock for the Date header wakes an idle daemon every second.
        let builder = HTTPServerBuilder.http1()
        server = try builder.buildServer(
            configuration: ServerConfiguration(address: .unixDomainSocket(path: socket)), eventLoopGroup: group,
            logger: logger,
            responder: { request, writer, channel in
                let context = ControlContext(source: .init(channel: channel, logger: logger))
                let response = try await responder.respond(to: request, context: context)
                try await writer.write(response: response.head, body: response.body)
            },
            onServerRunning: { _ in
                address.open(mode: 0o600)
                onListening()
            })
    }

    /// Serves until the graceful shutdown.
    ///
    /// - Throws: ``ListenerError`` if the socket cannot be listened on: among others when another daemon does.
    public func run() async throws {
        try await address.listen { try await server.run() }
    }
}

extension Response {
    fileprivate init(_ error: ControlError) {
        self.init(
            status: .init(code: error.status), headers: [.contentType: "text/plain; charset=utf-8"],
            body: .init(byteBuffer: ByteBuffer(string: error.description)))
    }
}

/// A request with the connection it came over.
private struct ControlContext: RequestContext {
    typealias Source = ApplicationRequestContextSource

    var coreContext: CoreRequestContextStorage
    let channel: any Channel

    init(source: Source) {
        coreContext = .init(source: source)
        channel = source.channel
    }
}

/// Refuses everybody but the daemon's own user and root.
private struct OwnerOnly: RouterMiddleware {
    typealias Context = ControlContext

    func handle(
        _ request: Request, context: ControlContext,
        next: @concurrent (Request, ControlContext) async throws -> Response
    ) async throws -> Response {
        let uid = try await PeerCredentials.of(context.channel).map(\.uid).get()
        guard uid == geteuid() || uid == 0 else {
            return Response(ControlError(status: 403, "only the daemon's own user and root may send it commands"))
        }
        do {
            return try await next(request, context)
        } catch let error as HTTPError where error.status == .notFound {
            return Response(
                ControlError(status: 404, "the daemon has no such command: is it of the same version as this program?"))
        }
    }
}
