internal import Glibc
internal import LDAPDecisions
internal import RuntimeSyncPlugin

/// Why there is no connection: the answer for everyone who waits for it.
struct OpenFailure: Error {
    let completion: Completion

    init(_ outcome: Outcome, _ detail: String) {
        completion = Completion(outcome, detail: detail)
    }
}

/// The TCP part of a connection. It is made here and not by libldap, so that it never blocks and can be cut.
///
/// `connect` and `getaddrinfo` are answered by the worker, which asks the daemon: only addresses of the host in `url`
/// can be reached.
enum Socket {
    /// Connects to one of the server's addresses.
    ///
    /// - Parameter deadline: on the host's clock, in milliseconds; each address gets an equal part of what is left.
    /// - Returns: a non-blocking socket, attached to `lifeline`; the caller closes it.
    static func connect(
        to server: ServerAddress, until deadline: UInt64, host: PluginHost, lifeline: Lifeline
    ) throws(OpenFailure) -> Int32 {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICSERV
        var found: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(server.host, String(server.port), &hints, &found)
        guard code == 0 else {
            let reason = "\(server.host): \(String(cString: gai_strerror(code)))"
            throw OpenFailure(code == EAI_NONAME ? .misconfigured : .retry, reason)
        }
        defer { freeaddrinfo(found) }
        let addresses = Array(
            sequence(first: found, next: { $0?.pointee.ai_next }).prefix { $0 != nil }.compactMap(\.self))
        var lastError = EADDRNOTAVAIL
        for (index, address) in addresses.enumerated() {
            let now = host.now
            let share = (max(now, deadline) - now) / UInt64(addresses.count - index)
            let descriptor = socket(
                address.pointee.ai_family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue),
                0)
            guard descriptor >= 0 else {
                lastError = errno
                continue
            }
            guard lifeline.attach(descriptor) else {
                close(descriptor)
                throw OpenFailure(.retry, "the plugin stops")
            }
            lastError = connect(descriptor, address.pointee, until: now + share, host: host)
            if lastError == 0 {
                // Requests are small and each is waited for.
                set(descriptor, IPPROTO_TCP, TCP_NODELAY)
                noticeDeadPeer(descriptor)
                return descriptor
            }
            lifeline.detach()
            close(descriptor)
        }
        // The sandbox, or the daemon in its place, does not let this plugin go there.
        let isForbidden = lastError == EACCES || lastError == EPERM
        throw OpenFailure(
            isForbidden ? .misconfigured : .retry,
            "connecting to \(server.host) port \(server.port): \(String(cString: strerror(lastError)))")
    }

    /// Waits until the socket is ready for `events`, or has failed; `false` at the deadline.
    static func wait(_ descriptor: Int32, for events: Int32, until deadline: UInt64, host: PluginHost) -> Bool {
        while true {
            let now = host.now
            guard now < deadline else { return false }
            var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            if poll(&entry, 1, Int32(clamping: deadline - now)) > 0 { return true }
        }
    }

    /// Whether the other end is this machine, by the address that the connection really has; `nil` if it is lost.
    static func peerIsLoopback(_ descriptor: Int32) -> Bool? {
        var address = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let code = withUnsafeMutableBytes(of: &address) { bytes in
            bytes.withMemoryRebound(to: sockaddr.self) { getpeername(descriptor, $0.baseAddress, &size) }
        }
        guard code == 0 else { return nil }
        return withUnsafeBytes(of: address) { bytes in
            switch Int32(address.ss_family) {
            case AF_INET: bytes[4] == 127
            case AF_INET6: bytes[8..<24].elementsEqual(repeatElement(0, count: 15) + [1])
            default: false
            }
        }
    }

    /// - Returns: 0 or an `errno`.
    private static func connect(
        _ descriptor: Int32, _ address: addrinfo, until deadline: UInt64, host: PluginHost
    ) -> Int32 {
        if Glibc.connect(descriptor, address.ai_addr, address.ai_addrlen) == 0 { return 0 }
        guard errno == EINPROGRESS || errno == EINTR else { return errno }
        guard wait(descriptor, for: POLLOUT, until: deadline, host: host) else { return ETIMEDOUT }
        var error: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno
    }

    /// A server that is gone without a word, and a firewall that forgets idle connections, are noticed within a minute
    /// and not by a password written into the void. Linux's own times are two hours for the first probe of an idle
    /// connection, and a quarter of an hour for bytes that nobody acknowledges.
    private static func noticeDeadPeer(_ descriptor: Int32) {
        set(descriptor, Int(SOL_SOCKET), SO_KEEPALIVE)
        set(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, 30)  // seconds
        set(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, 10)  // seconds
        set(descriptor, IPPROTO_TCP, TCP_KEEPCNT, 3)
        set(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, 60_000)  // milliseconds
    }

    private static func set(_ descriptor: Int32, _ level: Int, _ option: Int32, _ value: Int32 = 1) {
        var value = value
        setsockopt(descriptor, Int32(level), option, &value, socklen_t(MemoryLayout<Int32>.size))
    }
}
