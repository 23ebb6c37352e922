internal import Credentials
internal import EventModel
internal import HTTPTypes
internal import Journal
internal import NIOCore
internal import NIOHTTPTypes
internal import Sockets

/// Serves one connection of the intake. It stands before Hummingbird's own request handling and answers everything
/// itself: a request that waits for a commit costs one wake-up of the loop, shared with all that the commit answers,
/// where an asynchronous handler would cost four.
///
/// Requests may be pipelined; answers go out in the order of the requests. What is admitted is in the journal's hands,
/// whether or not the client still listens.
final class IntakeHandler: ChannelDuplexHandler, RemovableChannelHandler, CommitRelay.Waiter {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private let gate: Gatekeeper
    private let limits: IntakeLimits
    private let relays: RelayTable
    private let clock: @Sendable () -> Timestamp

    private var relay: CommitRelay?
    private var context: ChannelHandlerContext?
    private var peerUID: UInt32?

    /// The request that is being received.
    private var request: HTTPRequest?
    private var body: BodyBuffer?
    /// Why what is being received will be refused; its body is not kept.
    private var refusal: Refusal?

    /// Answers in the order of their requests; those that wait for a commit hold back the ones behind them.
    private var answers: [Answer] = []
    private var nextAnswer = 0
    private var owners: [UInt64: Int] = [:]
    private var isQuiescing = false
    private var mustClose = false

    init(
        gate: Gatekeeper, limits: IntakeLimits, relays: RelayTable, clock: @escaping @Sendable () -> Timestamp
    ) {
        self.gate = gate
        self.limits = limits
        self.relays = relays
        self.clock = clock
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        relay = relays.relay(for: context.eventLoop)
        guard context.channel.localAddress?.protocol == .unix else { return }
        PeerCredentials.of(context.channel).assumeIsolated().whenSuccess { self.peerUID = $0.uid }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): begin(head, context)
        case .body(let part): take(part)
        case .end: finish()
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // The handler behind us never sees our requests and takes the connection for idle: let it know of the shutdown
        // only when nothing waits for an answer any more.
        if event is ChannelShouldQuiesceEvent, !answers.isEmpty {
            isQuiescing = true
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    func concluded(_ token: UInt64, isOnDisk: Bool) {
        guard let number = owners.removeValue(forKey: token),
            let index = answers.firstIndex(where: { $0.number == number })
        else { return }
        answers[index].concluded(token, isOnDisk: isOnDisk, seen: gate.seen)
        flushAnswers()
    }

    // MARK: Receiving

    private func begin(_ head: HTTPRequest, _ context: ChannelHandlerContext) {
        request = head
        refusal = nil
        body = nil
        let isBatch = head.headerFields[.contentType].map(Self.mediaType) == Self.lines
        let limit = isBatch ? limits.batchBytes : limits.bodyBytes
        let length = head.headerFields[.contentLength].flatMap { Int($0) }
        if head.path?.split(separator: "?", maxSplits: 1).first != "/v1/events" {
            refusal = .notFound
        } else if head.method != .post {
            refusal = .method
        } else if head.headerFields[.contentType].map(Self.mediaType) != Self.json, !isBatch {
            refusal = .contentType
        } else if let length, length > limit {
            refusal = .tooLarge(limit)
            mustClose = true
        } else {
            body = BodyBuffer(capacity: length ?? 1_024)
        }
        if head.headerFields[.connection]?.lowercased() == "close" { mustClose = true }
    }

    private func take(_ part: ByteBuffer) {
        guard let body, refusal == nil else {
            BodyBuffer(capacity: 1).append(part)  // wipes it
            return
        }
        body.append(part)
        let limit = isBatch ? limits.batchBytes : limits.bodyBytes
        if body.count > limit {
            refusal = .tooLarge(limit)
            mustClose = true
            self.body = nil
        }
    }

    private var isBatch: Bool {
        request?.headerFields[.contentType].map(Self.mediaType) == Self.lines
    }

    private func finish() {
        guard let request else { return }
        defer {
            self.request = nil
            body = nil
        }
        nextAnswer += 1
        var answer = Answer(number: nextAnswer, isBatch: isBatch)
        if let refusal {
            answer.add(.refused(refusal), token: nil)
        } else if let body, let relay {
            judge(request, body.contents, relay, &answer)
        }
        answers.append(answer)
        flushAnswers()
    }

    private func judge(
        _ request: HTTPRequest, _ body: UnsafeMutableRawBufferPointer, _ relay: CommitRelay, _ answer: inout Answer
    ) {
        let now = clock()
        let source: IntakeSource
        do {
            source = try gate.authenticate(
                Gatekeeper.Credentials(
                    id: request.headerFields[.webhookID], timestamp: request.headerFields[.webhookTimestamp],
                    signatures: request.headerFields[.webhookSignature], peerUID: peerUID),
                body: UnsafeRawBufferPointer(body), now: now)
        } catch {
            return answer.refuseWhole(error)
        }
        guard answer.isBatch else { return admit(body, from: source, relay, now, &answer) }
        let lines = body.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: true)
        guard lines.count <= limits.batchLines else {
            return answer.refuseWhole(.invalid("", "a batch of at most \(limits.batchLines) lines is accepted"))
        }
        for line in lines {
            admit(UnsafeMutableRawBufferPointer(rebasing: line), from: source, relay, now, &answer)
        }
        if lines.isEmpty { answer.refuseWhole(.invalid("", "the body is empty; one event a line is accepted")) }
    }

