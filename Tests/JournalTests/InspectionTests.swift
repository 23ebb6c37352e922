import Foundation
import Testing
import Workbench

@testable import Journal

struct InspectionTests {
    private let folder: Folder
    private let connection: ReadConnection

    init() throws {
        folder = try Folder()
        try Journal(folder: folder.path).close()
        connection = try ReadConnection(path: "\(folder.path)/journal.sqlite")
    }

    @Test func `the journal's end waits for a check that is between two tables`() throws {
        let inspection = Inspection()
        #expect(inspection.begin(connection))
        let order = Watched<[String]>([])
        Thread.detachNewThread {
            inspection.close()
            order.change { $0.append("closed") }
        }
        // The end has been asked for when no other check may begin.
        let other = try ReadConnection(path: "\(folder.path)/journal.sqlite")
        while inspection.begin(other) {
            inspection.end(other)
            sched_yield()
        }
        order.change { $0.append("ended") }
        inspection.end(connection)
        #expect(try order.wait { $0.count == 2 } == ["ended", "closed"])
    }

    @Test(.timeLimit(.minutes(1)))
    func `a check that is broken off says that the journal was closed, whatever it was reading`() throws {
        let inspection = Inspection()
        let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
        #expect(throws: JournalError.closed) {
            try inspection.watch(connection) { () throws(JournalError) in
                Thread.detachNewThread { inspection.close() }
                try connection.query(endless) { _ in true }
            }
        }
        let other = try ReadConnection(path: "\(folder.path)/journal.sqlite")
        #expect(throws: JournalError.closed) { try inspection.watch(other) { () throws(JournalError) in } }
    }

    @Test(.timeLimit(.minutes(1)))
    func `a table that is begun when the end was asked for is broken off, too`() throws {
        let inspection = Inspection()
        #expect(inspection.begin(connection))
        let isClosed = Watched(false)
        Thread.detachNewThread {
            inspection.close()
            isClosed.change { $0 = true }
        }
        let other = try ReadConnection(path: "\(folder.path)/journal.sqlite")
        while inspection.begin(other) {
            inspection.end(other)
            sched_yield()
        }
        let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
        #expect(throws: JournalError.self) { try connection.query(endless) { _ in true } }
        inspection.end(connection)
        try isClosed.wait { $0 }
    }
}
