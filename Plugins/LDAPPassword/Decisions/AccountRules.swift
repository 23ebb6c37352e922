internal import RuntimeSyncPlugin

/// Which question finds a subject's account in the directory.
package struct AccountQuery: Hashable, Sendable {
    package enum Scope: Hashable, Sendable {
        case base, subtree
    }

    package let base: String
    package let scope: Scope
    package let filter: String

    package init(base: String, scope: Scope, filter: String) {
        self.base = base
        self.scope = scope
        self.filter = filter
    }
}

/// How accounts are found, told apart and protected: the settings `base`, `account_dn` or `account_filter`, `protect`
/// and `stable_id`.
package struct AccountRules: Sendable {
    private enum Finding: Sendable {
        /// Every name that the template gives lies below `base`, because it ends with it.
        case byName(Template, endsWithBase: Bool)
        case byFilter(Template)
    }

    /// A DN, as written.
    package let base: String
    let baseName: DistinguishedName
    private let finding: Finding
    /// A filter; entries that match it are refused.
    package let protect: String?
    /// Attributes that may name an entry for ever; the first that the entry has counts.
    package let stableIDs: [String]
    /// `stable_id` was written: an entry without it is not written to.
    let requiresStableID: Bool

    /// - Parameter written: notes what is wrong, if this is `nil`.
    init?(_ written: inout WrittenSettings) {
        let base = written.understood("base") { text throws(StartError) in
            guard !text.isEmpty, let name = DistinguishedName(text) else {
                throw StartError("base: \"\(text)\" is not a DN such as ou=people,dc=example,dc=org")
            }
            return (text: text, name: name)
        }
        let finding: Finding?
        switch (written.text("account_dn"), written.text("account_filter")) {
        case (let name?, nil):
            finding = written.errors.attempt { () throws(StartError) in
                try Self.finding(byName: name, below: base?.text, base?.name)
            }
        case (nil, let filter?):
            finding = written.errors.attempt { () throws(StartError) in try Self.finding(byFilter: filter) }
        default:
            written.errors.add("account_dn, account_filter: exactly one of them is needed to find an account")
            finding = nil
        }
        protect = written.text("protect")
        if let protect, !isFilter(protect) {
            written.errors.add(
                "protect: \"\(protect)\" is not a filter such as (memberOf=cn=admins,dc=example,dc=org)")
        }
        let stableID = written.text("stable_id")
        stableIDs = stableID.map { [$0] } ?? ["entryUUID", "nsUniqueId", "objectGUID"]
        requiresStableID = stableID != nil
        guard let base, let finding else { return nil }
        self.base = base.text
        baseName = base.name
        self.finding = finding
    }

    /// - Parameter base: as written, and understood; without it, whether the accounts lie below it is not looked at.
    private static func finding(
        byName name: String, below base: String?, _ baseName: DistinguishedName?
    ) throws(StartError) -> Finding {
        let template = try Template(name, key: "account_dn")
        guard let sample = try? template.filled(with: .sample), let sampleName = DistinguishedName(sample) else {
            throw StartError(
                "account_dn: \"\(name)\" is not a DN such as uid={{externalId}},\(base ?? "dc=example,dc=org")")
        }
        guard let base, let baseName else { return .byName(template, endsWithBase: false) }
        guard sampleName.isStrictlyBelow(baseName) else {
            throw StartError("account_dn: \"\(name)\" does not lie below base, \(base)")
        }
        return .byName(template, endsWithBase: template.tail.hasSuffix("," + base))
    }

    private static func finding(byFilter filter: String) throws(StartError) -> Finding {
        let template = try Template(filter, key: "account_filter")
        guard let sample = try? template.filled(with: .sample), isFilter(sample) else {
            throw StartError("account_filter: \"\(filter)\" is not a filter such as (employeeNumber={{externalId}})")
        }
        return .byFilter(template)
    }

    /// Whether finding an account needs what only the event tells of the subject.
    package var needEvent: Bool {
        switch finding {
        case .byName(let template, _), .byFilter(let template): template.needsEvent
        }
    }

    /// The account with this stable id, if `query` names it; `nil` if only a search can tell what it is called.
    ///
    /// - Parameter attribute: the one that names entries for ever at this server.
    package func account(named query: AccountQuery, boundTo id: String, attribute: String) -> LocatedAccount? {
        guard query.scope == .base, let id = StableID(bound: id, attribute: attribute) else { return nil }
        return LocatedAccount(name: query.base, stableID: id)
    }

    /// The question that finds the account of a subject, or why there is none to ask.
    package func query(for names: SubjectNames) throws(Refusal) -> AccountQuery {
        do {
            switch finding {
            case .byName(let template, let endsWithBase):
                let text = try template.filled(with: names)
                // A value can only be a value, and what follows it was looked at when the template was.
                if endsWithBase { return AccountQuery(base: text, scope: .base, filter: "(objectClass=*)") }
                guard let name = DistinguishedName(text), name.isStrictlyBelow(baseName) else {
                    throw Refusal("the account's DN, \(text), does not lie below \(base)")
                }
                return AccountQuery(base: text, scope: .base, filter: "(objectClass=*)")
            case .byFilter(let template):
                return AccountQuery(base: base, scope: .subtree, filter: try template.filled(with: names))
            }
        } catch let missing as MissingValue {
            throw Refusal("the subject has no \(missing.variable.rawValue), which finding the account needs")
        } catch let refusal as Refusal {
            throw refusal
        } catch {
            throw Refusal("\(error)")
        }
    }
}

/// Why a request can never succeed, decided here and not by the server.
package struct Refusal: Error, Equatable {
    package let reason: String

    package init(_ reason: String) {
        self.reason = reason
    }
}

extension SubjectNames {
    /// Stands in for a subject when a template is checked at start.
    fileprivate static let sample = SubjectNames(externalID: "x", username: "x", userID: "x", email: "x")
}
