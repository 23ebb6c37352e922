internal import EventModel
internal import Journal

/// Which account belongs to whom: what is pinned, what was changed too lately to be on disk, and what is claimed by a
/// delivery in flight.
struct BindingTable {
    /// Names an account while a delivery that may bind it is in flight.
    struct Claim: Hashable {
        fileprivate var slot: Int
        fileprivate var hash: Hash128
    }

    private let journal: Journal
    private let vault: Vault

    /// Changes that may not be on disk yet; `nil` = removed.
    private var recent: [Owner: BoundAccount?] = [:]
    private var recentAccounts: [Claim: Int64] = [:]
    private var recentExternalIDs: [Claim: Int64] = [:]
    /// The recent changes in their order, each with the number of the journal's changes that it is part of.
    private var order: [(number: UInt64, owner: Owner)] = []
    /// Accounts and external ids that a subject is about to bind, and how many of its deliveries are about to.
    private var claims: [Claim: (subject: Int64, count: Int)] = [:]

    private struct Owner: Hashable {
        var slot: Int
        var subject: Int64
    }

    init(journal: Journal, vault: Vault) {
        self.journal = journal
        self.vault = vault
    }

    /// The account that a subject is bound to.
    func account(slot: Int, subject: Int64) throws -> BoundAccount? {
        if let known = recent[Owner(slot: slot, subject: subject)] { return known }
        guard let stored = try journal.binding(slot: slot, subject: subject) else { return nil }
        guard let account = try? vault.openAccount(stored.state, slot: slot, subject: subject) else {
            throw DispatchError.damaged("the binding of subject \(subject) at slot \(slot)")
        }
        return account
    }

    /// Who owns an account of a provider, by its stable id.
    func owner(slot: Int, account: String) throws -> Int64? {
        let hash = vault.hash(account: account)
        if let subject = recentAccounts[Claim(slot: slot, hash: hash)] { return subject }
        guard let stored = try journal.binding(slot: slot, account: hash) else { return nil }
        return isRemoved(slot, stored.subject) ? nil : stored.subject
    }

    /// Who was bound by this external id.
    func owner(slot: Int, externalID: String) throws -> Int64? {
        let hash = vault.hash(externalID: externalID)
        if let subject = recentExternalIDs[Claim(slot: slot, hash: hash)] { return subject }
        return try journal.bindings(slot: slot, external: hash).first { !isRemoved(slot, $0.subject) }?.subject
    }

    /// Reserves an account for a subject while a delivery that may bind it is in flight. Each claim is released once.
    ///
    /// - Returns: `nil` if a delivery of another subject has it.
    mutating func claim(slot: Int, account: String, for subject: Int64) -> Claim? {
        claim(Claim(slot: slot, hash: vault.hash(account: account)), for: subject)
    }

    /// Reserves an external id likewise.
    mutating func claim(slot: Int, externalID: String, for subject: Int64) -> Claim? {
        claim(Claim(slot: slot, hash: vault.hash(externalID: externalID)), for: subject)
    }

    private mutating func claim(_ claim: Claim, for subject: Int64) -> Claim? {
        let held = claims[claim] ?? (subject, 0)
        guard held.subject == subject else { return nil }
        claims[claim] = (subject, held.count + 1)
        return claim
    }

    mutating func release(_ claim: Claim) {
        guard let held = claims[claim] else { return }
        claims[claim] = held.count > 1 ? (held.subject, held.count - 1) : nil
    }

    /// Whether no delivery in flight holds a claim.
    var isUnclaimed: Bool { claims.isEmpty }

    /// Pins an account to a subject.
    ///
    /// - Parameter number: of the journal's changes that this is part of.
    mutating func bind(
        slot: Int, subject: Int64, to account: BoundAccount, now: Timestamp, changes: inout JournalChanges,
        number: UInt64
    ) {
        let owner = Owner(slot: slot, subject: subject)
        let accountHash = vault.hash(owned: account)
        let externalHash = account.externalID.map { vault.hash(externalID: $0) }
        recent[owner] = .some(account)
        recentAccounts[Claim(slot: slot, hash: accountHash)] = subject
        if let externalHash { recentExternalIDs[Claim(slot: slot, hash: externalHash)] = subject }
        order.append((number, owner))
        changes.bindings.append(
            .put(
                Binding(
                    slot: slot, subject: subject, account: accountHash, external: externalHash ?? .zero,
                    state: vault.seal(account, slot: slot, subject: subject, at: now), at: now)))
    }

    /// Lets an account go.
    mutating func unbind(slot: Int, subject: Int64, changes: inout JournalChanges, number: UInt64) throws {
        guard let account = try account(slot: slot, subject: subject) else { return }
        let owner = Owner(slot: slot, subject: subject)
        forget(account, slot: slot)
        recent[owner] = .some(nil)
        order.append((number, owner))
        changes.bindings.append(.remove(slot: slot, subject: subject))
    }

    /// Forgets changes that are on disk: up to `number` of the journal's changes.
    mutating func tidy(committed number: UInt64) {
        let split = order.firstIndex { $0.number > number } ?? order.count
        guard split > 0 else { return }
        let young = Set(order[split...].map(\.owner))
        for (_, owner) in order[..<split] where !young.contains(owner) { forget(owner) }
        order.removeFirst(split)
    }

    /// Forgets what the journal did not take: from now on the disk is right.
    mutating func forget(slot: Int, subject: Int64) {
        forget(Owner(slot: slot, subject: subject))
    }

    private mutating func forget(_ owner: Owner) {
        guard let known = recent.removeValue(forKey: owner), let account = known else { return }
        forget(account, slot: owner.slot)
    }

    private mutating func forget(_ account: BoundAccount, slot: Int) {
        recentAccounts[Claim(slot: slot, hash: vault.hash(owned: account))] = nil
        guard let externalID = account.externalID else { return }
        recentExternalIDs[Claim(slot: slot, hash: vault.hash(externalID: externalID))] = nil
    }

    private func isRemoved(_ slot: Int, _ subject: Int64) -> Bool {
        guard case .some(.none) = recent[Owner(slot: slot, subject: subject)] else { return false }
        return true
    }
}
