internal import EventModel
internal import Journal

/// The answer to one request, which may wait for commits. It belongs to one event loop.
///
/// It outlives its connection: whether or not the client still listens, what it waits for decides whether the events
/// count as seen.
final class Answer {
    /// It answers a HEAD: the client expects none.
    var omitsBody = false
    /// Called when the last of its events is on disk, or is not; not if there is nothing to wait for.
    var whenComplete: (() -> Void)?

    private enum Content {
        case refused(Refusal)
        case event(Gatekeeper.Fate)
        /// Each event with the number of its line, from 1.
        case batch([(line: Int, fate: Gatekeeper.Fate)])
    }

    private let seen: SeenEvents
    private var content: Content
    private var open = 0

    /// Nothing of the request is taken in.
    init(refusing refusal: Refusal, seen: SeenEvents) {
        content = .refused(refusal)
        self.seen = seen
    }

    init(to fate: Gatekeeper.Fate, seen: SeenEvents) {
        content = .event(fate)
        self.seen = seen
        open = fate.isOpen ? 1 : 0
    }

    init(to batch: [(line: Int, fate: Gatekeeper.Fate)], seen: SeenEvents) {
        content = .batch(batch)
        self.seen = seen
        open = batch.count { $0.fate.isOpen }
    }

    /// Whether nothing in it waits for a commit.
    var isComplete: Bool { open == 0 }

    /// The event at `index` is on disk, or is not.
    func conclude(_ index: Int, isOnDisk: Bool) {
        open -= 1
        switch content {
        case .refused: break
        case .event(let fate): content = .event(concluded(fate, isOnDisk))
        case .batch(var batch):
            content = .batch([])  // or the write below would copy the whole batch
            batch[index].fate = concluded(batch[index].fate, isOnDisk)
            content = .batch(batch)
        }
    }

    private func concluded(_ fate: Gatekeeper.Fate, _ isOnDisk: Bool) -> Gatekeeper.Fate {
        if case .waits(let id, _) = fate {
            if isOnDisk { seen.committed(id) } else { seen.failed(id) }
        }
        return isOnDisk ? fate : .refused(.unavailable("the journal could not be written"))
    }

    /// What is written to the client.
    var response: Response {
        switch content {
        case .refused(let refusal), .event(.refused(let refusal)): Response(refusal)
        case .event(let fate): Response(status: 202, document: .object(fate.members))
        case .batch(let batch): Self.response(to: batch)
        }
    }

    private static func response(to batch: [(line: Int, fate: Gatekeeper.Fate)]) -> Response {
        let results = batch.map { line, fate in
            JSONValue.object([.init("line", .number("\(line)"))] + fate.members)
        }
        let unavailable = batch.compactMap { $0.fate.refusal }.filter { $0.status == 503 }
        // Only if no line at all could be taken is the whole batch to be sent again.
        if let refusal = unavailable.first, unavailable.count == batch.count { return Response(refusal) }
        return Response(
            status: 202, document: .object([.init("results", .array(results))]),
            retryAfter: unavailable.first?.retryAfter)
    }
}

/// Status and JSON document of an answer.
struct Response {
    var status: Int
    var document: JSONValue
    /// Seconds until another try makes sense.
    var retryAfter: Int?

    init(status: Int, document: JSONValue, retryAfter: Int? = nil) {
        self.status = status
        self.document = document
        self.retryAfter = retryAfter
    }

    init(_ refusal: Refusal) {
        self.init(status: refusal.status, document: refusal.document, retryAfter: refusal.retryAfter)
    }
}

extension Gatekeeper.Fate {
    /// Whether it waits for a commit.
    fileprivate var isOpen: Bool {
        switch self {
        case .waits, .waitsForCopy: true
        case .duplicate, .refused: false
        }
    }

    fileprivate var refusal: Refusal? {
        guard case .refused(let refusal) = self else { return nil }
        return refusal
    }

    fileprivate var members: [JSONValue.Member] {
        switch self {
        case .waits(_, let event): [.init("id", .string(event)), .init("status", .string("accepted"))]
        case .waitsForCopy(let event), .duplicate(let event):
            [.init("id", .string(event)), .init("status", .string("duplicate"))]
        case .refused(let refusal): [.init("status", .string("refused")), .init("problem", refusal.document)]
        }
    }
}
