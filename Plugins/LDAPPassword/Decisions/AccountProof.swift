/// The question whether an entry is still what it was found to be: the account, not protected, not moved.
package struct AccountProof: Equatable, Sendable {
    package let account: LocatedAccount
    /// What the entry must match.
    package let filter: String
    /// A joint answer left it out.
    package private(set) var wasLeftOut = false

    package init(account: LocatedAccount, filter: String) {
        self.account = account
        self.filter = filter
    }

    /// The question by itself: it is answered with the entry or with none.
    package var query: AccountQuery {
        AccountQuery(base: account.name, scope: .base, filter: filter)
    }

    /// Whether it may be asked together with others: without a stable id their answers could not be told apart.
    package var canBeJoined: Bool { !wasLeftOut && account.stableID != nil }

    /// The same, to be asked by itself.
    package var leftOut: Self {
        var alone = self
        alone.wasLeftOut = true
        return alone
    }
}

/// Several proofs in one search: each entry by its name (`entryDN`, RFC 5020) and its filter.
///
/// What one search costs a server is mostly the operation, not the entry. OpenLDAP 2.5, its processor time for each
/// account, in µs:
///
/// | one search each | one Compare (RFC 4511) with an assertion (RFC 4528) each | one search for 8 | for 64 |
/// |---|---|---|---|
/// | 48–61 | 36–40 | 14–20 | 13–19 |
///
/// An entry that is returned is confirmed. One that is not may be protected or gone; or the server lets nobody search by
/// `entryDN`, an attribute of which access rules seldom think. So its absence is no answer, and it is asked alone; where
/// that shows that names are of no use, nothing is asked jointly any more (``NameSearch``).
package struct JointProof: Sendable {
    /// Servers limit how many entries they return; 500 is OpenLDAP's default.
    package static let limit = 64

    package let query: AccountQuery
    /// What of each entry is needed to know whose answer it is.
    package let attributes: [String]
    package let count: Int

    /// - Parameter base: a DN above all the entries.
    package init(_ proofs: [AccountProof], below base: String) {
        var filter = "(|"
        for proof in proofs {
            filter += "(&(entryDN=\(asValue(proof.account.name)))\(proof.filter))"
        }
        query = AccountQuery(base: base, scope: .subtree, filter: filter + ")")
        attributes = Set(proofs.compactMap { $0.account.stableID?.attribute }).sorted()
        count = proofs.count
    }

    /// The answer to each of the questions, as if it had been asked alone; `nil` for one that must be, and for all if the
    /// server did not carry out the search to its end.
    package func answers(_ answer: SearchAnswer, to proofs: [AccountProof]) -> [SearchAnswer?]? {
        guard answer.end.code == .success else { return nil }
        var found: [StableID: [DirectoryEntry]] = [:]
        for entry in answer.entries {
            if let id = StableID(of: entry, from: attributes) { found[id, default: []].append(entry) }
        }
        return proofs.map { proof in
            let entries = (proof.account.stableID.flatMap { found[$0] } ?? [])
                .filter { isSameName($0.name, proof.account.name) }
            return entries.isEmpty ? nil : SearchAnswer(end: answer.end, entries: entries)
        }
    }
}

/// Whether two DNs name the same entry; servers may write a name in another way than it was asked for.
private func isSameName(_ one: String, _ other: String) -> Bool {
    if one == other { return true }
    guard let one = DistinguishedName(one), let other = DistinguishedName(other) else { return false }
    return one == other
}
