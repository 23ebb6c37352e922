internal import ArgumentParser
internal import AsyncHTTPClient
internal import Control
internal import Credentials
internal import EventModel
internal import FoundationEssentials
internal import Glibc
internal import HTTPTypes
internal import NIOCore
internal import NIOHTTP1
internal import NIOSSL
internal import Settings

struct Send: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Sign an event with a source's secret and post it to the intake.",
        discussion: """
            The event is a JSON envelope (version 1) in FILE, or on stdin with `-`; specversion, id, time and \
            source.instance are filled in where they are missing, and source.realmId if the source has one realm only. Never put a password on a command line: \
            `--password-stdin` reads one from stdin and makes it the event's credential.
            """)

    @OptionGroup var options: SettingsOption
    @Option(help: "Whose name to sign in: a source of the settings; default: the first.") var source: String?
    @Option(
        help: """
            Where the intake is: https://sync.corp.example, unix:/run/intake.sock or, on this machine only, \
            http://127.0.0.1:8620; default: the address in the settings.
            """)
    var url: String?
    @Option(help: "PEM file of the authority to trust for https; default: those that the system trusts.")
    var ca: String?
    @Flag(name: .long, help: "Read a password from stdin, up to the first line break.") var passwordStdin = false
    @Argument(help: "The event.") var file: String

    func validate() throws {
        if passwordStdin, file == "-" { throw ValidationError("stdin cannot be both the event and the password") }
        if let url, !Self.isSafe(url) {
            throw ValidationError(
                """
                \(url) would carry the event, and a password in it, in clear over the network; accepted: \
                https://HOST, unix:/PATH, or http:// to 127.0.0.1, [::1] or localhost
                """)
        }
    }

    func run() async throws {
        let loaded = try options.load()
        guard let source = loaded.daemon.sources.first(where: { self.source == nil || $0.name == self.source }) else {
            let names = loaded.daemon.sources.map(\.name).joined(separator: ", ")
            throw StartFailure("\(options.path) has no source \(self.source ?? "at all"); there are: \(names)")
        }
        guard let secret = source.secrets.first else {
            throw StartFailure("source \(source.name) has no secret to sign with")
        }
        let envelope = try Envelope(parsing: try Self.read(file), from: file, source: source)
        var body = envelope.bytes
        defer { body.withUnsafeMutableBytes { $0.wipe() } }
        if passwordStdin { try Self.addPassword(to: &body) }

        let seconds = Daemon.now().milliseconds / 1_000
        let message = "send_\(UInt64.random(in: .min ... .max))"
        let signature = try secret.withBytes { bytes in
            let signature = WebhookSignature(current: try WebhookSecret(parsing: bytes))
            return body.withUnsafeBytes { signature.sign(id: message, timestamp: seconds, body: $0) }
        }
        var request = HTTPClientRequest(url: try await address(loaded.daemon))
        request.method = .POST
        request.headers.add(contentsOf: [
            "content-type": "application/json", "webhook-id": message, "webhook-timestamp": "\(seconds)",
            "webhook-signature": signature,
        ])
        request.body = .bytes(ByteBuffer(bytes: body))
        let (status, answer) = try await post(request)
        guard status == 202 else { throw StartFailure("\(status) for event \(envelope.id): \(forTerminal(answer))") }
        print(answer)
    }

    private func post(_ request: HTTPClientRequest) async throws -> (status: UInt, answer: String) {
        var configuration = HTTPClient.Configuration()
        // The signature covers the body, not the place: it goes nowhere else.
        configuration.redirectConfiguration = .disallow
        // Somebody waits at a terminal, and may try again.
        configuration.connectionPool.retryConnectionEstablishment = false
        if let ca {
            guard let authorities = try? NIOSSLCertificate.fromPEMFile(ca), !authorities.isEmpty else {
                throw StartFailure("\(ca) holds no certificate in PEM")
            }
            configuration.tlsConfiguration = .makeClientConfiguration()
            configuration.tlsConfiguration?.trustRoots = .certificates(authorities)
        }
        let client = HTTPClient(configuration: configuration)
        let result: Result<(UInt, String), any Error>
        do {
            let response = try await client.execute(request, timeout: .seconds(30))
            let answer = try await response.body.collect(upTo: 1 << 20)
            result = .success((response.status.code, String(buffer: answer)))
        } catch {
            result = .failure(StartFailure("no intake answers on \(request.url): \(ControlClient.words(for: error))"))
        }
        try await client.shutdown()
        return try result.get()
    }

    private func address(_ settings: DaemonSettings) async throws -> String {
        if let url {
            return if url.hasPrefix("unix:") { Self.url(unix: url.dropFirst(5)) } else { "\(url)/v1/events" }
        }
        let scheme = settings.intake.tls.isOn ? "https" : "http"
        switch settings.intake.listen {
        case .unix(let path): return Self.url(unix: path[...])
        case .ip(_, 0):
            // Only the daemon knows which one it was given.
            let status = try await settings.controlClient.status()
            let address = ListenAddress(status.intake).map { "\($0.fromHere)" } ?? status.intake
            return "\(scheme)://\(address)/v1/events"
        case .ip: return "\(scheme)://\(settings.intake.listen.fromHere)/v1/events"
        }
    }

    /// Whether nobody on the way to this place can read along.
    private static func isSafe(_ text: String) -> Bool {
        if text.hasPrefix("unix:/") { return true }
        // A user name would hide the host from who reads the URL.
        guard let url = URL(string: text), let host = url.host(), !host.isEmpty, url.user() == nil else { return false }
        switch url.scheme {
        case "https": return true
        case "http":
            // What ListenAddress takes for local is an address or localhost, never another name.
            let address = host.contains(":") && !host.hasPrefix("[") ? "[\(host)]" : host
            return ListenAddress("\(address):0")?.isLocal ?? false
        default: return false
        }
    }

    private static func url(unix path: Substring) -> String {
        "http+unix://\(ControlClient.encoded(String(path)))/v1/events"
    }

    private static func read(_ file: String) throws -> [UInt8] {
        let descriptor = file == "-" ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw unreadable(file) }
        defer { if descriptor != STDIN_FILENO { close(descriptor) } }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        defer { chunk.withUnsafeMutableBytes { $0.wipe() } }
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            guard count >= 0 else { throw unreadable(file) }
            guard count > 0 else { return bytes }
            bytes += chunk[..<count]
        }
    }

    private static func unreadable(_ file: String) -> StartFailure {
        StartFailure("\(file) cannot be read: \(String(cString: strerror(errno)))")
    }

    /// Puts the credential, with the password from stdin, behind the last member.
    private static func addPassword(to body: inout [UInt8]) throws {
        var bytes = try read("-")
        defer { bytes.withUnsafeMutableBytes { $0.wipe() } }
        let line = bytes.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }
        guard !line.isEmpty else { throw StartFailure("there is no password on stdin") }
        // Room for all of it at once: a body that grew would leave a copy behind.
        body.reserveCapacity(body.count + 2 * line.count + 64)
        body.removeLast()
        body += #","credential":{"type":"password","value":""#.utf8
        // A String would leave one, too.
        for byte in line {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): body += [UInt8(ascii: "\\"), byte]
            case 0..<0x20: throw StartFailure("the password on stdin holds a control character")
            default: body.append(byte)
            }
        }
        body += "\"}}".utf8
    }

    /// A hand-written envelope, with what every one has and this one may have left to us.
    private struct Envelope {
        let id: String
        let bytes: [UInt8]

        init(parsing text: [UInt8], from file: String, source settings: SourceSettings) throws {
            let name = file == "-" ? "the text on stdin" : file
            let value: JSONValue
            do {
                value = try JSONValue(parsing: text)
            } catch {
                throw StartFailure("\(name) is not JSON at byte \(error.offset): \(error.reason)")
            }
            guard case .object(var members) = value else { throw StartFailure("\(name) is no JSON object") }
            func fill(_ name: String, _ text: @autoclosure () -> String) {
                if !members.contains(where: { $0.name == name }) { members.append(.init(name, .string(text()))) }
            }
            fill("specversion", "1")
            fill("id", "send-\(String(UInt64.random(in: .min ... .max), radix: 36))")
            fill("time", "\(Daemon.now())")
            if !members.contains(where: { $0.name == "source" }) { members.append(.init("source", .object([]))) }
            if let index = members.firstIndex(where: { $0.name == "source" }),
                case .object(var source) = members[index].value
            {
                func fill(_ name: String, _ text: String?) {
                    guard let text, !source.contains(where: { $0.name == name }) else { return }
                    source.append(.init(name, .string(text)))
                }
                fill("instance", settings.instance)
                if case .only(let realms) = settings.realms, realms.count == 1 { fill("realmId", realms.first) }
                members[index].value = .object(source)
            }
            let complete = JSONValue.object(members)
            id = complete["id"]?.text ?? ""
            bytes = complete.bytes
        }
    }
}
