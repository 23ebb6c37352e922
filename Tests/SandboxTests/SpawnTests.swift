import CSandboxTests
import CSpawn
import CWorkerProtocol
import Glibc
import Testing

/// A copy of a file for a worker.
@Suite struct `A sealed copy` {
    private func file(_ text: String) throws -> Int32 {
        let descriptor = try check(memfd_of(text, text.utf8.count), "file")
        // The offset is somewhere: the copy begins at the beginning all the same.
        lseek(descriptor, 2, SEEK_SET)
        return descriptor
    }

    private func text(_ descriptor: Int32) -> String {
        var buffer = [UInt8](repeating: 0, count: 64)
        let count = read(descriptor, &buffer, buffer.count)
        return String(decoding: buffer.prefix(max(count, 0)), as: UTF8.self)
    }

    @Test func `holds what the file held, whatever becomes of that`() throws {
        let source = try file("original")
        let copy = try check(rsp_sealed_copy(source, 100, "copy"), "copy")
        defer { for descriptor in [source, copy] { close(descriptor) } }
        pwrite(source, "changed!", 8, 0)
        #expect(text(copy) == "original")
    }

    @Test func `cannot be changed by anybody`() throws {
        let copy = try check(rsp_sealed_bytes("secret", 6, "copy"), "copy")
        defer { close(copy) }
        #expect(pwrite(copy, "x", 1, 0) == -1 && errno == EPERM)
        #expect(pwrite(copy, "x", 1, 6) == -1 && errno == EPERM)
        #expect(ftruncate(copy, 1) == -1 && errno == EPERM)
        #expect(ftruncate(copy, 7) == -1 && errno == EPERM)
        #expect(seals_of(copy) & 0xf == 0xf)
        #expect(fcntl(copy, F_GETFD) & FD_CLOEXEC != 0)
        #expect(text(copy) == "secret")
    }

    @Test func `may be as large as is allowed and no larger`() throws {
        let source = try file("12345678")
        defer { close(source) }
        let copy = try check(rsp_sealed_copy(source, 8, "copy"), "copy")
        close(copy)
        #expect(rsp_sealed_copy(source, 7, "copy") == -1 && errno == EFBIG)
        #expect(rsp_sealed_copy(source, 0, "copy") == -1 && errno == EFBIG)
    }

    @Test func `is made of regular files only`() throws {
        for path in ["/tmp", "/dev/zero"] {
            let source = try check(open(path, O_RDONLY | O_CLOEXEC), path)
            defer { close(source) }
            #expect(rsp_sealed_copy(source, 100, "copy") == -1 && errno == EINVAL)
        }
    }
}

/// The daemon's side of the broker pair.
@Suite struct `A broker request` {
    private let pair: [Int32]

    init() throws {
        var pair: [Int32] = [-1, -1]
        try check(rsp_socketpair(Int32(SOCK_SEQPACKET.rawValue), &pair), "pair")
        self.pair = pair
    }

    private func receive() -> (result: Int, error: Int32, socket: Int32) {
        var request = rtw_broker_request()
        var socket: Int32 = -2
        let result = rsp_broker_receive(pair[0], &request, &socket)
        return (result, errno, socket)
    }

    private func send(_ request: rtw_broker_request, size: Int? = nil, descriptors: [Int32] = []) {
        withUnsafeBytes(of: request) {
            _ = send_with_descriptors(pair[1], $0.baseAddress, size ?? $0.count, descriptors, descriptors.count)
        }
    }

    private func close() {
        for descriptor in pair { Glibc.close(descriptor) }
    }

    @Test func `comes with at most one socket, and the rest are closed`() throws {
        defer { close() }
        // A pipe tells when the last of its writing ends is closed.
        var ends: [Int32] = [-1, -1]
        try check(pipe(&ends), "pipe")
        send(rtw_broker_request(), descriptors: [pair[0], ends[1], ends[1], ends[1]])
        let (result, _, socket) = receive()
        #expect(result == MemoryLayout<rtw_broker_request>.size)
        #expect(socket >= 0)
        Glibc.close(socket)
        Glibc.close(ends[1])
        var entry = pollfd(fd: ends[0], events: 0, revents: 0)
        #expect(poll(&entry, 1, 10_000) == 1)
        #expect(entry.revents & Int16(POLLHUP) != 0)
        Glibc.close(ends[0])
    }

