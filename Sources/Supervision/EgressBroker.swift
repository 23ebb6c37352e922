internal import CSpawn
internal import Glibc
internal import Logging
internal import NIOCore
internal import Synchronization
internal import WorkerProtocol

/// Looks names up and connects sockets for one worker, which may do neither itself.
///
/// The worker sends a name, or its socket and an address, over a SEQPACKET pair; ``EgressPolicy`` says whether that may
/// be, and a thread of this worker's own does it: `getaddrinfo` and the `connect` of a blocking socket take their time,
/// and nobody but this worker waits for them. The address is checked and used here, in our own memory. The thread ends
/// when the worker's end of the pair is closed.
final class EgressBroker: Sendable {
    private let pair: Descriptor
    private let refusals: EgressRefusals
    private let redactor: Redactor
    private let logger: Logger

    /// - Parameters:
    ///   - redactor: Knows what the names that are asked for must not repeat in the log.
    ///   - logger: Has the provider's name.
    static func start(
        on pair: Descriptor, policy: EgressPolicy, refusals: EgressRefusals, redactor: Redactor, logger: Logger
    ) throws(SystemError) {
        let broker = EgressBroker(pair: pair, refusals: refusals, redactor: redactor, logger: logger)
        try startThread("egress") { broker.serve(policy) }
    }

    private init(pair: Descriptor, refusals: EgressRefusals, redactor: Redactor, logger: Logger) {
        self.pair = pair
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
            return Glibc.connect(socket.number, known, request.address_size) == 0 ? 0 : errno
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
