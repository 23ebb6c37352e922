public import EventModel

/// What names a delivery in the journal.
public typealias DeliveryID = DeliveryKey
