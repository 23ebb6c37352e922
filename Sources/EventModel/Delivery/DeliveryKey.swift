/// Where a delivery comes from, packed into the number that names it in the journal: the event's place in the journal,
/// the provider's slot, the class.
public struct DeliveryKey: RawRepresentable, Hashable, Comparable, Sendable {
    /// `sequence << 12 | slot << 2 | class`.
    public let rawValue: Int64

    /// Slots from 0 to this.
    public static let maximumSlot = 1_023

    public init(rawValue: Int64) {
        self.rawValue = rawValue
    }

    public init(sequence: Int64, slot: Int, deliveryClass: DeliveryClass) {
        precondition(0...Self.maximumSlot ~= slot, "a slot has ten bits")
        rawValue = sequence << 12 | Int64(slot) << 2 | Int64(deliveryClass.rawValue)
    }

    /// The event's place in the journal.
    public var sequence: Int64 { rawValue >> 12 }
    /// The provider's number in the journal.
    public var slot: Int { Int(rawValue >> 2) & Self.maximumSlot }
    public var deliveryClass: DeliveryClass { DeliveryClass(rawValue: UInt8(rawValue & 3)) ?? .notification }

    public static func < (one: Self, other: Self) -> Bool {
        one.rawValue < other.rawValue
    }
}
