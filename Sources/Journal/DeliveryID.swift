public import EventModel

/// Names one event on its way to one provider: the event's sequence number, the provider's slot and the class in one
/// integer, so that deliveries stand on disk in the order of their events.
public struct DeliveryID: Hashable, Comparable, Sendable {
    /// The slots that fit: 0 … 1023.
    public static let slots = 0..<1_024

    /// `sequence << 12 | slot << 2 | class`.
    public let rawValue: Int64

    /// Takes a stored value apart again.
    public init(rawValue: Int64) {
        self.rawValue = rawValue
    }

    /// - Precondition: `slot` is one of ``slots``.
    public init(sequence: Int64, slot: Int, deliveryClass: DeliveryClass) {
        precondition(Self.slots.contains(slot), "a slot has ten bits")
        rawValue = sequence << 12 | Int64(slot) << 2 | Int64(deliveryClass.rawValue)
    }

    /// The event's number in the journal.
    public var sequence: Int64 { rawValue >> 12 }
    /// The provider's number in the journal.
    public var slot: Int { Int(rawValue >> 2 & 1_023) }
    /// The lane it takes.
    public var deliveryClass: DeliveryClass {
        // Two bits, four classes: every pattern is one.
        DeliveryClass(rawValue: UInt8(rawValue & 3)) ?? .notification
    }

    public static func < (one: Self, other: Self) -> Bool {
        one.rawValue < other.rawValue
    }
}
