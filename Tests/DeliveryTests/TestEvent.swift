import EventModel

/// An event as a source would post it.
struct TestEvent {
    var id: String
    var kind = EventKind.passwordUpdated
    var user: String? = "u1"
    var password: String?
    var isTemporary = false
    var node: String? = "kc-0"
    var sequence: UInt64? = 1
    /// When its state became true; `nil` = it has no version.
    var at: Timestamp?
    var syncEnabled: String? = "true"
    var userType: String? = "employee"
    var externalID: String? = "E-1"
    var email: String?

    func body(now: Timestamp) -> [UInt8] {
        var subject: [JSONValue.Member] = []
        if let user { subject.append(.init("id", .string(user))) }
        if let email { subject.append(.init("email", .string(email))) }
        var attributes: [JSONValue.Member] = []
        for (name, value) in [("syncEnabled", syncEnabled), ("userType", userType), ("externalId", externalID)] {
            if let value { attributes.append(.init(name, .array([.string(value)]))) }
        }
        subject.append(.init("attributes", .object(attributes)))
        var version: [JSONValue.Member] = [.init("at", .string((at ?? now).description))]
        if let node { version.append(.init("node", .string(node))) }
        if let sequence { version.append(.init("sequence", .number("\(sequence)"))) }
        var members: [JSONValue.Member] = [
            .init("specversion", .string("1")), .init("id", .string(id)), .init("kind", .string(kind.name)),
            .init("time", .string(now.description)),
            .init("source", .object([.init("instance", .string("prod")), .init("realmId", .string("corp"))])),
            .init("subject", .object(subject)), .init("version", .object(version)),
        ]
        if let password {
            members.append(
                .init(
                    "credential",
                    .object([
                        .init("type", .string("password")), .init("value", .string(password)),
                        .init("temporary", .boolean(isTemporary)),
                    ])))
        }
        return JSONValue.object(members).bytes
    }
}
