internal import Glibc
internal import HTTPTypes
internal import NIOCore
internal import NIOHTTP1
internal import Sockets

/// Serves one connection of the control socket: one command, its answer, and the end.
final class ControlHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    /// So long an answer may take to leave.
    private static let patience = TimeAmount.seconds(60)

    private let routes: [ControlRoute]
    private let connection: Connection
    private var head: HTTPRequestHead?
    /// A command is being carried out, and its answer is owed.
    private var isBusy = false

    init(routes: [ControlRoute], connection: Connection) {
        self.routes = routes
        self.connection = connection
    }

    func channelActive(context: ChannelHandlerContext) {
        if connection.isStopping { context.close(promise: nil) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard !isBusy else { return }
        switch event {
        case is ChannelShouldQuiesceEvent, ChannelEvent.inputClosed: context.close(promise: nil)
        default: break
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // Commands have no body; what comes behind the first one is not looked at.
        switch unwrapInboundIn(data) {
        case .head(let head): if !isBusy { self.head = head }
        case .body: break
        case .end:
            guard let head, !isBusy else { return }
            isBusy = true
            connection.becomeBusy()
            let channel = context.channel
            PeerCredentials.of(channel).map(\.uid).whenComplete { [routes] uid in
                Task {
                    let answer = await Self.answer(head, from: try? uid.get(), routes)
                    Self.send(answer, over: channel)
                }
            }
        }
    }

    private struct Answer: Sendable {
        var status: Int
        var type: String
        var body: [UInt8]

        init(json: [UInt8]) {
            (status, type, body) = (200, "application/json", json)
        }

        init(_ error: ControlError) {
            (status, type, body) = (error.status, "text/plain; charset=utf-8", Array(error.description.utf8))
        }
    }

    /// Refuses everybody but the daemon's own user and root.
    private static func answer(
        _ head: HTTPRequestHead, from uid: UInt32?, _ routes: [ControlRoute]
    ) async -> Answer {
        guard let uid, uid == geteuid() || uid == 0 else {
            return Answer(ControlError(status: 403, "only the daemon's own user and root may send it commands"))
        }
        let target = RequestTarget(head.uri)
        for route in routes where route.method.rawValue == head.method.rawValue {
            guard let parameters = target.parameters(of: route.path) else { continue }
            do {
                return Answer(json: try await route.run(ControlRequest(parameters: parameters, query: target.query)))
            } catch let error as ControlError {
                return Answer(error)
            } catch {
                return Answer(ControlError(status: 500, "the command failed: \(error)"))
            }
        }
        return Answer(
            ControlError(status: 404, "the daemon has no such command: is it of the same version as this program?"))
    }

    private static func send(_ answer: Answer, over channel: any Channel) {
        let head = HTTPResponseHead(
            version: .http1_1, status: .init(statusCode: answer.status),
            headers: [
                "content-type": answer.type, "content-length": "\(answer.body.count)", "connection": "close",
            ])
        channel.write(HTTPServerResponsePart.head(head), promise: nil)
        channel.write(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(bytes: answer.body))), promise: nil)
        // A client that reads nothing does not keep its place.
        let end = channel.eventLoop.scheduleTask(in: Self.patience) { channel.close(promise: nil) }
        channel.writeAndFlush(HTTPServerResponsePart.end(nil)).whenComplete { _ in
            end.cancel()
            channel.close(promise: nil)
        }
    }
}
