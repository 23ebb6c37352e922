import EventModel
@testable import Intake
import Journal
import NIOCore
import Synchronization
import Testing

@Suite struct `What is turned away` {
    private func reason(_ peer: String, status: Int = 401) -> RefusalTally.Reason {
        .init(peer: peer, status: status, problem: "p")
    }

    @Test func `is told at once, then counted, and told at the end of each period`() {
        var tally = RefusalTally()
        let forged = reason("10.0.0.1")
        #expect(tally.note(forged, detail: "a") == .init(reason: forged, detail: "a", count: 1))
        for _ in 0..<1_000 { #expect(tally.note(forged, detail: "b") == nil) }
        // Another reason, or another peer, does not wait.
        #expect(tally.note(reason("10.0.0.1", status: 403), detail: "c")?.count == 1)
        #expect(tally.note(reason("10.0.0.2"), detail: "d")?.count == 1)
        #expect(tally.endPeriod() == [.init(reason: forged, detail: "b", count: 1_000)])
        // What goes on is told once a period; what stopped is forgotten, and the next one is news.
        #expect(tally.note(forged, detail: "e") == nil)
        #expect(tally.note(reason("10.0.0.2"), detail: "f")?.count == 1)
        #expect(tally.endPeriod().map(\.count) == [1])
        #expect(tally.endPeriod().isEmpty && tally.isEmpty)
    }

    @Test func `by a crowd of peers does not fill the log`() {
        var tally = RefusalTally()
        let lines = (0..<10_000).compactMap { tally.note(reason("10.1.\($0 / 256).\($0 % 256)"), detail: "") }
        #expect(lines.count == RefusalTally.mostReasons + 1)
        #expect(lines.last?.reason.peer == "others")
        #expect(tally.endPeriod().map(\.count) == [10_000 - RefusalTally.mostReasons - 1])
    }

    @Test func `is in the log with who and why, and nothing of what it held`() async throws {
        let log = LogLines()
        let setup = Door.Setup {
            $0.logger = log.logger
            $0.journal.events = 1
        }
        try await Door.open(setup) { door in
            try await door.onThread { door in
                let connection = try door.connect()
                let body = event("canary", kind: "password.updated", password: "canary", realm: "canary")
                for _ in 0..<10 {
                    try connection.send(Door.request(body, secret: Door.otherSecret))
                    #expect(try connection.reply().status == 401)
                }
                try connection.send(Door.request(body))
                #expect(try connection.reply().status == 403)
                #expect(try door.post("{\n{\n" + event("e1"), "application/x-ndjson").status == 202)
                for _ in 0..<3 { #expect(try door.post(event("e2")).status == 503) }
            }
        }
        let lines = log.all
        let told = lines.map { "\($0.level) \($0.message) \($0.metadata["status"] ?? "-")" }
        #expect(
            told == [
                "warning refused 401", "warning refused 403", "notice refused 400", "error no events are taken in -",
            ])
        try #require(lines.count == 4)
        #expect(lines[0].metadata["peer"] == "127.0.0.1" && lines[0].metadata["source"] == nil)
        #expect(lines[0].metadata["reason"] == "the signature matches no source")
        #expect(lines[1].metadata["source"] == "kc")
        #expect(lines[3].metadata["reason"] == "the journal is full")
        #expect(!"\(lines)".contains("canary"))
    }

    @Test func `for want of room is a state, with a beginning and an end`() {
        let log = LogLines()
        let clock = Mutex(Timestamp(milliseconds: 0))
        let room = JournalRoom(clock: { clock.withLock(\.self) }, logger: log.logger)
        room.committed()
        #expect(room.want == nil)
        for second in 1...3 {
            clock.withLock { $0 = Timestamp(milliseconds: Int64(second) * 1_000) }
            room.refused("the journal is full")
        }
        let (first, last) = (Timestamp(milliseconds: 1_000), Timestamp(milliseconds: 3_000))
        #expect(room.want == .init(since: first, last: last, reason: "the journal is full", refused: 3))
        // One that slips in between two that do not is no end.
        room.committed()
        #expect(room.want != nil)
        room.committed(now: .now() + .seconds(6))
        #expect(room.want == nil)
        #expect(log.all.map(\.message) == ["no events are taken in", "events are taken in again"])
        #expect(log.all.last?.metadata["refused"] == "3")
    }
}
