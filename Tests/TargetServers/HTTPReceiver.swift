internal import Glibc
public import Workbench

/// A target that takes HTTP/1.1 requests, remembers them, and answers as it is told, badly if need be. For faults that a
/// real server cannot be brought to show; where one can, use ``Nginx``.
///
/// ```swift
/// let receiver = try HTTPReceiver()
/// receiver.next(.answer(503, headers: ["Retry-After": "7"]), .reset)
/// // … two requests to receiver.url, and a third, which gets the standing reply
/// let requests = try await receiver.requests(3)
/// receiver.stop()
/// ```
///
/// Each connection has a thread of its own and is kept open after an answer. Bodies come with a `Content-Length`.
public final class HTTPReceiver: Sendable {
    /// The port on 127.0.0.1.
    public let port: UInt16
    private let listener: Int32
    private let state: Watched<State>

    /// A request as it came.
    public struct Request: Sendable, Equatable {
        /// Which connection it came on; 1 for the first.
        public let connection: Int
        public let method: String
        /// Path and query as sent.
        public let path: String
        /// In the order sent.
        public let headers: [Header]
        public let body: [UInt8]

        /// The body as text.
        public var text: String { String(decoding: body, as: UTF8.self) }

        /// The value of a header; `nil` if it was not sent.
        public func header(_ name: String) -> String? {
            headers.first { $0.name.lowercased() == name.lowercased() }?.value
        }
    }

    /// One header field.
    public struct Header: Sendable, Equatable {
        public let name: String
        public let value: String
    }

    /// What to do with a request.
    public indirect enum Reply: Sendable {
        /// Answer it and keep the connection.
        case answer(Int, headers: [String: String] = [:], body: String = "")
        /// Answer with the whole head and half of the body, then close.
        case half(Int, headers: [String: String] = [:], body: String)
        /// Close without an answer.
        case close
        /// Break the connection (RST).
        case reset
        /// Wait for ``release()``, then do that.
        case held(Reply)
    }

    private struct State {
        var replies: [Reply] = []
        var standing: Reply
        /// By what the path begins with.
        var standingAt: [String: Reply] = [:]
        var requests: [Request] = []
        var connections: Set<Int32> = []
        var connectionCount = 0
        var held = 0
        var releases = 0
        var stopped = false
    }

    /// Starts to listen.
    ///
    /// - Parameter standing: the reply to requests for which ``next(_:)`` has none.
    public init(_ standing: Reply = .answer(204)) throws(ServerError) {
        (listener, port) = try Loopback.listener()
        state = Watched(State(standing: standing))
        onOwnThread { [weak self, listener] in
            Self.accept(listener) { self?.take($0) ?? false }
            close(listener)
        }
    }

    deinit {
        stop()
    }

    /// `http://127.0.0.1:PORT`
    public var url: String { "http://127.0.0.1:\(port)" }

    /// Replies to the next requests, in the order in which those arrive; after them the standing reply is given again.
    public func next(_ replies: Reply...) {
        state.change { $0.replies += replies }
    }

    /// Changes the reply to requests for which ``next(_:)`` has none.
    public func always(_ reply: Reply) {
        state.change { $0.standing = reply }
    }

    /// The reply to requests for which ``next(_:)`` has none and whose path begins with this.
    public func always(_ reply: Reply, at path: String) {
        state.change { $0.standingAt[path] = reply }
    }

    /// Lets the replies go that are held now.
    public func release() {
        state.change { state in
            state.releases += 1
            state.held = 0
        }
    }

    /// All requests so far, in the order in which they were read.
    public var requests: [Request] { state.value.requests }

    /// How many connections were accepted so far.
    public var connectionCount: Int { state.value.connectionCount }

    /// Waits until there are `count` requests and returns all there are then.
    public func requests(_ count: Int, within limit: Duration = .seconds(60)) async throws -> [Request] {
        guard
            let requests = await state.first(
                within: limit, { $0.requests.count >= count ? $0.requests : nil })
        else { throw ServerError("\(state.value.requests.count) requests came in \(limit), not \(count)") }
        return requests
    }

    /// Ends every connection and listens no longer: the port refuses from now on.
    public func stop() {
        state.change { state in
            guard !state.stopped else { return }
            state.stopped = true
            state.connections.forEach { _ = shutdown($0, Int32(SHUT_RDWR)) }
            _ = shutdown(listener, Int32(SHUT_RDWR))
        }
    }

    // MARK: Threads

    /// Accepts until nobody takes what comes, or the listener is shut down.
    private static func accept(_ listener: Int32, _ take: (Int32) -> Bool) {
        while true {
            let connection = Glibc.accept(listener, nil, nil)
            if connection < 0 {
                if errno == EINTR || errno == ECONNABORTED { continue }
                return
            }
            guard take(connection) else {
                close(connection)
                return
            }
        }
    }

