import EventModel
import Testing

@testable import Journal

struct ChangeFoldTests {
    private static let id = DeliveryKey(sequence: 7, slot: 3, deliveryClass: .credential)
    private static let row = DeliveryRow(id: id, subject: 1, kind: .passwordUpdated)
    private static let begin = DeliveryChange.begin(row)
    private static let update = DeliveryChange.update(id, due: Timestamp(milliseconds: 9), attempt: 2, state: 1)
    private static let end = DeliveryChange.end(id)
    private static let updatedRow = DeliveryRow(
        id: id, subject: 1, kind: .passwordUpdated, due: Timestamp(milliseconds: 9), attempt: 2, state: 1)

    @Test(
        arguments: [
            ([begin], .write(row, isOnDisk: false)),
            ([begin, update], .write(updatedRow, isOnDisk: false)),
            ([begin, end], nil),
            ([begin, update, end], nil),
            ([begin, end, begin], .write(row, isOnDisk: false)),
            ([update], .update(due: 9, attempt: 2, state: 1)),
            ([update, end], .delete),
            ([end], .delete),
            ([end, update], .delete),
            ([end, begin], .write(row, isOnDisk: true)),
            ([end, begin, update], .write(updatedRow, isOnDisk: true)),
            ([end, begin, end], .delete),
        ] as [([DeliveryChange], ChangeFold.RowChange?)])
    func `what is left of a delivery's changes`(changes: [DeliveryChange], left: ChangeFold.RowChange?) {
        var together = JournalChanges()
        together.deliveries = changes
        #expect(ChangeFold([together]).deliveries[Self.id] == left)
        // One by one they give the same.
        let apart = changes.map { change in
            var changes = JournalChanges()
            changes.deliveries = [change]
            return changes
        }
        #expect(ChangeFold(apart).deliveries[Self.id] == left)
    }

    @Test func `counters are added up and the last state of a subject counts`() {
        var first = JournalChanges()
        first.counters = [CounterKey(slot: 1, name: "delivered"): 2]
        first.subjects = [SubjectRow(number: 5, key: Hash128(1, 1), state: [1])]
        var second = JournalChanges()
        second.counters = [CounterKey(slot: 1, name: "delivered"): 3]
        second.subjects = [SubjectRow(number: 5, key: Hash128(1, 1), state: [2])]
        let fold = ChangeFold([first, second])
        #expect(fold.counters == [CounterKey(slot: 1, name: "delivered"): 5])
        #expect(fold.subjects[5]?.state == [2])
    }

    @Test func `a delivery's number holds event, slot and class`() {
        let id = DeliveryKey(sequence: 1 << 50, slot: 1_023, deliveryClass: .notification)
        #expect(id.sequence == 1 << 50)
        #expect(id.slot == 1_023)
        #expect(id.deliveryClass == .notification)
        #expect(
            DeliveryKey(rawValue: 5 << 12 | 9 << 2 | 1) == DeliveryKey(sequence: 5, slot: 9, deliveryClass: .profile))
    }
}
