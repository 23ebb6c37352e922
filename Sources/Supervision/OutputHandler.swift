internal import NIOCore
internal import WorkerProtocol

/// Reads what a plugin and its libraries write to standard output and error, line by line if anybody wants to know.
final class OutputHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let life: WorkerLife
    private let showsLines: Bool
    private var line: [UInt8] = []

    init(life: WorkerLife, showsLines: Bool) {
        self.life = life
        self.showsLines = showsLines
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = unwrapInboundIn(data)
        life.wrote(bytes.readableBytes)
        if showsLines {
            for byte in bytes.readableBytesView {
                if byte == UInt8(ascii: "\n") {
                    tellLine()
                } else {
                    line.append(byte)
                    if line.count == WorkerLife.longestLine { tellLine() }
                }
            }
        }
        // Nobody knows what a library says when it traces.
        wipe(bytes)
    }

    func channelInactive(context: ChannelHandlerContext) {
        tellLine()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    private func tellLine() {
        guard !line.isEmpty else { return }
        life.log(.info, line)
        line.removeAll(keepingCapacity: true)
    }
}
