import CSpawn
import CWorkerProtocol
import Glibc
import Testing
import Workbench

/// A plugin's libraries call plain getaddrinfo() and connect(); the test plays the daemon's broker.
@Suite struct `A connection by way of the broker` {
    /// A listener on 127.0.0.1 that greets everybody who comes.
    private final class Greeter {
        let descriptor: Int32
        let port: UInt16

        init() throws {
            let surroundings = try Surroundings()
            descriptor = dup(surroundings.descriptors[0])
            port = surroundings.tcpPort
        }

        deinit { close(descriptor) }

        /// Greets the next one.
        func greet(_ words: String) throws {
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, 60_000) == 1 else { throw Missing(description: "nobody has connected") }
            let guest = try check(accept(descriptor, nil, nil), "accept")
            write(guest, words, words.utf8.count)
            close(guest)
        }
    }

    private static func address(_ text: String, port: UInt16 = 0) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        inet_pton(AF_INET, text, &address.sin_addr)
        return address
    }

    private static func name(of request: rtw_broker_request) -> String {
        withUnsafeBytes(of: request.host) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    private static func resolved(_ request: rtw_broker_request, to text: String) -> rtw_broker_answer {
        var answer = rtw_broker_answer()
        answer.id = request.id
        answer.count = 1
        answer.addresses.0.size = UInt32(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutableBytes(of: &answer.addresses.0.address) { place in
            withUnsafeBytes(of: address(text)) { place.copyMemory(from: $0) }
        }
        return answer
    }

    private static func failed(_ request: rtw_broker_request, _ error: Int32) -> rtw_broker_answer {
        var answer = rtw_broker_answer()
        answer.id = request.id
        answer.error = error
        return answer
    }

    /// Connects the socket that came along, as the daemon would.
    private static func connected(_ request: rtw_broker_request, _ socket: Int32?) -> rtw_broker_answer {
        guard let socket, rsp_is_tcp_stream(socket) == 1 else { return failed(request, EACCES) }
        guard fcntl(socket, F_GETFL) & O_NONBLOCK != 0 else { return failed(request, EPROTO) }
        let result = withUnsafeBytes(of: request.address) {
            connect(
                socket, $0.baseAddress?.assumingMemoryBound(to: sockaddr.self), socklen_t(request.address_size))
        }
        guard result != 0, errno == EINPROGRESS else { return failed(request, result == 0 ? 0 : errno) }
        // On loopback that takes no time, unless the kernel has put the packets off.
        var entry = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
        _ = poll(&entry, 1, 60_000)
        var error: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size)
        return failed(request, error)
    }

    /// Knows one name and one address, both for 127.0.0.1.
    private static func ordinary(_ request: rtw_broker_request, _ socket: Int32?) -> [rtw_broker_answer] {
        if request.op == RTW_CONNECT.rawValue {
            let address = withUnsafeBytes(of: request.address) { $0.loadUnaligned(as: sockaddr_in.self) }
            let isAllowed = address.sin_addr.s_addr == Self.address("127.0.0.1").sin_addr.s_addr
            return [isAllowed ? connected(request, socket) : failed(request, EACCES)]
        }
        let isAllowed = name(of: request) == "directory.example"
        return [isAllowed ? resolved(request, to: "127.0.0.1") : failed(request, EAI_NONAME)]
    }

    private func worker(_ lockdown: TestWorker.Lockdown = TestWorker.Lockdown()) throws -> TestWorker {
        let worker = try TestWorker(lockdown)
        worker.broker = Self.ordinary
        try worker.started()
        return worker
    }

    @Test(arguments: [1, 4, 0] as [UInt32])
    func `reaches a name that the broker knows`(landlockCap: UInt32) throws {
        let greeter = try Greeter()
        let worker = try worker(TestWorker.Lockdown(landlockCap: landlockCap))
        try worker.send(.request(id: 1, kind: "connect", external: "directory.example \(greeter.port)"))
        worker.broker = { request, socket in
            let answers = Self.ordinary(request, socket)
            if request.op == RTW_CONNECT.rawValue { try? greeter.greet("welcome") }
            return answers
        }
        let done = try worker.done()
        #expect(done.outcome == Done.delivered)
        #expect(done.detail == "welcome")
    }

    @Test(.enabled(if: geteuid() == 0))
    func `reaches it for a worker with a uid of its own`() throws {
        let greeter = try Greeter()
        let worker = try worker(TestWorker.Lockdown(uid: 64_125))
        try worker.send(.request(id: 1, kind: "connect", external: "directory.example \(greeter.port)"))
        worker.broker = { request, socket in
            let answers = Self.ordinary(request, socket)
            if request.op == RTW_CONNECT.rawValue { try? greeter.greet("welcome") }
            return answers
        }
        #expect(try worker.done().detail == "welcome")
    }

    @Test func `tells the broker the port and the family that are wanted`() throws {
        let worker = try worker()
        var asked: [rtw_broker_request] = []
        worker.broker = { request, socket in
            asked.append(request)
            return Self.ordinary(request, socket)
        }
        try worker.send(.request(id: 1, kind: "connect", external: "elsewhere.example 636"))
        _ = try worker.done()
        #expect(asked.map(Self.name) == ["elsewhere.example"])
        #expect(asked.map(\.port) == [636])
        #expect(asked.map(\.family) == [UInt32(AF_UNSPEC)])
    }

    @Test func `fails for a name that the broker does not know`() throws {
        let worker = try worker()
        try worker.send(.request(id: 1, kind: "connect", external: "elsewhere.example 443"))
        let done = try worker.done()
        #expect(done.outcome == Done.absent)
        #expect(done.detail == String(cString: gai_strerror(EAI_NONAME)))
    }

    @Test func `fails for an address that the broker refuses, though it is a literal`() throws {
        let worker = try worker()
        try worker.send(.request(id: 1, kind: "connect literal", external: "192.0.2.1 443"))
        let done = try worker.done()
        #expect(done.outcome == Done.refused)
        #expect(done.detail == "EACCES")
    }

    @Test func `reports a port where nobody listens as the kernel would`() throws {
        let nobody = try RefusingPort()
        defer { withExtendedLifetime(nobody) {} }
        let worker = try worker()
        try worker.send(.request(id: 1, kind: "connect literal", external: "127.0.0.1 \(nobody.port)"))
        #expect(try worker.done().detail == "ECONNREFUSED")
    }

    @Test func `is answered in any order, each thread with its own`() throws {
        let worker = try worker()
        let errors = [
            EAI_BADFLAGS, EAI_NONAME, EAI_AGAIN, EAI_FAIL, EAI_FAMILY, EAI_SOCKTYPE, EAI_SERVICE, EAI_MEMORY,
        ]
        var held: [rtw_broker_request] = []
        worker.broker = { request, _ in
            held.append(request)
            guard held.count == errors.count else { return [] }
            // Neither as they came nor the other way round. Each name says which error is meant for it.
            return (held[3...] + held[..<3]).map { request in
                Self.failed(request, errors[Int(Self.name(of: request).prefix(1)) ?? 0])
            }
        }
        for index in errors.indices {
            try worker.send(.request(id: UInt64(index + 1), kind: "connect", external: "\(index).example 1"))
        }
        for _ in errors {
            let done = try worker.done()
            #expect(done.detail == String(cString: gai_strerror(errors[Int(done.id) - 1])))
        }
        #expect(Set(held.map(\.id)).count == 8)
    }
}
