internal import EventModel
internal import Journal

/// Which account belongs to whom: what is pinned, what was changed too lately to be on disk, and what is claimed by a
/// delivery in flight.
struct BindingTable {
    private let journal: Journal
    private let vault: Vault

    /// Changes that may not be on disk yet; `nil` = removed.
    private var recent: [Owner: BoundAccount?] = [:]
    private var recentAccounts: [Account: Int64] = [:]
    private var recentExternalIDs: [Account: Int64] = [:]
    private var ages = Ages()
    /// Accounts that unbound subjects are about to write to.
    private var claims: [Account: Int64] = [:]

    private struct Owner: Hashable {
        var slot: Int
        var subject: Int64
    }

    private struct Account: Hashable {
        var slot: Int
        var hash: Hash128
    }

    private struct Ages {
        var changes: [(at: Timestamp, owner: Owner)] = []
    }

    init(journal: Journal, vault: Vault) {
        self.journal = journal
        self.vault = vault
    }

    /// The account that a subject is bound to.
    func account(slot: Int, subject: Int64) throws -> BoundAccount? {
        if let known = recent[Owner(slot: slot, subject: subject)] { return known }
        guard let stored = try journal.binding(slot: slot, subject: subject) else { return nil }
        return try vault.openAccount(stored.state, slot: slot, subject: subject)
    }

    /// Who owns an account of a provider, by its stable id.
    func owner(slot: Int, account: String) throws -> Int64? {
        let hash = vault.hash(account: account)
        if let subject = recentAccounts[Account(slot: slot, hash: hash)] { return subject }
        guard let stored = try journal.binding(slot: slot, account: hash) else { return nil }
        return isRemoved(slot, stored.subject) ? nil : stored.subject
    }

    /// Who was bound by this external id.
    func owner(slot: Int, externalID: String) throws -> Int64? {
        let hash = vault.hash(externalID: externalID)
        if let subject = recentExternalIDs[Account(slot: slot, hash: hash)] { return subject }
        return try journal.bindings(slot: slot, external: hash).first { !isRemoved(slot, $0.subject) }?.subject
    }

    /// Reserves an account for a subject while its first delivery is in flight.
    ///
    /// - Returns: `false` if another subject's first delivery has it.
    mutating func claim(slot: Int, account: String, for subject: Int64) -> Bool {
        let key = Account(slot: slot, hash: vault.hash(account: account))
        if let owner = claims[key], owner != subject { return false }
        claims[key] = subject
        return true
    }

    mutating func release(slot: Int, account: String, of subject: Int64) {
        let key = Account(slot: slot, hash: vault.hash(account: account))
        if claims[key] == subject { claims[key] = nil }
    }

    /// Pins an account to a subject.
    mutating func bind(
        slot: Int, subject: Int64, to account: BoundAccount, now: Timestamp, changes: inout JournalChanges
    ) {
        let owner = Owner(slot: slot, subject: subject)
        let accountHash = vault.hash(account: account.account)
        let externalHash = account.externalID.map { vault.hash(externalID: $0) }
        recent[owner] = .some(account)
        recentAccounts[Account(slot: slot, hash: accountHash)] = subject
        if let externalHash { recentExternalIDs[Account(slot: slot, hash: externalHash)] = subject }
        ages.changes.append((now, owner))
        changes.bindings.append(
            .put(
                Binding(
                    slot: slot, subject: subject, account: accountHash, external: externalHash ?? .zero,
                    state: vault.seal(account, slot: slot, subject: subject, at: now), at: now)))
    }

    /// Lets an account go.
    mutating func unbind(slot: Int, subject: Int64, now: Timestamp, changes: inout JournalChanges) throws {
        guard let account = try account(slot: slot, subject: subject) else { return }
        let owner = Owner(slot: slot, subject: subject)
        recent[owner] = .some(nil)
        recentAccounts[Account(slot: slot, hash: vault.hash(account: account.account))] = nil
        if let externalID = account.externalID {
            recentExternalIDs[Account(slot: slot, hash: vault.hash(externalID: externalID))] = nil
        }
        ages.changes.append((now, owner))
        changes.bindings.append(.remove(slot: slot, subject: subject))
    }

    /// Forgets changes that are surely on disk: a minute is a thousand commits, or the end of the journal.
    mutating func tidy(now: Timestamp) {
        let old = now + -60_000
        guard let first = ages.changes.first, first.at < old else { return }
        let split = ages.changes.firstIndex { $0.at >= old } ?? ages.changes.count
        let young = Set(ages.changes[split...].map(\.owner))
        for (_, owner) in ages.changes[..<split] where !young.contains(owner) {
            if case .some(.some(let account)) = recent[owner] {
                recentAccounts[Account(slot: owner.slot, hash: vault.hash(account: account.account))] = nil
                if let externalID = account.externalID {
                    recentExternalIDs[Account(slot: owner.slot, hash: vault.hash(externalID: externalID))] = nil
                }
            }
            recent[owner] = nil
        }
        ages.changes.removeFirst(split)
    }

    private func isRemoved(_ slot: Int, _ subject: Int64) -> Bool {
        guard case .some(.none) = recent[Owner(slot: slot, subject: subject)] else { return false }
        return true
    }
}
