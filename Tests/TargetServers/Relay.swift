internal import Glibc
internal import Synchronization
public import Workbench

/// Stands between a client and a server on this machine, and does what networks do at the worst moment: it lets
/// requests through and keeps the answers, reads nothing, or cuts every connection.
public final class Relay: Sendable {
    private struct State {
        var pairs: [(client: Int32, server: Int32)] = []
        var holdsAnswers = false
        var holdsRequests = false
        var requestBytes = 0
        var connections = 0
        var ends = false
    }

    /// Where it listens.
    public let port: UInt16
    private let target: UInt16
    private let listener: Int32
    private let bell: (reader: Int32, ringer: Int32)
    private let state = Mutex(State())

    /// Starts to relay to `target`.
    ///
    /// - Parameter holdsAnswers: nothing ever comes back, until ``releaseAnswers()``.
    public init(to target: UInt16, holdsAnswers: Bool = false) throws(ServerError) {
        self.target = target
        (listener, port) = try Loopback.listener()
        // Little is taken in while nothing is passed on.
        var size: Int32 = 65_536
        setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw ServerError(call: "pipe") }
        bell = (ends[0], ends[1])
        state.withLock { $0.holdsAnswers = holdsAnswers }
        onOwnThread { [self] in work() }
    }

    /// Bytes that have been passed on to the server so far.
    public var requestBytes: Int { state.withLock { $0.requestBytes } }
    /// Connections that clients have made so far.
    public var connections: Int { state.withLock { $0.connections } }

    /// From now on nothing comes back.
    public func holdAnswers() {
        state.withLock { $0.holdsAnswers = true }
        ring()
    }

    /// What was kept comes back, and everything after it.
    public func releaseAnswers() {
        state.withLock { $0.holdsAnswers = false }
        ring()
    }

    /// From now on nothing is read from clients, whose sockets fill up.
    public func holdRequests() {
        state.withLock { $0.holdsRequests = true }
        ring()
    }

    /// Requests are read again.
    public func releaseRequests() {
        state.withLock { $0.holdsRequests = false }
        ring()
    }

    /// Cuts every connection there is. Kept answers are lost.
    public func cut() {
        state.withLock { state in
            for pair in state.pairs {
                shutdown(pair.client, Int32(SHUT_RDWR))
                shutdown(pair.server, Int32(SHUT_RDWR))
            }
        }
        ring()
    }

    /// Cuts every connection and makes no more.
    public func stop() {
        cut()
        state.withLock { $0.ends = true }
        ring()
    }

    private func ring() {
        _ = write(bell.ringer, [1], 1)
    }

    private func work() {
        while true {
            let state = state.withLock { $0 }
            if state.ends { break }
            var entries = [
                pollfd(fd: bell.reader, events: Int16(POLLIN), revents: 0),
                pollfd(fd: listener, events: Int16(POLLIN), revents: 0),
            ]
            for pair in state.pairs {
                let (fromClient, fromServer) = (state.holdsRequests ? 0 : POLLIN, state.holdsAnswers ? 0 : POLLIN)
                entries.append(pollfd(fd: pair.client, events: Int16(fromClient), revents: 0))
                entries.append(pollfd(fd: pair.server, events: Int16(fromServer), revents: 0))
            }
            _ = poll(&entries, nfds_t(entries.count), -1)
            if entries[0].revents != 0 {
                var byte: UInt8 = 0
                _ = read(bell.reader, &byte, 1)
            }
            for (index, pair) in state.pairs.enumerated() {
                let (client, server) = (entries[2 + 2 * index].revents, entries[3 + 2 * index].revents)
                let goesOn =
                    if client != 0 {
                        pass(from: pair.client, to: pair.server, counts: true)
                    } else if server != 0 {
                        // While answers are kept this is the server's end, which is told at once.
                        !state.holdsAnswers && pass(from: pair.server, to: pair.client, counts: false)
                    } else {
                        true
                    }
                if !goesOn { end(pair) }
            }
            if entries[1].revents != 0 { accept() }
        }
        for pair in state.withLock({ $0.pairs }) { end(pair) }
        for descriptor in [listener, bell.reader, bell.ringer] { close(descriptor) }
    }

    private func accept() {
        let client = Glibc.accept(listener, nil, nil)
        guard client >= 0 else { return }
        state.withLock { $0.connections += 1 }
        guard let server = try? Loopback.connect(to: target) else {
            close(client)
            return
        }
        state.withLock { $0.pairs.append((client, server)) }
    }

    /// - Returns: `false` if one end is closed.
    private func pass(from: Int32, to: Int32, counts: Bool) -> Bool {
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = recv(from, &bytes, bytes.count, 0)
        guard count > 0 else { return false }
        var sent = 0
        while sent < count {
            let part = bytes.withUnsafeBytes { bytes in
                send(to, bytes.baseAddress?.advanced(by: sent), count - sent, Int32(MSG_NOSIGNAL))
            }
            guard part > 0 else { return false }
            sent += part
        }
        if counts { state.withLock { $0.requestBytes += count } }
        return true
    }

    private func end(_ pair: (client: Int32, server: Int32)) {
        state.withLock { state in state.pairs.removeAll { $0 == pair } }
        close(pair.client)
        close(pair.server)
    }
}