    private func admit(
        _ body: UnsafeMutableRawBufferPointer, from source: IntakeSource, _ relay: CommitRelay, _ now: Timestamp,
        _ answer: inout Answer
    ) {
        let token = relay.token(for: self)
        let fate = gate.admit(body, from: source, now: now, group: relay, token: token)
        switch fate {
        case .waits, .waitsForCopy:
            owners[token] = answer.number
            answer.add(fate, token: token)
        case .duplicate, .refused:
            relay.forget(token)
            answer.add(fate, token: nil)
        }
    }

    // MARK: Answering

    private func flushAnswers() {
        guard let context, context.channel.isActive else { return }
        var didWrite = false
        while let first = answers.first, first.isComplete {
            answers.removeFirst()
            write(first, context)
            didWrite = true
        }
        if didWrite { context.flush() }
        guard answers.isEmpty else { return }
        if mustClose, didWrite {
            context.close(promise: nil)
        } else if isQuiescing {
            isQuiescing = false
            context.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        }
    }

    private func write(_ answer: Answer, _ context: ChannelHandlerContext) {
        let (status, json, retryAfter) = answer.response
        var fields = HTTPFields()
        fields[.contentType] = (200..<300).contains(status) ? "application/json" : "application/problem+json"
        fields[.contentLength] = "\(json.count)"
        if let retryAfter { fields[.retryAfter] = "\(retryAfter)" }
        if mustClose { fields[.connection] = "close" }
        let head = HTTPResponse(status: .init(code: status), headerFields: fields)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(context.channel.allocator.buffer(bytes: json))), promise: nil)
        context.write(wrapOutboundOut(.end(nil)), promise: nil)
    }

    private static let json = "application/json"
    private static let lines = "application/x-ndjson"

    private static func mediaType(_ field: String) -> String {
        String(field.prefix { $0 != ";" && $0 != " " }).lowercased()
    }
}

extension HTTPField.Name {
    fileprivate static var webhookID: Self { known("webhook-id") }
    fileprivate static var webhookTimestamp: Self { known("webhook-timestamp") }
    fileprivate static var webhookSignature: Self { known("webhook-signature") }

    private static func known(_ name: String) -> Self {
        guard let name = Self(name) else { preconditionFailure("a valid field name") }
        return name
    }
}
