import CWorkerProtocol
import Glibc
import Testing

/// What a worker does not put up with, from plugin or daemon: it says why and ends.
@Suite struct `A worker refuses` {
    @Test(arguments: [
        ("WrongABI", "the plugin is built for ABI 2.7, this host has 1.0"),
        ("NoEntry", "the library exports no function runtime_sync_plugin"),
    ])
    func `a library that is no plugin for it`(name: String, expected: String) throws {
        let worker = try TestWorker(plugin: name)
        let (stage, why) = try worker.failure()
        #expect(stage == RTW_STAGE_LOAD.rawValue)
        #expect(why == expected)
        #expect(try worker.end() != 0)
    }

    @Test func `a file that is no library`() throws {
        let worker = try TestWorker(plugin: "\(productsFolder)/runtime-sync-worker")
        #expect(try worker.failure().stage == RTW_STAGE_LOAD.rawValue)
    }

    /// Bytes that are no frames, or frames at the wrong time, each after a START that is in order.
    struct Offence: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var bytes: [UInt8]

        init(_ description: String, _ bytes: [UInt8]) {
            testDescription = description
            self.bytes = bytes
        }

        init(_ description: String, _ frames: Frame...) {
            self.init(description, frames.flatMap(\.bytes))
        }

        /// A frame with one byte of its header changed.
        init(_ description: String, header offset: Int, is byte: UInt8) {
            var bytes = Frame(RTW_PING).bytes
            bytes[offset] = byte
            self.init(description, bytes)
        }

        static let all: [Offence] = [
            Offence("garbage", [UInt8](repeating: 0xff, count: 64)),
            Offence("a frame of 5 MiB", header: 2, is: 0x50),
            Offence("flags", header: 5, is: 1),
            Offence("reserved bits", header: 7, is: 1),
            Offence("an unknown type", header: 4, is: 9),
            Offence("a type of its own", Frame(RTW_DONE, id: 1)),
            Offence("a ping with an id", Frame(RTW_PING, id: 1)),
            Offence("a ping with a payload", Frame(RTW_PING, payload: [0])),
            Offence("a stop with a payload", Frame(RTW_STOP, payload: [0])),
            Offence("a request without an id", Frame.request(id: 0, kind: "never")),
            Offence("a check without an id", Frame(RTW_CHECK)),
            Offence("an id that is in use", Frame.request(id: 1, kind: "never"), Frame(RTW_CHECK, id: 1)),
            Offence("an empty request", Frame(RTW_DELIVER, id: 1)),
            Offence(
                "a request with a byte too many",
                Frame(RTW_DELIVER, id: 1, payload: Frame.request(id: 1, kind: "never").payload + [0])),
            Offence(
                "a request with a byte too few",
                Frame(RTW_DELIVER, id: 1, payload: Frame.request(id: 1, kind: "never").payload.dropLast())),
            Offence("a class that is none", Frame.request(id: 1, kind: "never", deliveryClass: 4)),
            Offence("a credential without a secret", Frame.request(id: 1, kind: "never", deliveryClass: 0)),
            Offence("an empty secret", Frame.request(id: 1, kind: "never", deliveryClass: 0, secret: "")),
            Offence("a second START", Frame.start()),
            Offence("more than the window", (1...65).flatMap { Frame.request(id: $0, kind: "never").bytes }),
        ]
    }

    @Test(arguments: Offence.all)
    func `what is not a frame, or not its time`(_ offence: Offence) throws {
        let worker = try TestWorker()
        try worker.started(.start(window: 64))
        try worker.send(bytes: offence.bytes)
        #expect(try worker.failure().stage == RTW_STAGE_PROTOCOL.rawValue)
        #expect(try worker.end() != 0)
    }

    @Test(arguments: [
        Offence("a request", Frame.request(id: 1, kind: "complete")),
        Offence("a cancel", Frame(RTW_CANCEL, id: 1)),
        Offence("a window of 0", Frame.start(window: 0)),
        Offence("a window without bounds", Frame.start(window: .max)),
        Offence("files that were not handed over", Frame.start(files: ["ca_file"])),
        Offence("an empty START", Frame(RTW_START)),
    ])
    func `before START, anything but a proper one`(_ offence: Offence) throws {
        let worker = try TestWorker()
        _ = try worker.next(RTW_READY)
        try worker.send(bytes: offence.bytes)
        #expect(try worker.failure().stage == RTW_STAGE_PROTOCOL.rawValue)
    }
}