    @Test func `may come without a socket`() {
        defer { close() }
        send(rtw_broker_request())
        let (result, _, socket) = receive()
        #expect(result == MemoryLayout<rtw_broker_request>.size)
        #expect(socket == -1)
    }

    @Test func `is refused when it is none, and brings no descriptor in`() {
        defer { close() }
        var unending = rtw_broker_request()
        _ = withUnsafeMutableBytes(of: &unending.host) { $0.initializeMemory(as: UInt8.self, repeating: 1) }
        var long = rtw_broker_request()
        long.address_size = 29
        send(unending, descriptors: [pair[0]])
        send(long, descriptors: [pair[0]])
        send(rtw_broker_request(), size: 20, descriptors: [pair[0]])
        for _ in 1...3 {
            let (result, error, socket) = receive()
            #expect(result == -1 && error == EBADMSG)
            #expect(socket == -1)
        }
    }

    @Test func `is over when the worker is gone`() {
        Glibc.close(pair[1])
        #expect(receive().result == 0)
        Glibc.close(pair[0])
    }

    @Test func `does not make the daemon wait for a worker that reads no answers`() {
        defer { close() }
        var answer = rtw_broker_answer()
        var sent = 0
        while rsp_broker_answer(pair[0], &answer) == 0 { sent += 1 }
        #expect(errno == EAGAIN)
        #expect(sent > 0)
    }
}

/// Questions that the daemon asks about sockets.
@Suite struct `A socket` {
    struct Kind: Sendable {
        var family: Int32
        var type: Int32
        var number: Int32
        var isTCP: Int32

        static let stream = Int32(SOCK_STREAM.rawValue)
        static let datagram = Int32(SOCK_DGRAM.rawValue)

        static let all = [
            Kind(family: AF_INET, type: stream, number: 0, isTCP: 1),
            Kind(family: AF_INET6, type: stream, number: 6, isTCP: 1),
            Kind(family: AF_INET, type: datagram, number: 0, isTCP: 0),
            Kind(family: AF_INET, type: stream, number: 262, isTCP: 0),  // multipath TCP
            Kind(family: AF_UNIX, type: stream, number: 0, isTCP: 0),
        ]
    }

    @Test(arguments: Kind.all)
    func `is TCP or is not`(kind: Kind) throws {
        let descriptor = try check(socket(kind.family, kind.type, kind.number), "socket")
        defer { close(descriptor) }
        #expect(rsp_is_tcp_stream(descriptor) == kind.isTCP)
    }

    @Test func `that is none is not TCP either`() {
        #expect(rsp_is_tcp_stream(-1) == 0)
    }

    @Test func `tells who is at its other end`() throws {
        var pair: [Int32] = [-1, -1]
        try check(rsp_socketpair(Int32(SOCK_STREAM.rawValue), &pair), "pair")
        defer { for descriptor in pair { close(descriptor) } }
        var uid = uid_t.max
        #expect(rsp_peer_uid(pair[0], &uid) == 0)
        #expect(uid == geteuid())
    }
}

@Suite struct `Starting a worker` {
    @Test func `fails at once when its executable is missing`() {
        var worker = rsp_worker()
        worker.output = STDERR_FILENO
        for path in [\rsp_worker.frames, \.broker, \.plugin, \.lockdown] { worker[keyPath: path] = STDERR_FILENO }
        var pid: pid_t = 0
        var pidfd: Int32 = -1
        "/nonexistent/runtime-sync-worker".withCString { executable in
            "a provider".withCString { provider in
                worker.executable = executable
                worker.provider = provider
                #expect(spawn_on_lasting_thread(&worker, &pid, &pidfd) == -1)
                #expect(errno == ENOENT)
                worker.frames = -1
                #expect(spawn_on_lasting_thread(&worker, &pid, &pidfd) == -1)
                #expect(errno == EBADF)
            }
        }
    }
}
