/// Remembers for a short while where accounts were found, so that a read followed by a write costs one search.
///
/// An entry may be renamed or replaced at any moment, so what comes from here is used only for writes that carry the
/// account's stable id as a condition (``DeliveryCourse``); it is never proof of anything.
package struct AccountCache: Sendable {
    private struct Note {
        let account: LocatedAccount
        let validUntil: UInt64
        let number: UInt64
    }

    private let capacity: Int
    private let lifetime: UInt64
    private var notes: [AccountQuery: Note] = [:]
    /// In the order of storing; a note that was replaced or dropped leaves its number behind, and it is passed over.
    private var order: [(query: AccountQuery, number: UInt64)] = []
    private var oldest = 0
    private var lastNumber: UInt64 = 0

    /// - Parameters:
    ///   - capacity: at most so many accounts; the one stored first goes first.
    ///   - lifetime: milliseconds after which a note no longer counts.
    package init(capacity: Int = 4096, lifetime: UInt64 = 60_000) {
        self.capacity = capacity
        self.lifetime = lifetime
    }

    package var count: Int { notes.count }

    /// Where the account was found, if that was lately.
    package func account(for query: AccountQuery, now: UInt64) -> LocatedAccount? {
        guard let note = notes[query], now < note.validUntil else { return nil }
        return note.account
    }

    package mutating func store(_ account: LocatedAccount, for query: AccountQuery, now: UInt64) {
        lastNumber += 1
        notes[query] = Note(account: account, validUntil: now + lifetime, number: lastNumber)
        order.append((query, lastNumber))
        while notes.count > capacity || order.count - oldest > 2 * capacity {
            let (query, number) = order[oldest]
            oldest += 1
            if notes[query]?.number == number { notes[query] = nil }
        }
        if oldest > capacity {
            order.removeFirst(oldest)
            oldest = 0
        }
    }

    package mutating func drop(_ query: AccountQuery) {
        notes[query] = nil
    }
}