    /// Serves a connection on a thread of its own, unless it is too late.
    private func take(_ connection: Int32) -> Bool {
        let number: Int? = state.change { state in
            guard !state.stopped else { return nil }
            state.connections.insert(connection)
            state.connectionCount += 1
            return state.connectionCount
        }
        guard let number else { return false }
        onOwnThread { [self] in
            serve(connection, number)
            // Under the lock, so that stop never touches a number that the system has given away again.
            state.change { state in
                state.connections.remove(connection)
                _ = close(connection)
            }
        }
        return true
    }

    private func serve(_ connection: Int32, _ number: Int) {
        var input: [UInt8] = []
        while let request = Self.read(connection, number, &input) {
            let reply = state.change { state in
                state.requests.append(request)
                guard state.replies.isEmpty else { return state.replies.removeFirst() }
                return state.standingAt.first { request.path.hasPrefix($0.key) }?.value ?? state.standing
            }
            guard perform(reply, on: connection) else { return }
        }
    }

    /// Does what the reply says; whether the connection stays.
    private func perform(_ reply: Reply, on connection: Int32) -> Bool {
        switch reply {
        case .answer(let status, let headers, let body):
            return Self.write(Self.head(status, headers, body) + body.utf8, to: connection)
        case .half(let status, let headers, let body):
            _ = Self.write(Self.head(status, headers, body) + body.utf8.prefix(body.utf8.count / 2), to: connection)
            return false
        case .close:
            return false
        case .reset:
            var linger = linger(l_onoff: 1, l_linger: 0)
            setsockopt(connection, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout.size(ofValue: linger)))
            return false
        case .held(let reply):
            waitForRelease()
            return perform(reply, on: connection)
        }
    }

    private func waitForRelease() {
        let gate = Gate()
        let before = state.change { state in
            state.held += 1
            return state.releases
        }
        Task { [state] in
            _ = await state.first(within: .seconds(120)) { $0.releases > before || $0.stopped ? true : nil }
            gate.open()
        }
        gate.wait()
    }

    /// Waits until `count` replies are being held.
    public func holding(_ count: Int, within limit: Duration = .seconds(60)) async throws {
        guard await state.first(within: limit, { $0.held >= count ? true : nil }) != nil else {
            throw ServerError("\(state.value.held) replies are held after \(limit), not \(count)")
        }
    }

    // MARK: HTTP

    /// Reads one request; `nil` at the end of the connection. What came after it stays in `input`.
    private static func read(_ connection: Int32, _ number: Int, _ input: inout [UInt8]) -> Request? {
        while true {
            if let (request, used) = parse(input, number) {
                input.removeFirst(used)
                return request
            }
            var chunk = [UInt8](repeating: 0, count: 65_536)
            let count = recv(connection, &chunk, chunk.count, 0)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return nil }
            input += chunk[..<count]
        }
    }

    /// The request at the beginning of `input` and its length; `nil` if it is not all there.
    private static func parse(_ input: [UInt8], _ number: Int) -> (Request, Int)? {
        guard let end = input.firstRange(of: Array("\r\n\r\n".utf8)) else { return nil }
        let lines = String(decoding: input[..<end.lowerBound], as: UTF8.self).split(separator: "\r\n")
        let start = lines.first?.split(separator: " ") ?? []
        let headers = lines.dropFirst().compactMap { line -> Header? in
            let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = parts.first, let value = parts.last, parts.count == 2 else { return nil }
            return Header(name: String(name), value: String(value.drop { $0 == " " }))
        }
        let length = headers.first { $0.name.lowercased() == "content-length" }.flatMap { Int($0.value) } ?? 0
        guard start.count == 3, input.count >= end.upperBound + length else { return nil }
        let body = Array(input[end.upperBound..<end.upperBound + length])
        let request = Request(
            connection: number, method: String(start[0]), path: String(start[1]), headers: headers, body: body)
        return (request, end.upperBound + length)
    }

    private static func head(_ status: Int, _ headers: [String: String], _ body: String) -> [UInt8] {
        var head = "HTTP/1.1 \(status) Scripted\r\n"
        for (name, value) in headers.sorted(by: { $0.key < $1.key }) { head += "\(name): \(value)\r\n" }
        if status != 204 && status != 304 { head += "Content-Length: \(body.utf8.count)\r\n" }
        return Array((head + "\r\n").utf8)
    }

    private static func write(_ bytes: [UInt8], to connection: Int32) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }
}

/// Opened once, for a thread that waits.
private final class Gate: Sendable {
    private nonisolated(unsafe) let semaphore: UnsafeMutablePointer<sem_t>

    init() {
        semaphore = .allocate(capacity: 1)
        sem_init(semaphore, 0, 0)
    }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    func open() {
        sem_post(semaphore)
    }

    func wait() {
        while sem_wait(semaphore) != 0 && errno == EINTR {}
    }
}
