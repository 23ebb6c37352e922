internal import CSpawn
internal import Glibc
internal import Logging
internal import NIOCore
internal import Synchronization
internal import Threads
internal import WorkerProtocol

/// Looks names up and connects sockets for one worker, which may do neither itself.
///
/// The worker sends a name, or its socket and an address, over a SEQPACKET pair; ``EgressPolicy`` says whether that may
/// be, and a thread of this worker's own does it: `getaddrinfo` takes its time, and nobody but this worker waits for it.
/// The worker's own library sends no socket that blocks; one that comes all the same is given a limited time. The address is checked and used here, in our own memory. The thread ends
/// when the worker's end of the pair is closed.
final class EgressBroker: Sendable {
    private let pair: Descriptor
    private let refusals: EgressRefusals
    private let redactor: Redactor
    private let patience: TimeAmount
    private let logger: Logger

    /// - Parameters:
    ///   - patience: So long the connection of a socket that blocks may take.
    ///   - redactor: Knows what the names that are asked for must not repeat in the log.
    ///   - logger: Has the provider's name.
    static func start(
        on pair: Descriptor, policy: EgressPolicy, patience: TimeAmount, refusals: EgressRefusals, redactor: Redactor,
        logger: Logger
    ) throws(SystemError) {
        let broker = EgressBroker(
            pair: pair, patience: patience, refusals: refusals, redactor: redactor, logger: logger)
        do {
            try SystemThread.detached("egress") { broker.serve(policy) }
        } catch {
            throw SystemError("pthread_create", error.code)
        }
    }

    private init(
        pair: Descriptor, patience: TimeAmount, refusals: EgressRefusals, redactor: Redactor, logger: Logger
    ) {
        self.pair = pair
        self.patience = patience
        self.refusals = refusals
        self.redactor = redactor
        self.logger = logger
    }

    private func serve(_ first: EgressPolicy) {
        var policy = first
        var request = rtw_broker_request()
        while true {
            var received: Int32 = -1
            let count = rsp_broker_receive(pair.number, &request, &received)
            let socket = received >= 0 ? Descriptor(owning: received) : nil
            guard count > 0 else {
                if count < 0 { logger.warning("egress broker ends", metadata: ["reason": "\(systemText(errno))"]) }
                return
            }
            var answer = rtw_broker_answer()
            answer.id = request.id
            switch rtw_broker_op(request.op) {
            case RTW_RESOLVE: resolve(request, with: &policy, into: &answer)
            case RTW_CONNECT: answer.error = connect(socket, request, by: policy)
            default:
                logger.warning("egress broker ends", metadata: ["reason": "operation \(request.op)"])
                return
            }
            // Who does not read answers gets no more of them.
            guard rsp_broker_answer(pair.number, &answer) == 0 else { return }
        }
    }

    // MARK: Names

    private func resolve(
        _ request: rtw_broker_request, with policy: inout EgressPolicy, into answer: inout rtw_broker_answer
    ) {
        let host = withUnsafeBytes(of: request.host) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let family = Int32(truncatingIfNeeded: request.family)
        let addresses: [IPAddress]
        switch policy.lookup(host, port: request.port) {
        case .refuse:
            refuse("lookup", of: request.port == 0 ? host : "\(host):\(request.port)")
            answer.error = EAI_NONAME
            return
        case .ownName:
            logger.debug("own name not looked up", metadata: ["place": "\(host)"])
            answer.error = EAI_NONAME
            return
        case .answer(let known):
            addresses = known
        case .ask(let name):
            let found: [IPAddress]
            (answer.error, found) = ask(name, family: family)
            guard answer.error == 0 else { return }
            addresses = policy.admit(found, for: name)
            if addresses.isEmpty, let example = found.first { refuse("answer", of: "\(example) for \(name)") }
        }
        let wanted = addresses.map { SocketEndpoint($0, port: 0).socketAddress }
            .filter { family == AF_UNSPEC || Int32($0.family) == family }
            .prefix(Int(RTW_ADDRESSES_MAX))
        answer.count = UInt32(wanted.count)
        answer.error = wanted.isEmpty ? EAI_NONAME : 0
        withUnsafeMutableBytes(of: &answer.addresses) { room in
            for (slot, address) in wanted.enumerated() {
                let start = slot * MemoryLayout<rtw_broker_address>.stride
                room.storeBytes(of: UInt32(address.bytes.count), toByteOffset: start, as: UInt32.self)
                UnsafeMutableRawBufferPointer(rebasing: room[(start + 4)...]).copyBytes(from: address.bytes)
            }
        }
    }

