import EventModel
import Journal
import Testing

@testable import Delivery

/// What the queue tells of a delivery that waits.
struct LastWordsTests {
    @Test(arguments: [Outcome.retry, .absent])
    func `are those of its last attempt, until it ends`(outcome: Outcome) throws {
        let rig = try Rig()
        let sequence = try rig.post(TestEvent(id: "e1", password: "p"))
        let key = DeliveryKey(sequence: sequence, slot: 0, deliveryClass: .credential)
        try rig.answer(outcome, detail: "first answer")
        try rig.flush()
        #expect(try rig.core.show(key.rawValue, now: rig.now).detail == "first answer")
        try rig.advance(60_000)
        try rig.answer(outcome, detail: "second answer")
        #expect(try rig.core.show(key.rawValue, now: rig.now).detail == "second answer")
        try rig.advance(300_000)
        try rig.answer(.delivered)
        #expect(rig.core.lastWords.isEmpty)
    }
}
