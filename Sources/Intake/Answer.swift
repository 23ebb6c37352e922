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
    private let room: JournalRoom
    private var content: Content
    private var open = 0

    /// Nothing of the request is taken in.
    init(refusing refusal: Refusal, _ gate: Gatekeeper) {
        content = .refused(refusal)
        seen = gate.seen
        room = gate.room
    }

    init(to fate: Gatekeeper.Fate, _ gate: Gatekeeper) {
        content = .event(fate)
        seen = gate.seen
        room = gate.room
        open = fate.isOpen ? 1 : 0
    }

    init(to batch: [(line: Int, fate: Gatekeeper.Fate)], _ gate: Gatekeeper) {
        content = .batch(batch)
        seen = gate.seen
        room = gate.room
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
        if isOnDisk { room.committed() } else { room.refused(Refusal.notWritten.detail) }
        return isOnDisk ? fate : .refused(.notWritten)
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
        let results = JSONValue.Member(
            "results",
            .array(
                batch.map { line, fate in JSONValue.object([.init("line", .number("\(line)"))] + fate.members) }))
        let refusals = batch.compactMap { line, fate in fate.refusal.map { (line: line, refusal: $0) } }
        let passing = refusals.first { $0.refusal.status == 503 }
        guard refusals.count == batch.count, let first = passing ?? refusals.first else {
            return Response(
                status: 202, document: .object([results]), retryAfter: passing?.refusal.retryAfter)
        }
        // Nothing was taken in, and who looks at the status alone must see it: 503 if it may come again as it is, else
        // what all lines have in common.
        var refusal = first.refusal
        if passing == nil, refusals.contains(where: { $0.refusal.status != refusal.status }) { refusal.status = 400 }
        refusal.detail = "no line was taken in; line \(first.line): \(refusal.detail)"
        return Response(
            status: refusal.status, document: .object(refusal.members + [results]), retryAfter: refusal.retryAfter)
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

    var refusal: Refusal? {
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
