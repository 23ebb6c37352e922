package import RuntimeSyncPlugin

/// What one request is to do at the directory once its account has been found.
package enum Purpose: Equatable, Sendable {
    /// Set the password.
    case password
    /// Give each attribute exactly these values; none removes the attribute.
    case profile([String: [String]])
    /// Answer what these attributes hold.
    case read([String])
    /// Bind as the account.
    case verify
}

/// The entries that a search found, and how it ended.
package struct SearchAnswer: Equatable, Sendable {
    package let end: ServerAnswer
    package let entries: [DirectoryEntry]
    /// How often the server said that more may be found elsewhere. Nobody follows.
    package let references: Int

    package init(end: ServerAnswer, entries: [DirectoryEntry] = [], references: Int = 0) {
        self.end = end
        self.entries = entries
        self.references = references
    }

    /// The answer to a proof: the one entry that it is about is there and as it should be.
    package var confirms: Bool { end.code == .success && entries.count == 1 }
}

/// What a request is about to do next.
package enum Step: Equatable, Sendable {
    /// Ask the query for these attributes, at most two entries. What is remembered of it is to be forgotten.
    case locate(AccountQuery, attributes: [String])
    /// Ask whether the account may be touched.
    case confirm(AccountProof)
    /// Write to this account; with the condition, if there is one, that it matches the filter.
    case write(LocatedAccount, condition: String?)
    /// Bind as this account with the password, on another connection.
    case bind(LocatedAccount)
    /// Answer these values.
    case report(LocatedAccount, [String: [String]], detail: String)
    /// The request has ended.
    case finish(Completion)

    /// It asks again what a joint answer left out.
    package var wasLeftOut: Bool {
        if case .confirm(let proof) = self { proof.wasLeftOut } else { false }
    }
}

/// Why no answer is coming any more.
package enum Interruption: Equatable, Sendable {
    case connectionLost
    case timedOut
    case cancelled
    case stopping
}

