internal import EventModel
internal import Journal

/// The subjects that the dispatcher has met lately, with their numbers and states; the journal holds the rest.
///
/// States change with every event, but are written in the background, a few seconds' worth at a time: what is lost in a
/// crash is told again by the events themselves, which the journal keeps until they are contained in a written state.
struct SubjectTable {
    private struct Entry {
        var state: SubjectState
        var used: Timestamp
        /// The number of the journal's changes that hold its latest state; 0 if it was read from disk.
        var number: UInt64 = 0
    }

    private let journal: Journal
    private let vault: Vault
    private var entries: [Int64: Entry] = [:]
    private var numbers: [SubjectKey: Int64] = [:]
    private var dirty: Set<Int64> = []
    private var nextNumber: Int64

    /// So many subjects are kept at hand, besides those whose states are not on disk yet.
    private let capacity: Int
    /// So many changed states are written at once.
    static let fullFold = 16_384

    /// - Parameter capacity: a subject takes about 1 KB.
    init(journal: Journal, vault: Vault, capacity: Int = 65_536) throws {
        self.journal = journal
        self.vault = vault
        self.capacity = capacity
        nextNumber = try journal.largestSubject() + 1
    }

    /// How many subjects are at hand.
    var count: Int { entries.count }
    /// Whether there are states to write.
    var hasChanges: Bool { !dirty.isEmpty }
    /// Whether there are too many to wait any longer.
    var isFull: Bool { dirty.count >= Self.fullFold }

    /// The number of a subject; a new one gets a row in `changes`.
    ///
    /// - Parameter changeNumber: of the journal's changes that this is part of.
    /// - Throws: ``DispatchError/damagedSubject(_:format:)`` if nobody can read what was known of it.
    mutating func number(
        of key: SubjectKey, now: Timestamp, changes: inout JournalChanges, changeNumber: UInt64
    ) throws -> Int64 {
        if let number = try known(key, now: now) { return number }
        let number = nextNumber
        nextNumber += 1
        let state = SubjectState(key: key)
        entries[number] = Entry(state: state, used: now, number: changeNumber)
        numbers[key] = number
        changes.subjects.append(
            SubjectRow(number: number, key: vault.hash(key), state: vault.seal(state, number: number, at: now)))
        return number
    }

    /// The number of a subject that was met before; `nil` if it was not.
    mutating func known(_ key: SubjectKey, now: Timestamp) throws -> Int64? {
        if let number = numbers[key] { return number }
        guard let stored = try journal.subject(key: vault.hash(key)) else { return nil }
        // The hash is keyed and 128 bits long; still, the whole key is what counts.
        guard try load(stored, now: now).key == key else { return nil }
        return stored.number
    }

    /// A subject's state.
    mutating func state(_ number: Int64, now: Timestamp) throws -> SubjectState? {
        if let entry = entries[number] {
            entries[number]?.used = now
            return entry.state
        }
        guard let stored = try journal.subject(number) else { return nil }
        return try load(stored, now: now)
    }

    /// A subject of which nothing is known any more begins anew; what the disk holds of it is overwritten.
    mutating func renew(_ number: Int64, key: SubjectKey, now: Timestamp) {
        entries[number] = Entry(state: SubjectState(key: key), used: now)
        numbers[key] = number
        dirty.insert(number)
    }

    /// Changes a subject's state, which is written later.
    mutating func update<Result>(
        _ number: Int64, now: Timestamp, _ change: (inout SubjectState) -> Result
    ) throws -> Result? {
        guard try state(number, now: now) != nil, let place = entries.index(forKey: number) else { return nil }
        dirty.insert(number)
        // In place: a copy would take the state's tables with it.
        return change(&entries.values[place].state)
    }

    /// Hands over the states that changed since the last time.
    ///
    /// - Parameter number: of the journal's changes that this is part of.
    mutating func fold(into changes: inout JournalChanges, number changeNumber: UInt64, now: Timestamp) {
        for number in dirty.sorted() {
            guard let entry = entries[number] else { continue }
            changes.subjects.append(
                SubjectRow(
                    number: number, key: vault.hash(entry.state.key),
                    state: vault.seal(entry.state, number: number, at: now)))
            entries[number]?.number = changeNumber
        }
        dirty.removeAll(keepingCapacity: true)
    }

    /// Lets subjects go of which the disk knows all: those not used for a minute first.
    ///
    /// - Parameter number: the journal's changes up to it are on disk.
    mutating func tidy(committed number: UInt64, now: Timestamp) {
        for age: Int64 in [60_000, 0] {
            guard entries.count > capacity else { return }
            // Their numbers first: to take one out while they are gone through would copy them all.
            let idle = entries.compactMap { subject, entry in
                entry.number <= number && entry.used <= now + -age && !dirty.contains(subject) ? subject : nil
            }
            for subject in idle.prefix(age > 0 ? .max : entries.count - capacity) {
                if let entry = entries.removeValue(forKey: subject) { numbers[entry.state.key] = nil }
            }
        }
    }

    private mutating func load(_ stored: SubjectRow, now: Timestamp) throws -> SubjectState {
        let state = try vault.openState(stored.state, number: stored.number)
        entries[stored.number] = Entry(state: state, used: now)
        numbers[state.key] = stored.number
        return state
    }
}

/// What a delivery, or a subject, cannot go on from; all others do.
enum DispatchError: Error, CustomStringConvertible {
    /// The journal holds something that is not what was written.
    case damaged(String)
    /// What was known of a subject is not what was written; or was, by a version that writes another format.
    case damagedSubject(Int64, format: UInt8? = nil)

    var description: String {
        switch self {
        case .damaged(let what): "the journal is damaged: \(what) cannot be read"
        case .damagedSubject(let number, format: nil):
            "the journal is damaged: the state of subject \(number) cannot be read"
        case .damagedSubject(let number, let format?):
            "the state of subject \(number) has format \(format), and this version reads \(SubjectState.format) only"
        }
    }
}
