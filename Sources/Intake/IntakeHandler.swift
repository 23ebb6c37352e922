internal import Credentials
internal import EventModel
internal import Journal
internal import NIOCore
internal import NIOHTTP1
internal import NIOSSL
internal import Sockets

/// Serves one connection of the intake. A request that waits for a commit costs one wake-up of the loop, shared with all
/// that the commit answers, where an asynchronous handler would cost four.
///
/// Requests may be pipelined; answers go out in the order of the requests. What is admitted is in the journal's hands,
/// whether or not the client still listens.
///
/// | when | then |
/// |---|---|
/// | a request does not arrive within the patience | 408 and the end; just the end if none has begun |
/// | a body is too large, or it is no HTTP | an answer at once, and the end |
/// | many answers wait, or the client reads none | nothing is read until some have gone out |
/// | the client has sent its last | what it is owed still goes out, then the end |
/// | the daemon stops | likewise; a request that is not complete is answered 503 |
/// | the intake has no room for another connection | the one that was idle longest ends, see `Connections` |
final class IntakeHandler: ChannelDuplexHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundIn = Never
    typealias OutboundOut = HTTPServerResponsePart

    /// While so many answers wait, the connection is not read.
    private static let pipelineDepth = 64
    /// So long a client may go on sending after its last answer; cut off at once, it might lose the answer.
    private static let linger = TimeAmount.seconds(1)

    private let gate: Gatekeeper
    private let limits: IntakeLimits
    private let shared: IntakeShared
    private let connection: Connection
    private let clock: @Sendable () -> Timestamp

    private var relay: CommitRelay?
    private var context: ChannelHandlerContext?
    private var peerUID: UInt32?

    /// The request that is being received.
    private var request: IncomingRequest?
    /// The client waits for a 100 before it sends the body.
    private var owesContinue = false
    /// Answers in the order of their requests; those that wait for a commit hold back the ones behind them.
    private var answers = CircularBuffer<Answer>()
    private var owesRead = false
    private var lastWrite: EventLoopFuture<Void>?

    /// Nothing more is looked at.
    private var isEnding = false
    /// Everything has been said; the client may still be sending.
    private var isLingering = false
    private var inputHasEnded = false
    private var lastProgress = NIODeadline.now()
    private var timer: Scheduled<Void>?

    init(
        gate: Gatekeeper, limits: IntakeLimits, shared: IntakeShared, connection: Connection,
        clock: @escaping @Sendable () -> Timestamp
    ) {
        self.gate = gate
        self.limits = limits
        self.shared = shared
        self.connection = connection
        self.clock = clock
    }

    // MARK: The connection

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        relay = shared.relays.relay(for: context.eventLoop)
        if context.channel.localAddress?.protocol == .unix {
            PeerCredentials.of(context.channel).assumeIsolated().whenSuccess { self.peerUID = $0.uid }
        }
        watchTime(limits.patience)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.cancel()
        timer = nil
        request = nil
        self.context = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        context.fireChannelActive()
        guard shared.peerUIDs.isEmpty || peerUID.map(shared.peerUIDs.contains) == true else {
            isEnding = true
            shared.log.refused(.peer, peer: peer, source: nil)
            return context.close(promise: nil)
        }
        // What is accepted while the listener stops may have missed its word.
        if connection.isStopping { end() }
    }

    /// Who is at the other end, for the log.
    private var peer: String {
        peerUID.map { "uid \($0)" } ?? context?.channel.remoteAddress?.ipAddress ?? "unknown"
    }

    private func note(_ refusal: Refusal, _ source: IntakeSource? = nil) {
        shared.log.refused(refusal, peer: peer, source: source?.name)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case is ChannelShouldQuiesceEvent:
            if request == nil { end() } else { refuseRest(.stopping) }
        case ChannelEvent.inputClosed:
            inputHasEnded = true
            request = nil
            if isLingering { context.close(promise: nil) } else { end() }
        default:
            context.fireUserInboundEventTriggered(event)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch error {
        case NIOSSLError.uncleanShutdown, is NIOSSLCloseTimedOutError:
            // Half of all clients go so; that it is the end is told next.
            break
        case is IOError, is ChannelError: context.close(promise: nil)
        case is NIOSSLError, is BoringSSLError, is NIOSSLExtraError:
            if let words = TLSTrouble.words(for: error) { note(.tls(words)) }
            isEnding = true
            context.close(promise: nil)
        default: refuseRest(.malformed)
        }
    }

    /// Nothing more is looked at; what the client is owed still goes out.
    private func end() {
        isEnding = true
        flushAnswers()
    }

    /// The last answer, whatever else the client has to say.
    private func refuseRest(_ refusal: Refusal) {
        guard !isEnding else { return }
        request = nil
        isEnding = true
        if refusal != .stopping { note(refusal) }
        if answers.isEmpty { connection.becomeBusy() }
        answers.append(Answer(refusing: refusal, gate))
        flushAnswers()
    }

    /// Closes once everything is written.
    private func leave() {
        guard let context, !isLingering else { return }
        isLingering = true
        close(context, in: limits.patience)
        let written = lastWrite ?? context.eventLoop.makeSucceededVoidFuture()
        written.assumeIsolated().whenComplete { _ in
            guard !self.inputHasEnded else { return context.close(promise: nil) }
            context.close(mode: .output, promise: nil)
            self.close(context, in: Self.linger)
        }
    }

    private func close(_ context: ChannelHandlerContext, in time: TimeAmount) {
        timer?.cancel()
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: time) { context.close(promise: nil) }
    }

    private func watchTime(_ time: TimeAmount) {
        timer = context?.eventLoop.assumeIsolated().scheduleTask(in: time) { self.judgeTime() }
    }

    private func judgeTime() {
        let rest = lastProgress + limits.patience - .now()
        if rest > .zero || !answers.isEmpty {
            // For the disk, the client is not to blame.
            watchTime(answers.isEmpty ? rest : limits.patience)
        } else if request == nil {
            context?.close(promise: nil)
        } else {
            refuseRest(.tooSlow)
        }
    }

    // MARK: Receiving

    func read(context: ChannelHandlerContext) {
        if isEnding || (answers.count < Self.pipelineDepth && context.channel.isWritable) {
            context.read()
        } else {
            owesRead = true
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        resumeReading()
        context.fireChannelWritabilityChanged()
    }

    private func resumeReading() {
        guard owesRead, let context else { return }
        owesRead = false
        read(context: context)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): begin(head)
        case .body(let part): take(part)
        case .end: finish()
        }
    }

    private func begin(_ head: HTTPRequestHead) {
        guard !isEnding else { return }
        lastProgress = .now()
        let request = IncomingRequest(head, peerUID: peerUID, limits: limits, budget: shared.budget)
        if let refusal = request.refusal, request.isRefusedAtOnce { return refuseRest(refusal) }
        self.request = request
        owesContinue = request.awaitsContinue
        if owesContinue { flushAnswers() }
    }

    private func take(_ part: ByteBuffer) {
        owesContinue = false
        guard !isEnding, let refusal = request?.take(part) else {
            if isEnding { part.wipe() }
            return
        }
        refuseRest(refusal)
    }

    private func finish() {
        guard !isEnding, let request else { return }
        self.request = nil
        owesContinue = false
        isEnding = request.closes
        let answer = answer(to: request)
        answer.omitsBody = request.isHead
        if answers.isEmpty { connection.becomeBusy() }
        answers.append(answer)
        flushAnswers()
    }

    private func answer(to request: IncomingRequest) -> Answer {
        if let refusal = request.refusal {
            note(refusal)
            return Answer(refusing: refusal, gate)
        }
        guard let relay else { preconditionFailure("a request before the handler was added") }
        let body = request.contents
        let now = clock()
        let number = relay.reserve()
        let answer: Answer
        var source: IntakeSource?
        do {
            let sender = try gate.authenticate(request.credentials, body: UnsafeRawBufferPointer(body), now: now)
            source = sender
            connection.vouch()
            func admit(_ event: UnsafeMutableRawBufferPointer, _ index: Int) -> Gatekeeper.Fate {
                gate.admit(event, from: sender, now: now, group: relay, token: relay.token(number, index: index))
            }
            if request.isBatch {
                let lines = try BatchLine.lines(of: body, limits: limits)
                let fates = lines.enumerated().map { index, line in
                    (
                        line.number,
                        line.bytes.count > limits.bodyBytes
                            ? .refused(.tooLarge(limits.bodyBytes)) : admit(line.bytes, index)
                    )
                }
                for case .refused(let refusal) in fates.lazy.map(\.1) { note(refusal, source) }
                answer = Answer(to: fates, gate)
            } else {
                let fate = admit(body, 0)
                if case .refused(let refusal) = fate { note(refusal, source) }
                answer = Answer(to: fate, gate)
            }
        } catch {
            note(error, source)
            return Answer(refusing: error, gate)
        }
        guard !answer.isComplete else { return answer }
        answer.whenComplete = { [weak self] in self?.flushAnswers() }
        relay.enlist(answer, as: number)
        return answer
    }

    // MARK: Answering

    private func flushAnswers() {
        guard let context, context.channel.isActive else { return }
        var didWrite = false
        while let answer = answers.first, answer.isComplete {
            answers.removeFirst()
            write(answer, isLast: isEnding && answers.isEmpty, context)
            didWrite = true
        }
        if answers.isEmpty, owesContinue {
            owesContinue = false
            context.write(wrapOutboundOut(.head(.init(version: .http1_1, status: .continue))), promise: nil)
            didWrite = true
        }
        if didWrite {
            lastProgress = .now()
            context.flush()
            awaitIdleness()
        }
        if answers.isEmpty, isEnding { leave() }
        resumeReading()
    }

    /// An answer is owed until it has left.
    private func awaitIdleness() {
        // Cut off behind its last answer, a client that is still sending would lose it: that one has its own time.
        guard answers.isEmpty, !isEnding, let lastWrite else { return }
        lastWrite.assumeIsolated().whenComplete { _ in
            if self.answers.isEmpty, self.lastWrite === lastWrite { self.connection.becomeIdle() }
        }
    }

    private func write(_ answer: Answer, isLast: Bool, _ context: ChannelHandlerContext) {
        let response = answer.response
        let json = response.document.bytes
        var fields = HTTPHeaders([
            ("content-type", response.status < 300 ? "application/json" : "application/problem+json"),
            ("content-length", "\(json.count)"),
        ])
        if let retryAfter = response.retryAfter { fields.add(name: "retry-after", value: "\(retryAfter)") }
        // RFC 9110 asks for these two, sections 11.6.1 and 10.2.1.
        if response.status == 401 { fields.add(name: "www-authenticate", value: "Webhook-Signature") }
        if response.status == 405 { fields.add(name: "allow", value: "POST") }
        if isLast { fields.add(name: "connection", value: "close") }
        let head = HTTPResponseHead(version: .http1_1, status: .init(statusCode: response.status), headers: fields)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if !answer.omitsBody {
            let body = context.channel.allocator.buffer(bytes: json)
            context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
        }
        let written = context.eventLoop.makePromise(of: Void.self)
        context.write(wrapOutboundOut(.end(nil)), promise: written)
        lastWrite = written.futureResult
    }
}
