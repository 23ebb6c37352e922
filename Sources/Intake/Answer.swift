internal import EventModel
internal import Journal

/// The answer to one request, which may wait for a commit: a plain value that the handler fills and, when it is
/// complete, writes.
struct Answer {
    /// Its place among the connection's requests.
    let number: Int
    /// The request was a batch: the answer tells each line's fate.
    let isBatch: Bool
    private var fates: [(fate: Gatekeeper.Fate, token: UInt64?)] = []
    private var whole: Refusal?
    private var open = 0

    init(number: Int, isBatch: Bool) {
        self.number = number
        self.isBatch = isBatch
    }

    /// Whether nothing in it waits for a commit.
    var isComplete: Bool { open == 0 }

    mutating func add(_ fate: Gatekeeper.Fate, token: UInt64?) {
        fates.append((fate, token))
        if token != nil { open += 1 }
    }

    /// Nothing of the request was looked at.
    mutating func refuseWhole(_ refusal: Refusal) {
        whole = refusal
    }

    mutating func concluded(_ token: UInt64, isOnDisk: Bool, seen: SeenEvents) {
        guard let index = fates.firstIndex(where: { $0.token == token }) else { return }
        open -= 1
        fates[index].token = nil
        if case .waits(let id, _) = fates[index].fate {
            if isOnDisk { seen.committed(id) } else { seen.failed(id) }
        }
        if !isOnDisk { fates[index].fate = .refused(.unavailable("the journal could not be written")) }
    }

    /// Status, JSON body, seconds until another try makes sense.
    var response: (Int, [UInt8], Int?) {
        if let whole { return (whole.status, whole.document.bytes, whole.retryAfter) }
        guard isBatch else {
            guard case .refused(let refusal) = fates.first?.fate else {
                return (202, (fates.first?.fate.document ?? .null).bytes, nil)
            }
            return (refusal.status, refusal.document.bytes, refusal.retryAfter)
        }
        var members: [JSONValue] = []
        var retryAfter: Int?
        for (line, (fate, _)) in fates.enumerated() {
            var document = fate.document
            if case .object(let fields) = document {
                document = .object([.init("line", .number("\(line + 1)"))] + fields)
            }
            if case .refused(let refusal) = fate, refusal.status == 503 { retryAfter = refusal.retryAfter }
            members.append(document)
        }
        // Only if no line at all could be taken is the whole batch to be sent again.
        let allUnavailable = fates.allSatisfy {
            if case .refused(let refusal) = $0.fate { refusal.status == 503 } else { false }
        }
        let results = JSONValue.object([.init("results", .array(members))])
        return (allUnavailable ? 503 : 202, results.bytes, retryAfter)
    }
}

extension Gatekeeper.Fate {
    fileprivate var document: JSONValue {
        switch self {
        case .waits(_, let event): .object([.init("id", .string(event)), .init("status", .string("accepted"))])
        case .waitsForCopy(let event), .duplicate(let event):
            .object([.init("id", .string(event)), .init("status", .string("duplicate"))])
        case .refused(let refusal):
            .object([.init("status", .string("refused")), .init("problem", refusal.document)])
        }
    }
}