/// The way of one request from "find the account" to its end. It decides; the connection does.
///
/// ```
///                         (only with `protect`)
/// waiting ─▶ locating ───────────▶ confirming ─▶ writing ─▶ ended
///    │ account known   ├───────────────────────────▲
///    ├────────────────▶│ write conditional         │
///    └─────────────────┴──────────▶ confirming ────┘
/// ```
///
/// Whatever is known of an account beforehand is proven before it is written to, or with the write itself: that the
/// entry of this name has the account's stable id, is what the query finds, and is not protected. Where that does not
/// hold, what was known counts for nothing and the account is looked for.
///
/// If no answer comes, it matters where: a search changed nothing, so it is *retry*; a write may have been carried out,
/// so it is *unknown*.
package struct DeliveryCourse: Sendable {
    package enum Stage: Equatable, Sendable {
        case waiting, locating, confirming, writing
    }

    package let purpose: Purpose
    package let query: AccountQuery
    package private(set) var stage: Stage = .waiting
    private let rules: AccountRules
    /// The stable id of the account that the subject is bound to.
    package let boundTo: String?
    /// Where the account is, once it has been found and may be used.
    package private(set) var account: LocatedAccount?
    /// What is known of it was not found for this request.
    private var isKnown = false
    private var values: [String: [String]] = [:]
    private var leftOut: [String] = []

    /// - Parameters:
    ///   - boundTo: the stable id that the subject is bound to; `nil` while it is not.
    package init(_ purpose: Purpose, query: AccountQuery, rules: AccountRules, boundTo: String?) {
        self.purpose = purpose
        self.query = query
        self.rules = rules
        self.boundTo = boundTo
    }

    /// Something was sent that may change the directory.
    package var isAmbiguous: Bool { stage == .writing }

    /// A write may have to be sent once more, to where the account is found then: what was sent was not sent on a search
    /// of this request.
    package var mayWriteAgain: Bool { isKnown }

    /// The first step.
    ///
    /// - Parameter known: where the account should be, from an earlier search or by its name.
    package mutating func begin(known: LocatedAccount?, facts: ServerFacts) -> Step {
        guard writes, let known, let id = known.stableID?.text, id == boundTo ?? id else { return locate() }
        // Without a binding it is not even sure whose account it is, and a search of its own would be due.
        if boundTo == nil, condition(for: known, facts) == nil { return locate() }
        isKnown = true
        return found(known, facts)
    }

    private var writes: Bool {
        switch purpose {
        case .password: true
        case .profile(let attributes): !attributes.isEmpty
        case .read, .verify: false
        }
    }

    /// After ``Step/locate(_:attributes:)``.
    package mutating func located(_ answer: SearchAnswer, facts: ServerFacts) -> Step {
        let doing = "finding the account"
        if answer.entries.count > 1 {
            return finish(.refused, "\(doing): ambiguous: more than one entry matches \(query.filter)")
        }
        guard answer.end.code == .success else {
            if answer.end.code == .noSuchObject { return nothingThere(answer.end) }
            return finish(answer.end.code.outcome(.locating), answer.end.detail(doing))
        }
        guard let entry = answer.entries.first else {
            let hint = answer.references > 0 ? "; the server refers to other servers, which are not asked" : ""
            return finish(.absent, "\(doing): no entry below \(rules.base) matches \(query.filter)\(hint)")
        }
        guard let name = DistinguishedName(entry.name), name.isStrictlyBelow(rules.baseName) else {
            return finish(.refused, "\(doing): the entry found does not lie below \(rules.base)")
        }
        if case .read(let attributes) = purpose {
            for attribute in attributes {
                let texts = entry[attribute].map { String(validating: $0, as: UTF8.self) }
                if texts.contains(nil) {
                    leftOut.append(attribute)
                } else {
                    values[attribute] = texts.compactMap(\.self)
                }
            }
        }
        return found(LocatedAccount(name: entry.name, stableID: StableID(of: entry, from: rules.stableIDs)), facts)
    }

    /// After ``Step/confirm(_:)``.
    package mutating func confirmed(_ answer: SearchAnswer, facts: ServerFacts) -> Step {
        guard let account else { return locate() }
        let code = answer.end.code
        if isKnown, code.outcome(.locating) != .retry, !answer.confirms { return locate() }
        let doing = isKnown ? "looking at the account" : "looking at protect"
        if code == .noSuchObject { return gone(answer.end, doing) }
        guard code == .success else { return finish(code.outcome(.locating), answer.end.detail(doing)) }
        guard answer.entries.count == 1 else {
            return finish(
                .refused, "the account is protected: it matches protect, or the server cannot say that it does not")
        }
        return act(on: account, facts)
    }

    /// After ``Step/write(_:condition:)``.
    package mutating func written(_ answer: ServerAnswer) -> Step {
        let doing = purpose == .password ? "writing the password" : "writing the profile"
        switch answer.code {
        case .success: return finish(.delivered, "")
        case .noSuchObject, .assertionFailed: return gone(answer, doing)
        default: return finish(answer.code.outcome(.writing), answer.detail(doing))
        }
    }

    /// The write that was to be sent did not go out.
    package mutating func withdraw() {
        stage = .waiting
    }

    /// No answer comes any more.
    package mutating func interrupted(_ reason: Interruption) -> Completion {
        let why =
            switch reason {
            case .connectionLost: "the connection was lost"
            case .timedOut: "the server did not answer in time"
            case .cancelled: "cancelled"
            case .stopping: "the plugin stops"
            }
        let what =
            switch stage {
            case .waiting: "nothing had been sent"
            case .locating, .confirming: "nothing had been written"
            case .writing: "the write had been sent"
            }
        return Completion(isAmbiguous ? .unknown : .retry, detail: "\(why); \(what)", account: account?.stableID?.text)
    }

    // MARK: Decisions

    private mutating func locate() -> Step {
        stage = .locating
        account = nil
        isKnown = false
        var wanted = rules.stableIDs
        if case .read(let attributes) = purpose { wanted += attributes }
        return .locate(query, attributes: wanted)
    }

    private mutating func found(_ account: LocatedAccount, _ facts: ServerFacts) -> Step {
        self.account = account
        if account.stableID == nil, rules.requiresStableID {
            return finish(.refused, "the account has no \(rules.stableIDs.joined()), or it may not be read")
        }
        if let boundTo, account.stableID?.text != boundTo {
            self.account = nil
            return finish(.refused, "the subject is bound to another account than the one that was found")
        }
        if isKnown ? condition(for: account, facts) != nil : rules.protect == nil { return act(on: account, facts) }
        stage = .confirming
        return .confirm(AccountProof(account: account, filter: proof(of: account)))
    }

    /// The filter that the entry must match to be written to. A server that cannot tell whether `protect` matches cannot
    /// tell that it does not, either: the entry does not match then.
    private func proof(of account: LocatedAccount) -> String {
        let parts = [
            account.stableID?.filter, isKnown && query.scope == .subtree ? query.filter : nil,
            rules.protect.map { "(!\($0))" },
        ].compactMap(\.self)
        return parts.count == 1 ? parts[0] : "(&\(parts.joined()))"
    }

    private mutating func act(on account: LocatedAccount, _ facts: ServerFacts) -> Step {
        switch purpose {
        case .profile(let attributes) where attributes.isEmpty:
            return finish(.delivered, "no attributes to write")
        case .password, .profile:
            stage = .writing
            return .write(account, condition: condition(for: account, facts))
        case .verify:
            stage = .waiting
            return .bind(account)
        case .read:
            let detail =
                leftOut.isEmpty ? "" : "left out, because they are not text: \(leftOut.joined(separator: ", "))"
            return .report(account, values, detail: detail)
        }
    }

    /// Nobody is found by name. If even `base` is missing it is not about this account.
    private mutating func nothingThere(_ answer: ServerAnswer) -> Step {
        let detail = answer.detail("finding the account")
        if query.scope == .subtree { return finish(.misconfigured, "\(detail): base \(rules.base) does not exist") }
        if !answer.matchedName.isEmpty, let matched = DistinguishedName(answer.matchedName),
            rules.baseName.isStrictlyBelow(matched)
        {
            return finish(.misconfigured, "\(detail): base \(rules.base) does not exist")
        }
        return finish(.absent, detail)
    }

    /// The entry is no longer what was found. If that was some time ago, look again; otherwise somebody is changing it
    /// at this moment, or it went.
    private mutating func gone(_ answer: ServerAnswer, _ doing: String) -> Step {
        if isKnown { return locate() }
        return finish(answer.code.outcome(.writing), answer.detail(doing))
    }

    /// What must still hold when the write reaches the entry: a write with a condition cannot reach another entry,
    /// however old the knowledge of its name is. `nil` if the server or the operation knows no conditions: OpenLDAP
    /// takes the control with Modify, not with Password Modify.
    private func condition(for account: LocatedAccount, _ facts: ServerFacts) -> String? {
        guard facts.knowsAssertion, account.stableID != nil else { return nil }
        switch purpose {
        case .read, .verify: return nil
        case .password where facts.passwordByExtendedOperation: return nil
        case .password, .profile: return proof(of: account)
        }
    }

    private func finish(_ outcome: Outcome, _ detail: String) -> Step {
        .finish(Completion(outcome, detail: detail, account: account?.stableID?.text))
    }
}
