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
}

/// What a request is about to do next.
package enum Step: Equatable, Sendable {
    /// Ask the query for these attributes, at most two entries. What is remembered of it is to be forgotten.
    case locate(AccountQuery, attributes: [String])
    /// Ask the query for no attributes: it says whether the account may be touched.
    case confirm(AccountQuery)
    /// Write to this account; with the condition, if there is one, that it matches the filter.
    case write(LocatedAccount, condition: String?)
    /// Bind as this account with the password, on another connection.
    case bind(LocatedAccount)
    /// Answer these values.
    case report(LocatedAccount, [String: [String]], detail: String)
    /// The request has ended.
    case finish(Completion)
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
/// waiting ─▶ locating ─▶ confirming ─▶ writing ─▶ ended
///    │                     (only with `protect`)     ▲
///    └── account remembered, write conditional ──▶ writing
/// ```
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
    /// The account that the subject is bound to.
    private let boundTo: String?
    /// Where the account is, once it has been found and may be used.
    package private(set) var account: LocatedAccount?
    private var wasRemembered = false
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

    /// The first step. `remembered` is where the account was found lately.
    package mutating func begin(remembered: LocatedAccount?, facts: ServerFacts) -> Step {
        if let remembered, condition(for: remembered, facts) != nil {
            wasRemembered = true
            return found(remembered, facts)
        }
        return locate()
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
        if answer.end.code == .noSuchObject { return gone(answer.end, "looking at protect") }
        guard answer.end.code == .success else {
            return finish(answer.end.code.outcome(.locating), answer.end.detail("looking at protect"))
        }
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
        wasRemembered = false
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
        guard let protect = rules.protect else { return act(on: account, facts) }
        stage = .confirming
        // A server that cannot tell whether `protect` matches cannot tell that it does not, either: no entry then.
        let filter = "(&\(account.stableID?.filter ?? "")(!\(protect)))"
        return .confirm(AccountQuery(base: account.name, scope: .base, filter: filter))
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
        if wasRemembered { return locate() }
        return finish(answer.code.outcome(.writing), answer.detail(doing))
    }

    /// What must still hold when the write reaches the entry: a write with a condition cannot reach another entry,
    /// however old the knowledge of its name is. `nil` if the server or the operation knows no conditions: OpenLDAP
    /// takes the control with Modify, not with Password Modify.
    private func condition(for account: LocatedAccount, _ facts: ServerFacts) -> String? {
        guard facts.knowsAssertion, let stableID = account.stableID else { return nil }
        switch purpose {
        case .read, .verify: return nil
        case .password where facts.passwordByExtendedOperation: return nil
        case .password, .profile: return rules.protect.map { "(&\(stableID.filter)(!\($0)))" } ?? stableID.filter
        }
    }

    private func finish(_ outcome: Outcome, _ detail: String) -> Step {
        .finish(Completion(outcome, detail: detail, account: account?.stableID?.text))
    }
}
