/// Waiting deliveries of providers that are not in the settings any more. Nothing is sent of them, so they have no order;
/// but what becomes pointless ends here as it does in a ``LaneTable``, and its secret with it.
public struct OrphanTable: Sendable {
    private var subjects: [DeliveryKey: Int64] = [:]
    /// The states of each subject; what is not a state is made pointless by nothing.
    private var states: [Int64: Set<DeliveryKey>] = [:]
    /// How many there are, by the provider's number in the journal.
    public private(set) var counts: [Int: Int] = [:]

    public init() {}

    public var isEmpty: Bool { subjects.isEmpty }
    public var count: Int { subjects.count }

    /// - Parameter subject: the subject's number in the journal; 0 if there is none.
    public mutating func insert(_ key: DeliveryKey, subject: Int64) {
        guard subjects.updateValue(subject, forKey: key) == nil else { return }
        counts[key.slot, default: 0] += 1
        if key.deliveryClass.isState { states[subject, default: []].insert(key) }
    }

    /// - Returns: whether it was there.
    public mutating func remove(_ key: DeliveryKey) -> Bool {
        guard let subject = subjects.removeValue(forKey: key) else { return false }
        let left = (counts[key.slot] ?? 0) - 1
        counts[key.slot] = left > 0 ? left : nil
        states[subject]?.remove(key)
        if states[subject]?.isEmpty == true { states[subject] = nil }
        return true
    }

    /// A newer state of a subject was accepted: the older ones of these classes end.
    ///
    /// - Returns: what ended, in the order of events.
    public mutating func end(_ classes: Set<DeliveryClass>, of subject: Int64) -> [DeliveryKey] {
        let ended = (states[subject] ?? []).filter { classes.contains($0.deliveryClass) }.sorted()
        for key in ended { _ = remove(key) }
        return ended
    }

    /// Those of the events up to a number are too old.
    ///
    /// - Returns: what ended, in the order of events.
    public mutating func expire(through sequence: Int64) -> [DeliveryKey] {
        let ended = subjects.keys.filter { $0.sequence <= sequence }.sorted()
        for key in ended { _ = remove(key) }
        return ended
    }
}
