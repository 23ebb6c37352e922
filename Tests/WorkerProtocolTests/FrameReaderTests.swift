import CWorkerProtocol
import EventModel
import NIOCore
import Testing
import Workbench
import WorkerProtocol

@Suite struct FrameReaderTests {
    @Test func `every frame of a worker is read`() throws {
        let expected: [WorkerFrame] = [
            .ready(WorkerReady(pid: 4_711, landlockABI: 6, layers: .floor, pluginABIMajor: 1, pluginABIMinor: 0)),
            .started(refusal: nil),
            .started(refusal: "no base"),
            .done(
                id: 3,
                Completion(
                    .retry, detail: "busy", account: "b4c1", retryAfter: 1_500, record: Array(#"{"mail":[]}"#.utf8))),
            .done(id: .max, Completion(.delivered)),
            .log(.warning, ByteBuffer(string: "slow")),
            .metric(name: "binds_total", delta: -2),
            .pong,
            .failed(.load, "no such symbol"),
        ]
        #expect(try frames(in: Self.oneOfEach) == expected)
    }

    @Test func `an empty account is not an absent one`() throws {
        let payload = u32(0) + u32(0) + field("") + field("") + field("")
        let frame = try frames(in: .frame(RTW_DONE, id: 1, payload)).first
        #expect(frame == .done(id: 1, Completion(.delivered, account: "", record: [])))
    }

    @Test(arguments: lies)
    func `a frame that lies is refused, and the refusal says where`(lie: Lie) {
        var reader = FrameReader(redactor: Redactor(capacity: 8))
        reader.append(lie.bytes)
        let violation = #expect(throws: FrameViolation.self) { try reader.next() }
        #expect(violation?.description == lie.reason)
    }

    @Test func `an account that is not UTF-8 costs its own request only`() throws {
        let payload = u32(0) + u32(0) + field("") + field([0xff]) + field("")
        let read = try frames(in: .frame(RTW_DONE, id: 1, payload))
        #expect(
            read == [.done(id: 1, Completion(.unknown, detail: "the plugin reported an account that is not UTF-8"))])
    }

    @Test func `a lying header is refused before its payload has come`() {
        var reader = FrameReader(redactor: Redactor(capacity: 8))
        reader.append(.frame(RTW_DONE, id: 1, length: Int(RTW_MAX_PAYLOAD) + 1))
        #expect(throws: FrameViolation.self) { try reader.next() }
    }

    @Test func `words for people are mended and cut between characters`() throws {
        let latin1: [UInt8] = Array("Zugriff verweigert f".utf8) + [0xfc] + Array("r u1042".utf8)
        let umlauts = String(repeating: "ü", count: 1_000)
        let bytes = ByteBuffer.frame(
            RTW_DONE, id: 1, u32(2) + u32(0) + field(latin1) + field(nil as String?) + field(""))
        let long = ByteBuffer.frame(
            RTW_DONE, id: 2, u32(2) + u32(0) + field("x" + umlauts) + u32(RTW_ABSENT) + field(""))
        let read = try frames(in: ByteBuffer(bytes: bytes.readableBytesView + long.readableBytesView))
        #expect(
            read == [
                .done(id: 1, Completion(.refused, detail: "Zugriff verweigert f\u{fffd}r u1042", record: [])),
                .done(id: 2, Completion(.refused, detail: "x" + umlauts.prefix(511), record: [])),
            ])
    }

    @Test func `words for people do not speak to the terminal`() throws {
        let read = try frames(in: .frame(RTW_FAILED, u32(2) + field("one\ntwo\u{1b}[2J\u{9b}3m \u{7f}ü")))
        #expect(read == [.failed(.load, "one two [2J 3m  ü")])
    }

    @Test func `it does not matter how the bytes are cut`() throws {
        let expected = try frames(in: Self.oneOfEach)
        for size in 1...64 {
            #expect(try frames(in: Self.oneOfEach, chunks: { size }) == expected, "chunks of \(size)")
        }
    }

    @Test func `a damaged stream ends in frames and at most one violation, however it is cut`() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(state: seed)
        let good = Array(Self.oneOfEach.readableBytesView)
        var refused = 0
        for round in 0..<3_000 {
            var bytes = good
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            if round % 3 == 0 {
                let header = ByteBuffer.frame(
                    raw: UInt8.random(in: 64...70, using: &random), id: UInt64.random(in: 0...1, using: &random),
                    random.bytes(Int.random(in: 0...64, using: &random)))
                bytes = Array(header.readableBytesView) + bytes
            }
            let whole = outcome(of: bytes, chunks: { bytes.count })
            let cut = outcome(of: bytes, chunks: { Int.random(in: 1...40, using: &random) })
            #expect(whole.frames == cut.frames, "seed \(seed), round \(round)")
            #expect(whole.violation == cut.violation, "seed \(seed), round \(round)")
            refused += whole.violation == nil ? 0 : 1
        }
        #expect(refused > 300, "seed \(seed): the damage was hardly ever noticed")
    }

