package import RuntimeSyncPlugin

/// What a request was for; the same answer means different things to each.
package enum RequestPurpose: Sendable, Equatable {
    case delivery(DeliveryClass, kind: String)
    case check

    /// Whether an account at the target is written: a repetition is then not harmless, and 404 speaks of the account.
    var writesAccount: Bool {
        switch self {
        case .delivery(.notification, _), .check: false
        case .delivery: true
        }
    }
}

/// How a transfer ended.
package enum TransferEnd: Sendable, Equatable {
    /// A whole answer came.
    case answered(Answer)
    /// Nothing was sent: the name was not found, the connection not made, or there was no time left.
    case notSent(String)
    /// The request was sent, perhaps in part, and no whole answer came.
    case lost(String)
    /// No request can be sent with these settings: the target did not prove who it is, or a TLS file or the URL is
    /// unusable. Nothing was sent.
    case impossible(String)
}

/// What the target answered.
package struct Answer: Sendable, Equatable {
    package var status: Int
    /// Seconds; `nil` if the target named none.
    package var retryAfter: Int?
    /// Where a redirect leads, absolute.
    package var location: String?
    /// The beginning of the body; empty if it repeats the request's secret.
    package var body: [UInt8]
    /// The body is empty because it repeated the secret.
    package var isRedacted: Bool

    package init(
        status: Int, retryAfter: Int? = nil, location: String? = nil, body: [UInt8] = [], isRedacted: Bool = false
    ) {
        self.status = status
        self.retryAfter = retryAfter
        self.location = location
        self.body = body
        self.isRedacted = isRedacted
    }
}

/// Which outcome each end of a transfer has.
///
/// | end | credential, profile, lifecycle | notification | check |
/// |---|---|---|---|
/// | 2xx, or `success_statuses` if set | delivered | delivered | delivered |
/// | another 2xx if `success_statuses` is set | refused | refused | delivered |
/// | 3xx | misconfigured | misconfigured | misconfigured |
/// | 401, 407 | misconfigured | misconfigured | misconfigured |
/// | 403 | refused | refused | misconfigured |
/// | `absent_statuses` (404, 410) | absent; created: refused; deleted: delivered | refused | delivered |
/// | 408, 425, 429, 5xx | retry | retry | retry |
/// | 501, 505 | misconfigured | misconfigured | misconfigured |
/// | any other 4xx | refused | refused | delivered |
/// | nothing was sent | retry | retry | retry |
/// | sent, no whole answer | unknown | retry | retry |
/// | TLS verification failed, nothing can be sent | misconfigured | misconfigured | misconfigured |
///
/// Over HTTP/2 a success that came before the whole body was taken counts as no answer; a refusal may come early.
/// A check that is answered at all has reached and convinced the target, whatever it has to say about the path.
/// An account is written by at most one request per attempt, so a lost answer leaves it unknown, although the
/// idempotency key lets a target that knows it recognise the next attempt. A notification is simply sent again.
package struct OutcomeRules: Sendable, Equatable {
    /// What counts as success instead of every 2xx.
    package var successStatuses: Set<Int>?
    /// What says that there is no such account.
    package var absentStatuses: Set<Int>
    /// Where the answer holds the account's stable id.
    package var accountField: [String]?

    package init(
        successStatuses: Set<Int>? = nil, absentStatuses: Set<Int> = [404, 410], accountField: [String]? = nil
    ) {
        self.successStatuses = successStatuses
        self.absentStatuses = absentStatuses
        self.accountField = accountField
    }

    /// The longest delay taken from a target: a day, in milliseconds.
    package static let longestDelay = 86_400_000

    /// - Parameters:
    ///   - end: how the transfer ended.
    ///   - purpose: what it was for.
    ///   - account: the account that the subject is bound to, if it is.
    package func completion(of end: TransferEnd, for purpose: RequestPurpose, account: String?) -> Completion {
        switch end {
        case .notSent(let reason): Completion(.retry, detail: reason)
        case .lost(let reason): Completion(purpose.writesAccount ? .unknown : .retry, detail: reason)
        case .impossible(let reason): Completion(.misconfigured, detail: reason)
        case .answered(let answer): completion(of: answer, for: purpose, account: account)
        }
    }

    private func completion(of answer: Answer, for purpose: RequestPurpose, account: String?) -> Completion {
        let words = answer.words()
        switch answer.status {
        case let status where successStatuses?.contains(status) ?? (200...299).contains(status):
            return delivered(answer, for: purpose, account: account)
        case 300...399:
            let target = answer.location.flatMap { Self.host(of: $0) } ?? "nowhere"
            return Completion(
                .misconfigured, detail: "HTTP \(answer.status), a redirect to \(target), is not followed; see base_url")
        case 401, 407:
            return Completion(.misconfigured, detail: words)
        case 403 where purpose == .check:
            return Completion(
                .misconfigured, detail: answer.words(after: "check_path must be allowed for these credentials"))
        case let status where absentStatuses.contains(status) && purpose.writesAccount:
            switch purpose {
            case .delivery(_, kind: "user.deleted"):
                return Completion(.delivered, detail: answer.words(after: "it was gone"))
            case .delivery(_, kind: "user.created"): return Completion(.refused, detail: words)
            default: return Completion(.absent, detail: words)
            }
        case 501, 505:
            return Completion(.misconfigured, detail: words)
        case 408, 425, 429, 500...599:
            let delay = min(max(0, answer.retryAfter ?? 0), Self.longestDelay / 1000) * 1000
            return Completion(.retry, detail: words, retryAfter: UInt32(delay))
        default:
            return Completion(purpose == .check ? .delivered : .refused, detail: words)
        }
    }

    private func delivered(_ answer: Answer, for purpose: RequestPurpose, account: String?) -> Completion {
        guard let accountField, purpose.writesAccount, let body = try? JSON(parsing: answer.body),
            let field = body[path: accountField], let found = Self.id(field)
        else { return Completion(.delivered, detail: "HTTP \(answer.status)") }
        guard account == nil || account == found else {
            return Completion(
                .refused, detail: "HTTP \(answer.status), but it was for account \(found) and this subject has another")
        }
        return Completion(.delivered, detail: "HTTP \(answer.status)", account: found)
    }

    private static func id(_ value: JSON) -> String? {
        switch value {
        case .string(let text): text.isEmpty ? nil : text
        case .number(let digits): digits
        default: nil
        }
    }

    /// The host of an absolute URL, for people: the rest may hold tokens.
    private static func host(of url: String) -> String? {
        url.firstRange(of: "://").map { separator in
            let authority = url[separator.upperBound...].prefix { !"/?#".contains($0) }
            return String(
                authority[(authority.lastIndex(of: "@").map(authority.index(after:)) ?? authority.startIndex)...])
        }
    }
}

extension Answer {
    /// The status, a remark of ours, and the body on one line: all of it, because the host looks for the password in
    /// more encodings than we do, and cuts it to size afterwards.
    func words(after remark: String? = nil) -> String {
        let head = "HTTP \(status)\(remark.map { "; \($0)" } ?? "")"
        if isRedacted { return "\(head); its text repeated the password and is not shown" }
        // C0, DEL and the blank; what else may play tricks, the host takes out.
        let line = Array(body.split { $0 <= 0x20 || $0 == 0x7F }.joined(separator: [0x20]))
        return line.isEmpty ? head : "\(head): \(String(decoding: line, as: UTF8.self))"
    }
}
