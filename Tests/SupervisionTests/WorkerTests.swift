import EventModel
import Glibc
import NIOCore
import Synchronization
import Testing
import WorkerProtocol

@testable import Supervision

/// Real processes in the real sandbox.
@Suite(.timeLimit(.minutes(4))) struct WorkerTests {
    @Test func `a worker starts, delivers, is checked and stops`() async throws {
        let stage = try Stage()
        await stage.serve()
        let status = stage.worker.status
        #expect(status.state == .running)
        #expect(status.generation == 1)
        #expect(status.sandbox?.layers.isSuperset(of: .floor) == true)
        #expect(status.sandbox?.pid == status.pid.map(UInt32.init))
        #expect(try await stage.ask(nil) == Completion(.delivered, detail: "done", record: nil))

        var check = ByteBuffer()
        check.writeCheckFrame(id: 2)
        stage.worker.send(generation: 1, check)
        let testimony = await stage.witness.testimony { $0.completed.count == 2 }
        #expect(testimony.completed.last == CompletedRequest(id: 2, Completion(.delivered, detail: "checked")))

        try await stage.end()
        let last = await stage.witness.testimony { !$0.lost.isEmpty }
        #expect(last.lost == [Witness.Loss(generation: 1, loss: .stopped)])
        #expect(stage.worker.status.state == .idle)
        #expect(stage.worker.status.pid == nil)
    }

    @Test(arguments: [
        ("crash", WorkerLoss.killed(signal: 11)), ("exit", .exited(code: 0)),
        ("garbage", .violation("a frame of type 32, which no worker sends")),
    ])
    func `a lost worker is told with the reason, and the next generation serves`(
        order: String, loss: WorkerLoss
    ) async throws {
        // Between the end of its socket and that of the process there may be a while.
        let stage = try Stage { $0.timing.exit = .seconds(60) }
        await stage.serve()
        try stage.tell(order)
        await stage.serve(2)
        let testimony = await stage.witness.testimony { _ in true }
        #expect(testimony.lost.map(\.generation) == [1])
        if case .violation = loss {
            guard case .violation = testimony.lost.first?.loss else {
                Issue.record("\(testimony.lost)")
                return
            }
        } else {
            #expect(testimony.lost.first?.loss == loss)
        }
        #expect(try await stage.ask(nil, id: 2, generation: 2)?.outcome == .delivered)
        try await stage.end()
    }

    @Test func `a worker that closes its socket and goes on is killed`() async throws {
        let stage = try Stage { $0.timing.exit = .milliseconds(20) }
        await stage.serve()
        try stage.tell("hang up")
        let testimony = await stage.witness.testimony { !$0.lost.isEmpty }
        #expect(testimony.lost == [Witness.Loss(generation: 1, loss: .hungUp)])
        try await stage.end()
    }

    @Test func `a plugin that hangs at its start is killed at the deadline`() async throws {
        let stage = try Stage(settings: #"{"order":"hang"}"#) { $0.timing.start = .milliseconds(300) }
        stage.worker.start()
        let testimony = await stage.witness.testimony { !$0.lost.isEmpty }
        #expect(testimony.lost.first?.loss == .startTimeout)
        #expect(testimony.ready.isEmpty)
        try await stage.end()
    }

    @Test func `a plugin that hangs in a call does not answer and is killed`() async throws {
        let stage = try Stage {
            $0.timing.ping = .milliseconds(50)
            $0.timing.pong = .seconds(2)
        }
        await stage.serve()
        #expect(try await stage.ask(nil)?.outcome == .delivered)
        try stage.tell("hang", id: 2)
        let testimony = await stage.witness.testimony { !$0.lost.isEmpty }
        #expect(testimony.lost.first?.loss == .unresponsive)
        try await stage.end()
    }

    @Test func `a plugin that refuses to start says why, without tricks, and is tried again`() async throws {
        let stage = try Stage(settings: #"{"order":"refuse"}"#) { $0.timing.firstRestart = .milliseconds(10) }
        stage.worker.start()
        let testimony = await stage.witness.testimony { $0.lost.count == 2 }
        #expect(testimony.lost.map(\.loss) == [.refused("no base [2J"), .refused("no base [2J")])
        #expect(testimony.lost.map(\.generation) == [1, 2])
        try await stage.end()
    }

    @Test func `a worker becomes the user that it is told to, or does not serve`() async throws {
        let stage = try Stage { $0.user = WorkerUser(user: 65_534, group: 65_534) }
        stage.worker.start()
        let testimony = await stage.witness.testimony { !$0.ready.isEmpty || !$0.lost.isEmpty }
        #expect(testimony.ready.isEmpty == (geteuid() != 0), "only root can become another")
        #expect(stage.worker.status.sandbox?.layers.contains(.user) != true || geteuid() == 0)
        try await stage.end()
    }

    @Test func `the cap on the Landlock ABI reaches the worker`() async throws {
        let stage = try Stage { $0.landlockABICap = 1 }
        await stage.serve()
        #expect(stage.worker.status.sandbox?.landlockABI == 1)
        try await stage.end()
    }

    @Test func `a library that is no plugin of ours is told with the worker's words`() async throws {
        let folder = TemporaryFolder()
        let path = folder.file("libNone.so", elf([note("RuntimeSync", type: 1, "{}")]))
        let library = try PluginFile(path: path)
        let stage = try Stage { $0.plugin = library }
        stage.worker.start()
        let testimony = await stage.witness.testimony { !$0.lost.isEmpty }
        guard case .failed(.load, let why) = testimony.lost.first?.loss else {
            Issue.record("\(testimony.lost)")
            return
        }
        #expect(!why.isEmpty)
        try await stage.end()
    }

    @Test func `an executable that is not there is told with its path`() async throws {
        let stage = try Stage { $0.executable = "/nonexistent/worker" }
        stage.worker.start()
        let testimony = await stage.witness.testimony { !$0.lost.isEmpty }
        #expect(testimony.lost.first?.loss == .notSpawned("/nonexistent/worker: No such file or directory"))
        try await stage.end()
    }

    @Test func `a stop tells what the plugin still completes`() async throws {
        let stage = try Stage()
        await stage.serve()
        try stage.tell("keep")
        try await stage.end()
        let testimony = await stage.witness.testimony { !$0.lost.isEmpty }
        #expect(testimony.completed == [CompletedRequest(id: 1, Completion(.retry, detail: "stopping"))])
        #expect(testimony.lost.map(\.loss) == [.stopped])
    }

    @Test func `a stop of a plugin that hangs ends all the same`() async throws {
        let stage = try Stage()
        await stage.serve()
        try stage.tell("hang")
        try await stage.worker.stop(patience: .milliseconds(50)).get()
        let testimony = await stage.witness.testimony { !$0.lost.isEmpty }
        #expect(testimony.lost.map(\.loss) == [.stopTimeout])
    }

    @Test func `a stop while it starts, and another start, end in a worker that serves`() async throws {
        let stage = try Stage()
        stage.worker.start()
        let stopped = stage.worker.stop(patience: .seconds(1))
        try await stopped.get()
        // It may have served before the stop came.
        let times = await stage.witness.testimony { _ in true }.ready.count
        await stage.serve(times + 1)
        #expect(try await stage.ask(nil, generation: stage.worker.status.generation)?.outcome == .delivered)
        try await stage.end()
    }

    @Test func `a start before the stop has ended brings the next generation`() async throws {
        let stage = try Stage()
        await stage.serve()
        let stopped = stage.worker.stop(patience: .seconds(5))
        stage.worker.start()
        try await stopped.get()
        await stage.serve(2)
        let testimony = await stage.witness.testimony { _ in true }
        #expect(testimony.lost == [Witness.Loss(generation: 1, loss: .stopped)])
        #expect(testimony.ready == [1, 2])
        try await stage.end()
    }

    @Test func `a file reaches the plugin as a descriptor`() async throws {
        let folder = TemporaryFolder()
        let file = Descriptor(owning: open(folder.file("token", Array("t-4711".utf8)), O_RDONLY | O_CLOEXEC))
        let stage = try Stage { $0.files = [WorkerFile(key: "token_file", descriptor: file)] }
        await stage.serve()
        #expect(try await stage.ask("file")?.detail == "t-4711")
        try await stage.end()
    }

    @Test func `a request that is completed twice is told once, and a broken account costs only its request`()
        async throws
    {
        let stage = try Stage()
        await stage.serve()
        try stage.tell("twice", id: 1)
        #expect(try await stage.ask("binary account", id: 2)?.outcome == .unknown)
        #expect(try await stage.ask(nil, id: 3)?.outcome == .delivered)
        let testimony = await stage.witness.testimony { _ in true }
        #expect(testimony.completed.map(\.id) == [1, 2, 3])
        #expect(testimony.completed.first?.completion.detail == "once")
        try await stage.end()
    }

    @Test func `log lines and metrics arrive, and what is too much is counted`() async throws {
        let stage = try Stage { $0.logLines = 5 }
        await stage.serve()
        _ = try await stage.ask("log")
        let testimony = await stage.witness.testimony { $0.counted["lines_total"] == 1_000 }
        #expect(testimony.lost.isEmpty)
        let lines = stage.book.lines.filter { $0.contains("plugin says") }
        #expect(lines.first == "info plugin says provider=puppet text=so it goes")
        // Five a second, for as long as it takes.
        #expect((5..<1_000).contains(lines.count))
        try await stage.end()
    }

    @Test func `a plugin that counts all the time is told in fewer frames, and nothing it counted is lost`()
        async throws
    {
        let stage = try Stage()
        await stage.serve()
        _ = try await stage.ask("count")
        try await stage.end()
        let testimony = await stage.witness.testimony { !$0.lost.isEmpty }
        #expect(testimony.counted == ["times": 100_000])
        #expect(testimony.counts < 50_000)
    }

    @Test func `a counter goes on when its name has become somebody's password`() async throws {
        let stage = try Stage()
        await stage.serve()
        _ = try await stage.ask("count")
        try stage.tell("keep", id: 2, secret: "times")
        _ = try await stage.ask("count", id: 3)
        try await stage.end()
        #expect(await stage.witness.testimony { !$0.lost.isEmpty }.counted == ["times": 200_000])
    }

    @Test func `what a plugin prints is counted, and shown only if the settings say so`() async throws {
        for shows in [false, true] {
            let stage = try Stage { $0.showsOutput = shows }
            await stage.serve()
            _ = try await stage.ask("print")
            try await stage.end()
            // The pipe's end comes after everything in it, and is not tied to the end of the process.
            while stage.worker.status.outputBytes < 20 {
                try Task.checkCancellation()
                try await stage.eventLoop.submit {}.get()
            }
            #expect(stage.worker.status.outputBytes == 20)
            let shown = stage.book.lines.contains("info plugin says provider=puppet text=a password, perhaps")
            #expect(shown == shows)
        }
    }

    @Test func `a secret is gone from the buffer once it is sent, or cannot be`() async throws {
        let stage = try Stage()
        await stage.serve()
        func buffer(id: UInt64) throws -> ByteBuffer {
            var buffer = ByteBuffer()
            try Array("correct horse".utf8).withUnsafeBytes { secret in
                try buffer.writeRequestFrame(
                    .deliver, id: id,
                    RequestFields(
                        .credential, kind: .passwordUpdated, idempotencyKey: "k", deadline: 1_000, secret: secret))
            }
            return buffer
        }
        let sent = try buffer(id: 1)
        let late = try buffer(id: 2)
        stage.worker.send(generation: 1, sent)
        _ = await stage.witness.testimony { !$0.completed.isEmpty }
        #expect(sent.readableBytesView.allSatisfy { $0 == 0 })
        #expect(!late.readableBytesView.allSatisfy { $0 == 0 }, "the control")
        stage.worker.send(generation: 99, late)
        try await stage.eventLoop.submit {}.get()
        #expect(late.readableBytesView.allSatisfy { $0 == 0 })
        try await stage.end()
    }

    @Test func `a plugin that says the password is not repeated, whatever way it takes`() async throws {
        let stage = try Stage()
        await stage.serve()
        var buffer = ByteBuffer()
        try Array("c0rrect-horse".utf8).withUnsafeBytes { secret in
            var fields = RequestFields(
                .credential, kind: .passwordUpdated, idempotencyKey: "k", deadline: 10_000, externalID: "betray")
            fields.secret = secret
            try buffer.writeRequestFrame(.deliver, id: 1, fields)
        }
        stage.worker.send(generation: 1, buffer)
        let testimony = await stage.witness.testimony { !$0.completed.isEmpty }
        #expect(
            testimony.completed.first?.completion.detail == "constraint violation for u1@corp.example: [redacted]")
        // The last line comes after the answer, and before whatever is asked next.
        _ = try await stage.ask(nil, id: 2)
        let lines = stage.book.lines
        #expect(lines.contains("warning plugin says provider=puppet text=the password is [redacted]"))
        #expect(lines.contains("error plugin says provider=puppet text=once more: [redacted]"))
        #expect(lines.contains { $0.contains("egress refused place=[redacted]:389") })
        #expect(!lines.contains { $0.contains("c0rrect") || $0.contains("63307272656374") })
        #expect(await stage.witness.testimony { _ in true }.counted.isEmpty)
        try await stage.end()
    }

    @Test func `of a password that stands across the end of what is shown, no part is repeated`() async throws {
        let stage = try Stage()
        await stage.serve()
        try stage.tell("betray at the end", secret: "c0rrect-horse")
        let testimony = await stage.witness.testimony { !$0.completed.isEmpty }
        let isDetailRedacted =
            testimony.completed.first?.completion.detail == String(repeating: "x", count: 1_021) + "[re"
        #expect(isDetailRedacted)
        let line = String(repeating: "x", count: 4_093) + "[re"
        let isLineRedacted = stage.book.lines.contains("warning plugin says provider=puppet text=\(line)")
        #expect(isLineRedacted)
        try await stage.end()
    }

    @Test(arguments: [("keep", "[redacted]"), ("twice", "c0rrect-horse")])
    func `a password is known until its request has ended, and 64 more after that`(
        order: String, place: String
    ) async throws {
        let stage = try Stage()
        await stage.serve()
        try stage.tell(order, secret: "c0rrect-horse")
        for id in 2...201 { try stage.tell("twice", id: UInt64(id), secret: "another-\(id)") }
        _ = await stage.witness.testimony { testimony in
            (2...201).allSatisfy { id in testimony.completed.contains { $0.id == id } }
        }
        _ = try await stage.ask("c0rrect-horse 389", id: 999)
        #expect(stage.book.lines.contains { $0.contains("egress refused place=\(place):389") })
        try await stage.end()
    }

    @Test func `a provider's own secret is not repeated either`() async throws {
        let folder = TemporaryFolder()
        let file = Descriptor(owning: open(folder.file("token", Array("t-4711".utf8)), O_RDONLY | O_CLOEXEC))
        let stage = try Stage { $0.files = [WorkerFile(key: "token", descriptor: file, isSecret: true)] }
        await stage.serve()
        #expect(try await stage.ask("file")?.detail == Redactor.mark)
        try await stage.end()
    }

    @Test func `what is said to one generation never reaches another`() async throws {
        let stage = try Stage()
        await stage.serve()
        // The puppet answers both on the spot, so the first would be answered first.
        try stage.tell("twice", id: 1, generation: 2)
        #expect(try await stage.ask("twice", id: 2)?.detail == "once")
        #expect(await stage.witness.testimony { _ in true }.completed.map(\.id) == [2])
        try await stage.end()
    }

    @Test func `a worker has to have the whole floor, and a user of its own where one is set`() throws {
        var configuration = WorkerConfiguration(provider: "puppet", plugin: try PluginFile(path: Built.puppet))
        #expect(configuration.requiredLayers == .floor)
        configuration.user = WorkerUser(user: 65_534, group: 65_534)
        #expect(configuration.requiredLayers == SandboxLayers.floor.union(.user))
        configuration.isBestEffort = true
        #expect(configuration.requiredLayers == [])
    }

    @Test func `20 000 requests, 256 at once, end exactly once each`() async throws {
        let total: UInt64 = 20_000
        let stage = try Stage()
        await stage.serve()
        let next = Mutex<UInt64>(256)
        stage.witness.whenCompleted { [worker = stage.worker] done in
            let ids = next.withLock { next in
                defer { next = min(total, next + UInt64(done.count)) }
                return next..<min(total, next + UInt64(done.count))
            }
            if !ids.isEmpty { worker.send(generation: 1, Self.requests(ids)) }
        }
        stage.worker.send(generation: 1, Self.requests(0..<256))
        let testimony = await stage.witness.testimony { $0.completed.count >= total }
        #expect(testimony.completed.count == total)
        let isEveryIDThere = Set(testimony.completed.map(\.id)) == Set(1...total)
        #expect(isEveryIDThere)
        #expect(testimony.lost.isEmpty)
        #expect(testimony.batches < total / 2, "completions come in batches")
        try await stage.end()
    }

    @Test func `a worker is not ended for what the one before it did`() async throws {
        let stage = try Stage()
        await stage.serve()
        try stage.tell("crash")
        await stage.serve(2)
        stage.worker.restart(generation: 1, because: "it did not answer")
        #expect(try await stage.ask(nil, id: 2, generation: 2) != nil)
        stage.worker.restart(generation: 2, because: "it did not answer")
        let lost = await stage.witness.testimony { $0.lost.count == 2 }.lost
        #expect(lost.last == Witness.Loss(generation: 2, loss: .givenUp("it did not answer")))
        try await stage.end()
    }

    @Test func `whatever a crashing worker completed before is told before its loss`() async throws {
        let stage = try Stage()
        await stage.serve()
        var buffer = Self.requests(0..<200)
        try buffer.writeRequestFrame(.deliver, id: 1_000, Stage.request("crash"))
        stage.worker.send(generation: 1, buffer)
        let completedBeforeLoss = await stage.witness.testimony { !$0.lost.isEmpty }.completed
        await stage.serve(2)
        let completed = await stage.witness.testimony { _ in true }.completed
        #expect(completed == completedBeforeLoss)
        #expect(Set(completed.map(\.id)).count == completed.count)
        try await stage.end()
    }

    @Test func `when the daemon is killed no worker stays behind`() async throws {
        let folder = TemporaryFolder()
        let path = folder.file("pid", [])
        await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String] in
            let stage = try Stage()
            await stage.serve()
            let pid = try #require(stage.worker.status.pid)
            let file = open(path, O_WRONLY)
            let text = "\(pid)"
            write(file, text, text.utf8.count)
            close(file)
            kill(getpid(), SIGKILL)
        }
        let pid = try #require(Int32(String(decoding: contents(of: path), as: UTF8.self)))
        // It is nobody's child here; its end shows in /proc alone.
        while isAlive(pid) {
            try Task.checkCancellation()
            await Task.yield()
        }
    }

    private func isAlive(_ pid: Int32) -> Bool {
        let stat = String(decoding: contents(of: "/proc/\(pid)/stat"), as: UTF8.self)
        let state = stat.split(separator: ")").last?.split(separator: " ").first
        return state != nil && state != "Z" && state != "X"
    }

    /// Requests with the ids after these numbers.
    private static func requests(_ numbers: Range<UInt64>) -> ByteBuffer {
        var buffer = ByteBuffer()
        for number in numbers {
            try? buffer.writeRequestFrame(.deliver, id: number + 1, Stage.request(nil))
        }
        return buffer
    }
}
