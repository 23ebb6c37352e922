import CWorkerProtocol
import Glibc
import Testing

/// What a worker and its plugin say to the daemon, and what the daemon may say to them.
@Suite struct `A session` {
    private func worker(_ start: Frame = .start(), _ lockdown: TestWorker.Lockdown = .init()) throws -> TestWorker {
        let worker = try TestWorker(lockdown)
        try worker.started(start)
        return worker
    }

    @Test func `completes a request, from the main thread or another`() throws {
        let worker = try worker()
        try worker.send(.request(id: 7, kind: "complete"))
        #expect(try worker.done().id == 7)
        try worker.send(.request(id: 8, kind: "complete later"))
        let done = try worker.done()
        #expect(done.id == 8)
        #expect(done.detail == "from a thread")
        #expect(done.account == nil)
        #expect(done.record == nil)
    }

    @Test func `sends what a thread says in a batch by its end`() throws {
        let worker = try worker()
        try worker.send(.request(id: 1, kind: "complete in a batch"))
        // Of the twenty thousand, as many as are taken a second; the rest is added up and leaves later.
        for _ in 1...1_000 { #expect(try worker.next()?.is(RTW_METRIC) == true) }
        var frame = try worker.next()
        while let next = frame, next.is(RTW_METRIC) { frame = try worker.next() }
        let answer = try #require(frame)
        let done = try #require(Done(answer))
        #expect(done.id == 1)
        #expect(done.detail == "in a batch")
    }

    @Test(arguments: [("at the next answer", 2), ("at the next count of another name", 1)] as [(String, UInt64)])
    func `tells what was counted too fast once the second is over, without a ping`(when: String, id: UInt64) throws {
        let worker = try worker()
        try worker.send(.request(id: id, kind: "count over a second"))
        var told: Int64 = 0
        while told < 5_000 {
            var fields = try worker.next(RTW_METRIC).fields
            let delta = fields.number(Int64.self)
            if fields.text() == "many" { told += delta }
        }
        #expect(told == 5_000)
    }

    @Test func `completes a request once, and none that was never made`() throws {
        let worker = try worker()
        try worker.send(.request(id: 1, kind: "complete twice"), Frame(RTW_STOP))
        var done = 0
        var results: [String: Int64] = [:]
        while let frame = try worker.next() {
            if frame.is(RTW_DONE) { done += 1 }
            guard frame.is(RTW_METRIC) else { continue }
            var fields = frame.fields
            let delta = fields.number(Int64.self)
            results[fields.text() ?? ""] = delta
        }
        #expect(done == 1)
        #expect(results == ["first": 0, "second": -1, "unknown": -1])
    }

    @Test func `counts an outcome that is none as unknown`() throws {
        let worker = try worker()
        try worker.send(.request(id: 1, kind: "answer nonsense"))
        #expect(try worker.done().outcome == Done.unknown)
    }

    @Test func `cuts a detail 64 KiB behind what is shown of it, and leaves a record whole`() throws {
        let worker = try worker()
        try worker.send(.request(id: 1, kind: "answer at length"))
        let done = try worker.done()
        #expect(done.detail?.utf8.count == 65 << 10)
        #expect(done.record?.utf8.count == (1 << 20) - 1)
    }

    @Test func `says of a call that the plugin lacks that it is not offered`() throws {
        let worker = try worker()
        try worker.send(Frame(RTW_CHECK, id: 1))
        #expect(try worker.done().detail == "the plugin does not offer check")
        try worker.send(.request(RTW_VERIFY, id: 2, kind: ""))
        #expect(try worker.done().detail == "the plugin does not offer verify_password")
        try worker.send(.request(RTW_READ, id: 3, kind: ""))
        #expect(try worker.done().detail == "the plugin does not offer read_record")
    }

    @Test func `passes a cancel on while the request waits, and not afterwards`() throws {
        let worker = try worker()
        try worker.send(.request(id: 1, kind: "never"), Frame(RTW_CANCEL, id: 1))
        #expect(try worker.done().detail == "cancelled")
        try worker.send(.request(id: 2, kind: "complete"), Frame(RTW_CANCEL, id: 2), Frame(RTW_STOP))
        #expect(try worker.done().outcome == Done.delivered)
        while let frame = try worker.next() { #expect(!frame.is(RTW_DONE)) }
    }

    @Test func `answers a ping while requests wait`() throws {
        let worker = try worker()
        try worker.send(.request(id: 1, kind: "never"), Frame(RTW_PING))
        #expect(try worker.next(RTW_PONG).id == 0)
    }

    @Test func `gives memory back at the first ping after work`() throws {
        let worker = try worker()
        try worker.send(.request(id: 1, kind: "leave a hole"))
        #expect(try worker.done().id == 1)
        let before = try residentKiB(worker.pid)
        try worker.send(Frame(RTW_PING))
        _ = try worker.next(RTW_PONG)
        #expect(try residentKiB(worker.pid) < before - (12 << 10))
    }

    @Test func `stops the plugin, sends what is left, and ends with 0`() throws {
        let worker = try worker()
        var frames: [Frame] = (1...64).map { .request(id: $0, kind: "complete") }
        frames.append(Frame(RTW_STOP))
        try worker.send(bytes: frames.flatMap(\.bytes))
        var done = 0
        var lines: [String] = []
        while let frame = try worker.next() {
            if frame.is(RTW_DONE) { done += 1 }
            guard frame.is(RTW_LOG) else { continue }
            var fields = frame.fields
            _ = fields.number(UInt32.self)
            lines.append(fields.text() ?? "")
        }
        #expect(done == 64)
        #expect(lines.last == "stopped")
        #expect(try worker.end() == 0)
    }

    @Test(arguments: geteuid() == 0 ? [.max, 64_130] : [.max] as [UInt32])
    func `works with a plugin in Swift, with its tasks, queues and decoder`(uid: UInt32) throws {
        let worker = try TestWorker(plugin: "SwiftProbe", TestWorker.Lockdown(strict: true, uid: uid))
        try worker.started()
        for id in 1...50 as ClosedRange<UInt64> {
            try worker.send(.request(id: id, kind: "", event: #"{"words": ["one", "two", "three"]}"#))
        }
        var details: Set<String> = []
        for _ in 1...50 { details.insert(try worker.done().detail ?? "") }
        #expect(details == Set((1...50).map { "\($0): ONE THREE TWO" }))
        try worker.send(Frame(RTW_STOP))
        #expect(try worker.end() == 0)
    }

    @Test func `reports why a plugin does not start`() throws {
        let worker = try TestWorker()
        _ = try worker.next(RTW_READY)
        try worker.send(.start(settings: #"{"refuse":true}"#))
        var fields = try worker.next(RTW_STARTED).fields
        #expect(fields.number(UInt32.self) == 0)
        #expect(fields.text() == "told to refuse")
        try worker.send(Frame(RTW_STOP))
        #expect(try worker.end() == 0)
    }

    @Test func `hands files on in their order, sealed`() throws {
        let files = ["the first", "the second"]
        let worker = try worker(.start(files: ["ca_file", "token"]), TestWorker.Lockdown(files: files))
        for (index, text) in files.enumerated() {
            try worker.send(.request(id: UInt64(index + 1), kind: "read file", external: "\(7 + index)"))
            #expect(try worker.done().detail == text)
        }
    }

    @Test func `wipes a secret once the plugin has had it`() throws {
        let worker = try worker()
        let secret = "correct-horse-battery"
        let question = String(decoding: secret.utf8.map { $0 - 1 }, as: UTF8.self)
        // Behind the bytes that the next request will overwrite; and so large that frames are moved down in the receive
        // buffer, or need a larger one, with the secret in the part that is moved.
        var id: UInt64 = 0
        for size in [1000, 120_000, 120_000, 120_000, 300_000, 300_000, 300_000] {
            let padding = String(repeating: "p", count: size)
            id += 3
            try worker.send(
                .request(id: id - 2, kind: "complete", event: padding, deliveryClass: 0, secret: secret),
                .request(id: id - 1, kind: "complete", external: secret, event: padding),
                .request(RTW_VERIFY, id: id, kind: "", event: padding, deliveryClass: 0, secret: secret))
        }
        for _ in 1...id { _ = try worker.done() }
        try worker.send(.request(id: id + 1, kind: "search memory", external: question))
        #expect(try worker.done().detail == "0")
        // The search does find what is there: this time the request carries the secret itself.
        try worker.send(
            .request(id: id + 2, kind: "search memory", external: question, deliveryClass: 0, secret: secret))
        #expect(try worker.done().detail != "0")
    }

    @Test func `takes requests of any size in any pieces`() throws {
        let worker = try worker()
        let sizes = [0, 1, 16, 255, 65_536, 262_144 - 80, 262_144, 1_000_000, 4_000_000, 3]
        var bytes: [UInt8] = []
        for (index, size) in sizes.enumerated() {
            let event = String(repeating: "e", count: size)
            bytes += Frame.request(id: UInt64(index + 1), kind: "complete", event: event).bytes
        }
        var cut = 1
        while !bytes.isEmpty {
            try worker.send(bytes: Array(bytes.prefix(cut)))
            bytes.removeFirst(min(cut, bytes.count))
            cut = cut * 3 + 1
        }
        for index in sizes.indices { #expect(try worker.done().id == UInt64(index + 1)) }
    }

    @Test func `answers a thousand rounds of full windows without a loss`() throws {
        let worker = try worker(.start(window: 64))
        var next: UInt64 = 1
        for _ in 1...1000 {
            let ids = next..<(next + 64)
            let kinds = ["complete", "complete later"]
            try worker.send(
                bytes: ids.flatMap { Frame.request(id: $0, kind: kinds[$0 % 16 == 0 ? 1 : 0]).bytes })
            var waiting = Set(ids)
            while !waiting.isEmpty {
                let done = try worker.done()
                #expect(waiting.remove(done.id) != nil)
            }
            next += 64
        }
    }

    @Test func `goes on reading while the daemon does not`() throws {
        // 256 answers of 2 MiB fill every buffer on the way; the worker has to take the requests all the same.
        let worker = try worker(.start(window: 256), TestWorker.Lockdown(maxDataBytes: 1 << 30))
        for id in 1...256 as ClosedRange<UInt64> {
            try worker.send(.request(id: id, kind: "answer at length", event: String(repeating: "e", count: 100_000)))
        }
        for id in 1...256 as ClosedRange<UInt64> { #expect(try worker.done().id == id) }
    }

    @Test func `limits log lines in number and length, and says how many it dropped`() throws {
        let worker = try worker(.start(logLines: 5))
        try worker.send(.request(id: 1, kind: "log", external: "100"), Frame(RTW_PING))
        var lines: [String] = []
        while let frame = try worker.next(), !frame.is(RTW_PONG) {
            guard frame.is(RTW_LOG) else { continue }
            var fields = frame.fields
            _ = fields.number(UInt32.self)
            lines.append(fields.text() ?? "")
        }
        let long = lines.filter { $0.hasPrefix("xxx") }
        #expect(long.allSatisfy { $0.utf8.count == 68 << 10 })
        #expect(long.count >= 4 && long.count < 50)
        let told = lines.compactMap { $0.firstMatch(of: #/^([0-9]+) log lines were dropped/#)?.output.1 }
        #expect(long.count + told.compactMap { Int($0) }.reduce(0, +) == 100)
    }

    @Test func `ends when the plugin closes the frames`() throws {
        let worker = try worker()
        try worker.send(.request(id: 1, kind: "close frames"))
        #expect(try worker.end() == 70 << 8)  // EX_SOFTWARE
    }

    @Test func `ends with the plugin's crash`() throws {
        let worker = try worker()
        try worker.send(.request(id: 1, kind: "crash"))
        #expect(try worker.end() & 0x7f == SIGABRT)
    }
}

/// What a process has in memory.
private func residentKiB(_ pid: pid_t) throws -> Int {
    let file = try #require(fopen("/proc/\(pid)/statm", "r"))
    defer { fclose(file) }
    var text = [CChar](repeating: 0, count: 256)
    _ = try #require(fgets(&text, Int32(text.count), file))
    let pages = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        .split(separator: " ").dropFirst().first.flatMap { Int($0) }
    return try #require(pages) * 4
}
