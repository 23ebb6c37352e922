internal import ArgumentParser
internal import AsyncHTTPClient
internal import Control
internal import Credentials
internal import EventModel
internal import Glibc
internal import NIOCore
internal import Settings

struct Send: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Sign an event with a source's secret and post it to the intake.",
        discussion: """
            The event is a JSON envelope (version 1) in FILE, or on stdin with `-`; specversion, id, time and \
            source.instance are filled in where they are missing. Never put a password on a command line: \
            `--password-stdin` reads one from stdin and makes it the event's credential.
            """)

    @OptionGroup var options: SettingsOption
    @Option(help: "Whose name to sign in: a source of the settings; default: the first.") var source: String?
    @Option(help: "Where the intake is, such as http://127.0.0.1:8620; default: the address in the settings.")
    var url: String?
    @Flag(name: .long, help: "Read a password from stdin, up to the first line break.") var passwordStdin = false
    @Argument(help: "The event.") var file: String

    func run() async throws {
        try Hardening.apply()
        let loaded = try options.load()
        guard let source = loaded.daemon.sources.first(where: { self.source == nil || $0.name == self.source }) else {
            throw ValidationError("no source \(self.source ?? "") in \(options.path)")
        }
        guard let secret = source.secrets.first else { throw ValidationError("source \(source.name) has no secret") }
        if passwordStdin, file == "-" { throw ValidationError("stdin cannot be both the event and the password") }

        var envelope: JSONValue
        do {
            envelope = try JSONValue(parsing: try Self.read(file))
        } catch let error as JSONError {
            throw ValidationError("\(file) is not JSON at byte \(error.offset): \(error.reason)")
        }
        envelope.complete(instance: source.instance)
        var body = envelope.bytes
        defer { body.withUnsafeMutableBytes { $0.wipe() } }
        if passwordStdin { try Self.addPassword(to: &body) }

        let id = envelope["id"]?.text ?? ""
        let seconds = Daemon.now().milliseconds / 1_000
        let signature = try secret.withBytes { bytes in
            let signature = WebhookSignature(current: try WebhookSecret(parsing: bytes))
            return body.withUnsafeBytes { signature.sign(id: "send_\(seconds)", timestamp: seconds, body: $0) }
        }
        var request = HTTPClientRequest(url: try address(loaded.daemon))
        request.method = .POST
        request.headers.add(contentsOf: [
            "content-type": "application/json", "webhook-id": "send_\(seconds)", "webhook-timestamp": "\(seconds)",
            "webhook-signature": signature,
        ])
        request.body = .bytes(ByteBuffer(bytes: body))
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(30))
        let answer = String(buffer: try await response.body.collect(upTo: 1 << 20))
        guard response.status == .accepted else {
            printError("runtime-sync: error: \(response.status.code) for event \(id): \(answer)")
            throw ExitCode.failure
        }
        print(answer)
    }

    private func address(_ settings: DaemonSettings) throws -> String {
        if let url { return "\(url)/v1/events" }
        switch settings.intake.listen {
        case .unix(let path):
            return "http+unix://\(ControlClient.encoded(path))/v1/events"
        case .ip(_, 0): throw ValidationError("the intake takes any port; say which with --url")
        case .ip(let host, let port):
            let scheme = settings.intake.tls.isOn ? "https" : "http"
            return "\(scheme)://\(host.contains(":") ? "[\(host)]" : host):\(port)/v1/events"
        }
    }

    private static func read(_ file: String) throws -> [UInt8] {
        let descriptor = file == "-" ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw ValidationError("\(file) cannot be read: \(String(cString: strerror(errno)))")
        }
        defer { if descriptor != STDIN_FILENO { close(descriptor) } }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            guard count > 0 else { return bytes }
            bytes += chunk[..<count]
        }
    }

    /// Puts the credential, with the password from stdin, behind the last member.
    private static func addPassword(to body: inout [UInt8]) throws {
        var bytes = try read("-")
        defer { bytes.withUnsafeMutableBytes { $0.wipe() } }
        let line = bytes.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }
        guard !line.isEmpty else { throw ValidationError("no password on stdin") }
        body.removeLast()
        body += #","credential":{"type":"password","value":""#.utf8
        // A String would leave a copy behind that nobody can wipe.
        for byte in line {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): body += [UInt8(ascii: "\\"), byte]
            case 0..<0x20:
                throw ValidationError("the password holds a control character")
            default: body.append(byte)
            }
        }
        body += "\"}}".utf8
    }
}

extension JSONValue {
    /// Fills in what every envelope has and a hand-written one may leave to us.
    fileprivate mutating func complete(instance: String) {
        guard case .object(var members) = self else { return }
        func has(_ name: String) -> Bool { members.contains { $0.name == name } }
        let random = UInt64.random(in: .min ... .max)
        if !has("specversion") { members.insert(.init("specversion", .string("1")), at: 0) }
        if !has("id") { members.append(.init("id", .string("send-\(String(random, radix: 36))"))) }
        if !has("time") { members.append(.init("time", .string("\(Daemon.now())"))) }
        if let index = members.firstIndex(where: { $0.name == "source" }),
            case .object(var source) = members[index].value, !source.contains(where: { $0.name == "instance" })
        {
            source.append(.init("instance", .string(instance)))
            members[index].value = .object(source)
        }
        self = .object(members)
    }
}
