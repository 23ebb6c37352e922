internal import Credentials
internal import EventModel
internal import Glibc
internal import Synchronization

/// An event as a source would post it: by default, a change of the password of the user `u1`, who wants to be in sync.
struct Event {
    var id = Event.newID()
    let time = Event.now
    var kind = EventKind.passwordUpdated
    var instance = "prod"
    var realm = "corp"
    /// The user's id at the source; `nil`: the event is about nobody.
    var user: String? = "u1"
    var attributes: [String: [String]] = [:]
    /// Members of the subject beside its id and attributes, such as `email`.
    var profile: [String: String] = [:]
    /// Whether it says that the subject has nothing else.
    var isComplete = false
    var password: String?
    var version: (node: String, sequence: Int)?
    /// Members to add, or to put in the place of others.
    var more: [String: JSONValue] = [:]

    /// A user `user` whose account at the targets has the same name.
    init(_ kind: EventKind = .passwordUpdated, of user: String? = "u1", password: String? = nil) {
        self.kind = kind
        self.user = user
        self.password = password
        if let user { attributes = ["syncEnabled": ["true"], "userType": ["employee"], "externalId": [user]] }
    }

    var json: JSONValue {
        var members: [String: JSONValue] = [
            "specversion": .string("1"), "id": .string(id), "kind": .string(kind.name),
            "time": .string("\(time)"),
            "source": .object([.init("instance", .string(instance)), .init("realmId", .string(realm))]),
        ]
        if let user {
            let attributes = attributes.sorted { $0.key < $1.key }.map { name, values in
                JSONValue.Member(name, .array(values.map { .string($0) }))
            }
            members["subject"] = .object(
                [.init("id", .string(user)), .init("attributes", .object(attributes))]
                    + profile.map { .init($0.key, .string($0.value)) }
                    + (isComplete ? [.init("complete", .boolean(true))] : []))
        }
        if let password {
            members["credential"] = .object([
                .init("type", .string("password")), .init("value", .string(password)),
            ])
        }
        if let version {
            members["version"] = .object([
                .init("at", .string("\(time)")), .init("node", .string(version.node)),
                .init("sequence", .number("\(version.sequence)")),
            ])
        }
        members.merge(more) { _, other in other }
        return .object(members.sorted { $0.key < $1.key }.map { .init($0.key, $0.value) })
    }

    var bytes: [UInt8] { json.bytes }

    private static let count = Atomic(0)

    private static func newID() -> String {
        "event-\(count.add(1, ordering: .relaxed).newValue)"
    }

    static var now: Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(milliseconds: Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000)
    }
}

/// A secret that a source signs with, and a file for the daemon that holds it.
struct Signer: Sendable {
    let text: String
    private let signature: WebhookSignature

    /// With a new secret.
    init() throws {
        try self.init("whsec_" + Base64Text.encode((0..<32).map { _ in UInt8.random(in: .min ... .max) }))
    }

    /// With a secret as a file holds it.
    init(_ text: String) throws {
        self.text = text
        signature = WebhookSignature(
            current: try Array(text.utf8).withUnsafeBytes { try WebhookSecret(parsing: $0) })
    }

    /// A whole request.
    ///
    /// - Parameters:
    ///   - type: the content type.
    ///   - age: how many seconds ago it was signed.
    func request(
        _ body: [UInt8], type: String = "application/json", age: Int64 = 0, method: String = "POST",
        path: String = "/v1/events"
    ) -> [UInt8] {
        let seconds = Event.now.milliseconds / 1_000 - age
        let value = body.withUnsafeBytes { signature.sign(id: "message", timestamp: seconds, body: $0) }
        return Self.unsigned(
            body, type: type, method: method, path: path,
            headers: "webhook-id: message\r\nwebhook-timestamp: \(seconds)\r\nwebhook-signature: \(value)\r\n")
    }

    /// A request without a signature.
    static func unsigned(
        _ body: [UInt8], type: String = "application/json", method: String = "POST", path: String = "/v1/events",
        headers: String = ""
    ) -> [UInt8] {
        let head =
            "\(method) \(path) HTTP/1.1\r\nHost: intake\r\nContent-Type: \(type)\r\n\(headers)"
            + "Content-Length: \(body.count)\r\n\r\n"
        return Array(head.utf8) + body
    }
}

/// Base64 (RFC 4648), for what is not secret here.
enum Base64Text {
    static func encode(_ bytes: [UInt8]) -> String {
        let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var text: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let part = bytes[start..<min(start + 3, bytes.count)]
            let value = part.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - part.count))
            for index in 0..<4 {
                text.append(index <= part.count ? digits[value >> (18 - 6 * index) & 63] : UInt8(ascii: "="))
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}
