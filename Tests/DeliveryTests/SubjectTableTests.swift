import EventModel
import Journal
import Testing

@testable import Delivery

struct SubjectTableTests {
    @Test func `subjects go when the disk knows all of them and there are too many, the idle ones first`() throws {
        let rig = try Rig()
        var table = try SubjectTable(journal: rig.journal, vault: rig.vault, capacity: 3)
        let start = rig.now
        var changes = JournalChanges()
        func meet(_ users: ClosedRange<Int>, at moment: Timestamp, changeNumber: UInt64) throws {
            for user in users {
                let key = SubjectKey(instance: "prod", realmID: "corp", userID: "u\(user)")
                _ = try table.number(of: key, now: moment, changes: &changes, changeNumber: changeNumber)
            }
        }
        try meet(1...4, at: start, changeNumber: 1)
        try meet(5...8, at: start + 50_000, changeNumber: 2)
        // Not on disk yet.
        table.tidy(committed: 0, now: start + 61_000)
        #expect(table.count == 8)
        // One of the idle ones has changed since.
        _ = try table.update(1, now: start + 1) { $0.notCapturedSince }
        table.tidy(committed: 1, now: start + 61_000)
        #expect(table.count == 5)
        table.tidy(committed: 2, now: start + 61_000)
        #expect(table.count == 3)
        // All of them are found again: in memory, or on disk.
        try rig.journal.submit(changes)
        try rig.flush()
        for number in Int64(1)...8 {
            #expect(try table.state(number, now: start)?.key.userID == "u\(number)")
        }
        #expect(table.hasChanges)
    }
}