    struct Lie: Sendable {
        let bytes: ByteBuffer
        let reason: String

        init(_ reason: String, _ bytes: ByteBuffer) {
            self.bytes = bytes
            self.reason = reason
        }

        static func done(_ reason: String, outcome: UInt32 = 0, id: UInt64 = 1, _ fields: [UInt8]...) -> Self {
            Self(reason, .frame(RTW_DONE, id: id, [u32(outcome), u32(0)].flatMap(\.self) + fields.flatMap(\.self)))
        }
    }

    private static let lies: [Lie] = [
        Lie("a frame of type 1, which no worker sends", .frame(raw: 1)),
        Lie("a frame of type 255, which no worker sends", .frame(raw: 255)),
        Lie("PONG with 1 bytes; it has 0 to 0", .frame(RTW_PONG, length: 1)),
        Lie("LOG with 4294967295 bytes; it has 8 to 4194304", .frame(RTW_LOG, length: Int(UInt32.max))),
        Lie("PONG with a reserved bit set", .frame(RTW_PONG, flags: 1)),
        Lie("PONG with a reserved bit set", .frame(RTW_PONG, reserved: 1)),
        Lie("PONG with the id 5; only DONE has one", .frame(RTW_PONG, id: 5)),
        .done("DONE: its id is 0, which no request has", id: 0, field(""), field(""), field("")),
        .done("DONE: its outcome is 6, which means nothing", outcome: 6, field(""), field(""), field("")),
        .done("DONE: its detail says 100 bytes where 8 are left", u32(100), field(""), field("")),
        .done("DONE: its record is cut off", field("1234"), field(""), [0, 0]),
        .done(
            "DONE: its account has 4097 bytes; it may have 4096", field(""),
            field([UInt8](repeating: 97, count: 4_097)),
            field("")),
        Lie("LOG: its level is 4, which means nothing", .frame(RTW_LOG, u32(4) + field(""))),
        Lie("LOG with 1 bytes after its last field", .frame(RTW_LOG, u32(0) + field("") + [0])),
        Lie("METRIC: its name is not of the form [a-z0-9_]+", .frame(RTW_METRIC, u64(1) + field("Binds"))),
        Lie("METRIC: its name is not of the form [a-z0-9_]+", .frame(RTW_METRIC, u64(1) + field(""))),
        Lie("STARTED: its verdict is 2; it is 0 or 1", .frame(RTW_STARTED, u32(2) + field(""))),
        Lie("FAILED: its stage is 0, which means nothing", .frame(RTW_FAILED, u32(0) + field(""))),
    ]

    private static let oneOfEach = ByteBuffer(
        bytes: [
            ByteBuffer.frame(RTW_READY, [4_711, 6, SandboxLayers.floor.rawValue, 1, 0].flatMap(u32)),
            .frame(RTW_STARTED, u32(1) + field("")),
            .frame(RTW_STARTED, u32(0) + field("no base")),
            .frame(
                RTW_DONE, id: 3,
                [u32(1), u32(1_500), field("busy"), field("b4c1"), field(#"{"mail":[]}"#)].flatMap(\.self)),
            .frame(RTW_DONE, id: .max, u32(0) + u32(0) + [UInt8](repeating: 0xff, count: 12)),
            .frame(RTW_LOG, u32(2) + field("slow")),
            .frame(RTW_METRIC, u64(UInt64(bitPattern: -2)) + field("binds_total")),
            .frame(RTW_PONG),
            .frame(RTW_FAILED, u32(2) + field("no such symbol")),
        ].flatMap { Array($0.readableBytesView) })

    private func frames(in bytes: ByteBuffer, chunks size: () -> Int = { .max }) throws -> [WorkerFrame] {
        let outcome = outcome(of: Array(bytes.readableBytesView), chunks: size)
        if let violation = outcome.violation { throw violation }
        return outcome.frames
    }

    private func outcome(
        of bytes: [UInt8], chunks size: () -> Int
    ) -> (frames: [WorkerFrame], violation: FrameViolation?) {
        var reader = FrameReader(redactor: Redactor(capacity: 8))
        var frames: [WorkerFrame] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let chunk = rest.prefix(size())
            rest = rest.dropFirst(chunk.count)
            reader.append(ByteBuffer(bytes: chunk))
            do throws(FrameViolation) {
                while let frame = try reader.next() { frames.append(frame) }
            } catch {
                return (frames, error)
            }
        }
        return (frames, nil)
    }
}
