internal import EventModel
internal import NIOCore
internal import WorkerProtocol

/// Reads what one worker process sends: all frames of a read in one go, its completions in one batch.
final class FrameHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let life: WorkerLife
    private var reader: FrameReader
    private var completed: [CompletedRequest] = []
    /// After a violation nothing that the worker says counts.
    private var isDeaf = false

    init(life: WorkerLife) {
        self.life = life
        reader = FrameReader(redactor: life.redactor)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isDeaf else { return }
        reader.append(unwrapInboundIn(data))
        do throws(FrameViolation) {
            while !isDeaf, let frame = try reader.next() { handle(frame) }
        } catch {
            violated(error.description)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        tellCompleted()
    }

    func channelInactive(context: ChannelHandlerContext) {
        tellCompleted()
        life.socketEnded()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    private func handle(_ frame: WorkerFrame) {
        switch frame {
        case .done(let id, let completion):
            guard life.mayComplete else { return violated("DONE before it had started") }
            life.redactor.ended(id)
            completed.append(CompletedRequest(id: id, completion))
        case .log(let level, let line): life.log(level, line.readableBytesView)
        case .metric(let name, let delta): life.count(name, delta)
        case .ready, .started, .pong, .failed: life.received(frame)
        }
    }

    private func violated(_ what: String) {
        isDeaf = true
        life.violated(what)
    }

    private func tellCompleted() {
        guard !completed.isEmpty else { return }
        let batch = completed
        completed.removeAll(keepingCapacity: true)
        life.completed(batch)
    }
}