    private func ask(_ name: String, family: Int32) -> (error: Int32, addresses: [IPAddress]) {
        var hints = addrinfo()
        hints.ai_family = family
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let error = getaddrinfo(name, nil, &hints, &list)
        guard error == 0, let list else { return (error, []) }
        defer { freeaddrinfo(list) }
        let entries = sequence(first: list) { $0.pointee.ai_next }
        let addresses = entries.compactMap { entry in
            SocketEndpoint(
                socketAddress: UnsafeRawBufferPointer(
                    start: entry.pointee.ai_addr, count: Int(entry.pointee.ai_addrlen)))?.address
        }
        return (0, addresses)
    }

    // MARK: Connections

    /// - Returns: An `errno`; `EINPROGRESS` as well, for a socket that does not block.
    private func connect(_ socket: Descriptor?, _ request: rtw_broker_request, by policy: EgressPolicy) -> Int32 {
        withUnsafeBytes(of: request.address) { room in
            let address = UnsafeRawBufferPointer(rebasing: room.prefix(Int(request.address_size)))
            guard let endpoint = SocketEndpoint(socketAddress: address), policy.mayConnect(to: endpoint) else {
                refuse("connection", of: SocketEndpoint(socketAddress: address).map { "\($0)" } ?? "no address of IP")
                return EACCES
            }
            guard let socket, rsp_is_tcp_stream(socket.number) == 1 else {
                refuse("connection", of: "what is no TCP socket")
                return EACCES
            }
            guard let start = address.baseAddress else { return EACCES }
            let known = start.assumingMemoryBound(to: sockaddr.self)
            return connect(socket.number, to: known, size: request.address_size)
        }
    }

    private func connect(_ socket: Int32, to address: UnsafePointer<sockaddr>, size: socklen_t) -> Int32 {
        let flags = fcntl(socket, F_GETFL)
        guard flags >= 0 else { return errno }
        let blocks = flags & O_NONBLOCK == 0
        if blocks, fcntl(socket, F_SETFL, flags | O_NONBLOCK) < 0 { return errno }
        defer { if blocks { _ = fcntl(socket, F_SETFL, flags) } }
        let error = Glibc.connect(socket, address, size) == 0 ? 0 : errno
        return blocks && error == EINPROGRESS ? awaitConnection(of: socket) : error
    }

    private func awaitConnection(of socket: Int32) -> Int32 {
        let end = NIODeadline.now() + patience
        var entry = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
        while true {
            let left = max(0, (end - .now()).nanoseconds / 1_000_000)
            let count = poll(&entry, 1, Int32(clamping: left))
            if count < 0, errno == EINTR { continue }
            guard count != 0 else { return ETIMEDOUT }
            var error: Int32 = 0
            var size = socklen_t(MemoryLayout<Int32>.size)
            guard count > 0, getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) == 0 else { return errno }
            return error
        }
    }

    private func refuse(_ what: String, of place: String) {
        guard let unsaid = refusals.count(.now()) else { return }
        let place = redactor.words(place.utf8, atMost: Int(RTW_HOST_MAX) + 8)
        logger.warning(
            "egress refused", metadata: ["request": "\(what)", "place": "\(place)", "unsaid": "\(unsaid)"])
    }
}

/// Counts what a provider's broker refused, and keeps a plugin that insists from filling the log.
final class EgressRefusals: Sendable {
    private let state = Mutex((count: UInt64(0), lines: RateLimit(perSecond: 5)))

    var count: UInt64 {
        state.withLock(\.count)
    }

    /// - Returns: How many went unsaid before this one; `nil` if this one is to go unsaid too.
    fileprivate func count(_ now: NIODeadline) -> UInt64? {
        state.withLock { state in
            state.count += 1
            return state.lines.pass(now)
        }
    }
}
