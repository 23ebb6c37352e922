internal import EventModel
internal import Glibc
internal import Workbench

/// A connection to a daemon that says exactly what the test wants, byte for byte, and reads the answers.
final class Connection {
    private let descriptor: Int32
    private var received: [UInt8] = []

    /// To 127.0.0.1.
    init(port: UInt16) throws {
        descriptor = try Loopback.connect(to: port)
        limit()
    }

    /// To a Unix socket.
    init(socket path: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let code = withUnsafeBytes(of: &address) { bytes in
            bytes.withMemoryRebound(to: sockaddr.self) { connect(descriptor, $0.baseAddress, socklen_t(bytes.count)) }
        }
        guard code == 0 else { throw Failure("\(path): \(String(cString: strerror(errno)))") }
        limit()
    }

    deinit {
        close(descriptor)
    }

    /// Nobody waits for ever.
    private func limit() {
        var limit = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    /// Sends bytes as they are.
    func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress?.advanced(by: sent), bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw Failure("send: \(String(cString: strerror(errno)))") }
            sent += count
        }
    }

    /// Reads the next answer.
    func answer() throws -> Answer {
        var end = received.firstRange(of: "\r\n\r\n".utf8)
        while end == nil {
            try receive()
            end = received.firstRange(of: "\r\n\r\n".utf8)
        }
        guard let end else { throw Failure("no answer") }
        var lines = String(decoding: received[..<end.lowerBound], as: UTF8.self).split(separator: "\r\n")
        let words = lines.removeFirst().split(separator: " ")
        guard words.count > 1, let status = Int(words[1]) else { throw Failure("no status in \(words)") }
        var headers: [String: String] = [:]
        for line in lines {
            let parts = line.split(separator: ":", maxSplits: 1)
            headers[parts[0].lowercased()] = parts.count > 1 ? String(parts[1].drop { $0 == " " }) : ""
        }
        let length = headers["content-length"].flatMap { Int($0) } ?? 0
        while received.count < end.upperBound + length { try receive() }
        let body = Array(received[end.upperBound..<end.upperBound + length])
        received.removeFirst(end.upperBound + length)
        return Answer(status: status, headers: headers, body: body)
    }

    private func receive() throws {
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &bytes, bytes.count, 0)
        guard count > 0 else { throw Failure(count == 0 ? "closed" : String(cString: strerror(errno))) }
        received += bytes[..<count]
    }
}

/// An HTTP answer.
struct Answer: Sendable {
    var status: Int
    /// By lower-case name.
    var headers: [String: String]
    var body: [UInt8]

    var text: String { String(decoding: body, as: UTF8.self) }

    /// The body as JSON.
    var json: JSONValue { (try? JSONValue(parsing: body)) ?? .null }

    /// A member of the body; empty if there is none.
    func member(_ name: String) -> String { json[name]?.text ?? "" }
}
