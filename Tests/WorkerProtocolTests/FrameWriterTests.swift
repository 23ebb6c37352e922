import CWorkerProtocol
import EventModel
import NIOCore
import Testing
import WorkerProtocol

@Suite struct FrameWriterTests {
    @Test func `a start frame has its fields in the order of the header`() throws {
        var buffer = ByteBuffer()
        try buffer.writeStartFrame(
            window: 256, logLines: 50, provider: "corp-ldap", settings: Array(#"{"uri":"ldap://x"}"#.utf8),
            fileKeys: ["ca_file", "bind_password"])
        let payload =
            u32(256) + u32(50) + field("corp-ldap") + field(#"{"uri":"ldap://x"}"#) + u32(2) + field("ca_file")
            + field("bind_password")
        #expect(seenByWorker(buffer) == [SeenFrame(type: UInt8(RTW_START.rawValue), id: 0, payload: payload)])
    }

    @Test(
        arguments: [
            (RequestType.deliver, RTW_DELIVER), (.verify, RTW_VERIFY), (.read, RTW_READ),
        ])
    func `a request has every field, and tells absent from empty`(type: RequestType, number: rtw_type) throws {
        var buffer = ByteBuffer()
        try withSecret("pässword") { secret in
            let fields = RequestFields(
                .credential, kind: .passwordUpdated, idempotencyKey: "k-1", attempt: 3, deadline: 30_000,
                flags: [.temporary, .first], externalID: "", account: nil, event: Array("{}".utf8), attributes: [],
                secret: secret)
            try buffer.writeRequestFrame(type, id: 7, fields)
        }
        let payload =
            u32(0) + u32(3) + u32(30_000) + u32(3) + field("password.updated") + field("k-1") + field("")
            + field(nil as String?) + field("{}") + field("") + field("pässword")
        #expect(seenByWorker(buffer) == [SeenFrame(type: UInt8(number.rawValue), id: 7, payload: payload)])
    }

    @Test func `the short frames are a header and nothing else`() {
        var buffer = ByteBuffer()
        buffer.writeCancelFrame(id: 9)
        buffer.writeCheckFrame(id: 10)
        buffer.writePingFrame()
        buffer.writeStopFrame()
        let types = [RTW_CANCEL, RTW_CHECK, RTW_PING, RTW_STOP].map { UInt8($0.rawValue) }
        #expect(buffer.readableBytes == 4 * MemoryLayout<rtw_frame>.size)
        #expect(seenByWorker(buffer).map(\.type) == types)
        #expect(seenByWorker(buffer).map(\.id) == [9, 10, 0, 0])
    }

    @Test func `the numbers of the C headers and of the Swift types are the same`() {
        #expect(DeliveryClass.allCases.map(\.rawValue) == [0, 1, 2, 3])
        #expect(MemoryLayout<rtw_frame>.size == 16)
        #expect(RTW_READY.rawValue == 64)
        #expect(
            SandboxLayers.floor.rawValue
                == (RTW_LAYER_LIMITS.rawValue | RTW_LAYER_NO_NEW_PRIVS.rawValue | RTW_LAYER_CAPABILITIES.rawValue
                    | RTW_LAYER_LANDLOCK.rawValue | RTW_LAYER_SECCOMP.rawValue))
        #expect(
            WorkerStage.allCases.map(\.rawValue)
                == [RTW_STAGE_LOCKDOWN, RTW_STAGE_LOAD, RTW_STAGE_PROTOCOL].map(\.rawValue))
    }

    @Test func `a request that is too large is refused and leaves the buffer as it was`() {
        var buffer = ByteBuffer()
        buffer.writePingFrame()
        let event = [UInt8](repeating: 32, count: Int(RTW_MAX_PAYLOAD))
        #expect(throws: FrameTooLarge.self) {
            try buffer.writeRequestFrame(
                .deliver, id: 1,
                RequestFields(.notification, kind: .event, idempotencyKey: "k", deadline: 1, event: event))
        }
        #expect(seenByWorker(buffer).count == 1)
    }

    @Test func `the largest request that a worker takes is written`() throws {
        var buffer = ByteBuffer()
        let room = Int(RTW_MAX_PAYLOAD) - 4 * 4 - 7 * 4 - "event".utf8.count
        try buffer.writeRequestFrame(
            .deliver, id: 1,
            RequestFields(
                .notification, kind: .event, idempotencyKey: "", deadline: 1, event: [UInt8](repeating: 32, count: room)
            ))
        #expect(seenByWorker(buffer).first?.payload.count == Int(RTW_MAX_PAYLOAD))
    }
}

@Suite struct WipingTests {
    @Test func `wiping zeroes the storage that others still share`() throws {
        var buffer = ByteBuffer()
        try write(secret: "correct horse", to: &buffer)
        let heldByNIO = buffer
        let slice = try #require(buffer.getSlice(at: 16, length: 32))
        wipe(buffer)
        #expect(heldByNIO.readableBytes == buffer.readableBytes)
        #expect(heldByNIO.readableBytesView.allSatisfy { $0 == 0 })
        #expect(slice.readableBytesView.allSatisfy { $0 == 0 })
    }

    @Test func `wiping zeroes what was read and cleared too`() throws {
        var buffer = ByteBuffer()
        try write(secret: "correct horse", to: &buffer)
        buffer.moveReaderIndex(to: buffer.writerIndex)
        buffer.clear()
        #expect(holds("correct horse", buffer), "the control: clear() keeps the bytes")
        wipe(buffer)
        #expect(!holds("correct horse", buffer))
    }

    @Test func `a buffer that grows leaves no secret behind`() throws {
        var buffer = ByteBufferAllocator().buffer(capacity: 128)
        try write(secret: "correct horse", to: &buffer)
        // Keeps the first storage alive. The next frame does not fit, so nothing more is written to it.
        let first = buffer.withVeryUnsafeBytesWithStorageManagement { bytes, storage in (bytes, storage.retain()) }
        defer { first.1.release() }
        #expect(contains("correct horse", first.0))
        for _ in 0..<10 {
            try write(secret: "battery staple", to: &buffer)
        }
        #expect(!contains("correct horse", first.0))
        #expect(seenByWorker(buffer).count == 11)
        #expect(holds("correct horse", buffer))
    }

    @Test func `an empty buffer can be wiped`() {
        wipe(ByteBuffer())
    }

    private func write(secret: String, to buffer: inout ByteBuffer) throws {
        try withSecret(secret) { secret in
            try buffer.writeRequestFrame(
                .deliver, id: 1,
                RequestFields(.credential, kind: .passwordUpdated, idempotencyKey: "k", deadline: 1, secret: secret))
        }
    }

    private func holds(_ text: String, _ buffer: ByteBuffer) -> Bool {
        buffer.withVeryUnsafeBytes { contains(text, $0) }
    }

    private func contains(_ text: String, _ bytes: UnsafeRawBufferPointer) -> Bool {
        let wanted = Array(text.utf8)
        return bytes.indices.contains { bytes[$0...].prefix(wanted.count).elementsEqual(wanted) }
    }
}

private func withSecret(_ text: String, _ body: (UnsafeRawBufferPointer) throws -> Void) rethrows {
    try Array(text.utf8).withUnsafeBytes(body)
}
