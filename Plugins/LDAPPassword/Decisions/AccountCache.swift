/// Remembers where accounts were found, so that a write to a known account costs no search.
///
/// An entry may be renamed or replaced at any moment, so what comes from here is used only for writes that prove it
/// (``DeliveryCourse``); it is never proof of anything.
package struct AccountCache: Sendable {
    private struct Note {
        let account: LocatedAccount
        let found: UInt64
        let number: UInt64
    }

    private let capacity: Int
    private let lifetime: UInt64
    private var notes: [AccountQuery: Note] = [:]
    /// In the order of use; a note that was used again or dropped leaves its number behind, and it is passed over.
    private var order: [(query: AccountQuery, number: UInt64)] = []
    private var oldest = 0
    private var lastNumber: UInt64 = 0

    /// - Parameters:
    ///   - capacity: at most so many accounts, some 500 bytes each; the one not used for longest goes first.
    ///   - lifetime: milliseconds for which a note counts without a binding, which is what it can be compared with.
    package init(capacity: Int = 1024, lifetime: UInt64 = 60_000) {
        self.capacity = capacity
        self.lifetime = lifetime
    }

    package var count: Int { notes.count }

    /// Where the account was found: the one with this stable id whenever that was; without one, if it was lately.
    package mutating func account(for query: AccountQuery, boundTo id: String?, now: UInt64) -> LocatedAccount? {
        guard let note = notes[query] else { return nil }
        if let id {
            guard note.account.stableID?.text == id else { return nil }
        } else {
            guard now < note.found + lifetime else { return nil }
        }
        use(query, note)
        return note.account
    }

    package mutating func store(_ account: LocatedAccount, for query: AccountQuery, now: UInt64) {
        use(query, Note(account: account, found: now, number: 0))
    }

    package mutating func drop(_ query: AccountQuery) {
        notes[query] = nil
    }

    private mutating func use(_ query: AccountQuery, _ note: Note) {
        lastNumber += 1
        notes[query] = Note(account: note.account, found: note.found, number: lastNumber)
        order.append((query, lastNumber))
        while notes.count > capacity {
            let (query, number) = order[oldest]
            oldest += 1
            if notes[query]?.number == number { notes[query] = nil }
        }
        if order.count > 2 * capacity {
            order = order[oldest...].filter { notes[$0.query]?.number == $0.number }
            oldest = 0
        }
    }
}
