import EventModel
import Glibc
import Testing

/// A client's connection, byte for byte as the test wants it; blocking, with a limit that only a broken server meets.
final class Connection {
    private let descriptor: Int32
    private var received: [UInt8] = []

    init(port: UInt16) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        try connect(&address)
        var on: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
    }

    init(path: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        try connect(&address)
    }

    deinit {
        close(descriptor)
    }

    private func connect<Address>(_ address: inout Address) throws {
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] { setLimit(option, seconds: 60, microseconds: 0) }
        let code = withUnsafeBytes(of: &address) { bytes in
            bytes.withMemoryRebound(to: sockaddr.self) {
                Glibc.connect(descriptor, $0.baseAddress, socklen_t(bytes.count))
            }
        }
        try #require(code == 0, "connect: \(String(cString: strerror(errno)))")
    }

    func send(_ text: String) throws {
        try send(Array(text.utf8))
    }

    func send(_ bytes: [UInt8]) throws {
        try #require(trySend(bytes) == bytes.count, "send: \(String(cString: strerror(errno)))")
    }

    /// How much could be sent before the server cut the connection.
    func trySend(_ bytes: [UInt8]) -> Int {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return sent }
            sent += count
        }
        return sent
    }

    /// Sends until the server does not read any more.
    ///
    /// - Returns: how much went out.
    func fill(_ bytes: [UInt8]) -> Int {
        setLimit(SO_SNDTIMEO, seconds: 0, microseconds: 500_000)
        return trySend(bytes)
    }

    /// Whether nothing comes for a while. (A server that is right passes at any speed.)
    func isSilent() -> Bool {
        setLimit(SO_RCVTIMEO, seconds: 0, microseconds: 300_000)
        defer { setLimit(SO_RCVTIMEO, seconds: 60, microseconds: 0) }
        return (try? receive()) == nil
    }

    private func setLimit(_ option: Int32, seconds: Int, microseconds: Int) {
        var limit = timeval(tv_sec: seconds, tv_usec: microseconds)
        setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    /// The server sees the end of what we say; we still hear it.
    func endOutput() {
        shutdown(descriptor, Int32(SHUT_WR))
    }

    /// Goes without a word: the kernel sends a reset.
    func abort() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<linger>.size))
        shutdown(descriptor, Int32(SHUT_RDWR))
    }

    /// The next answer.
    func reply(hasBody: Bool = true) throws -> Reply {
        try #require(try replyOrEnd(hasBody: hasBody), "the server ended the connection without an answer")
    }

    /// The next answer; `nil` if the server ended the connection instead.
    func replyOrEnd(hasBody: Bool = true) throws -> Reply? {
        while true {
            if let reply = Reply(parsing: &received, hasBody: hasBody) { return reply }
            guard try receive() else { return nil }
        }
    }

    /// Whether the server ended the connection, with nothing before.
    func isAtEnd() throws -> Bool {
        if !received.isEmpty { return false }
        return try !receive()
    }

    private func receive() throws -> Bool {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        if count < 0, errno != ECONNRESET { throw TimedOut() }
        received += buffer[..<max(0, count)]
        return count > 0
    }

    struct TimedOut: Error {}
}

/// An answer.
struct Reply: Sendable {
    var status: Int
    /// Names in small letters.
    var fields: [String: String] = [:]
    var body = ""

    /// Takes the first answer out of `bytes`; `nil` if it is not all there.
    init?(parsing bytes: inout [UInt8], hasBody: Bool) {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.range(of: "\r\n\r\n") else { return nil }
        let lines = text[..<end.lowerBound].split(separator: "\r\n")
        guard let status = lines.first?.split(separator: " ").dropFirst().first.flatMap({ Int($0) }) else { return nil }
        self.status = status
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            fields[parts[0].lowercased()] = parts.count > 1 ? parts[1].drop { $0 == " " }.description : ""
        }
        let length = hasBody ? fields["content-length"].flatMap { Int($0) } ?? 0 : 0
        let start = text[..<end.upperBound].utf8.count
        guard bytes.count >= start + length else { return nil }
        body = String(decoding: bytes[start..<start + length], as: UTF8.self)
        bytes.removeFirst(start + length)
    }

    /// A member of the JSON answer.
    subscript(name: String) -> String? {
        (try? JSONValue(parsing: Array(body.utf8)))?[name]?.text
    }

    /// What became of each line of a batch: `1 accepted`, `2 duplicate`, `3 refused 400 kind`.
    var fates: [String] {
        let results = (try? JSONValue(parsing: Array(body.utf8)))?["results"]?.elements ?? []
        return results.map { result in
            var words = ["\(number(result["line"]))", result["status"]?.text ?? ""]
            if let problem = result["problem"] {
                words += [number(problem["status"]), problem["field"]?.text ?? ""]
            }
            return words.filter { !$0.isEmpty }.joined(separator: " ")
        }
    }

    private func number(_ value: JSONValue?) -> String {
        guard case .number(let text) = value else { return "" }
        return text
    }
}

extension String {
    fileprivate func range(of needle: String) -> Range<Index>? {
        ranges(of: needle).first
    }
}
