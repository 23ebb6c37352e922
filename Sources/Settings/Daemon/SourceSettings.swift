public import EventModel

/// Who may post events, and what they may say. What is not listed here is refused.
public struct SourceSettings: Hashable, Sendable {
    /// As it stands in lists and logs.
    public var name = ""
    /// The Keycloak installation whose users this source speaks of; part of every subject's key.
    public var instance = ""
    /// Ids of realms, or names where the source knows no ids. Required.
    public var realms = Allowed<String>.only([])
    /// Kinds of events. Required.
    public var kinds = Allowed<EventKind>.only([])
    /// Whether its events may carry a password; default `false`.
    public var mayCarryPassword = false
    /// One secret, or two while one is being replaced; each signs.
    public var secrets: [SecretSource] = []
    /// Older events are refused; default 7 days.
    public var maxEventAge = Duration.seconds(7 * 86_400)
    /// Users (uid) that need no signature on the intake's Unix socket; nobody by default.
    public var unsignedPeerUIDs: [Int] = []

    public init() {}

    static let fields: [Field<Self>] = [
        .key(
            "name", \.name, .name, "As it stands in lists and logs; every source has its own.", isRequired: true,
            variable: ""),
        .key(
            "instance", \.instance, .text("a text, such as prod"),
            "The Keycloak installation whose users this source speaks of. Changing it later makes them other users.",
            isRequired: true),
        .key(
            "realms", \.realms, .allowed(.text("the id of a realm"), "realms", "[corp]"),
            "Realms that it may speak of, by `realmId` as its events have it: Keycloak's id of the realm, not its name.",
            isRequired: true),
        .key(
            "kinds", \.kinds, .allowed(.kind, "kinds of events", "[password.updated, profile.updated]"),
            "Kinds of events that it may post.", isRequired: true),
        .key("may_carry_password", \.mayCarryPassword, .flag, "Whether its events may carry a password."),
        .key(
            "secrets", \.secrets,
            .list(of: .secret, "a list of one or two, each \(Syntax<SecretSource>.secretAccepts)"),
            "What its requests are signed with; a second one while the first is being replaced. At least 24 bytes each."
        ),
        .key(
            "max_event_age", \.maxEventAge, .duration(.seconds(60)...(.seconds(366 * 86_400))),
            "Older events are refused. At most journal.id_window."),
        .key(
            "unsigned_peer_uids", \.unsignedPeerUIDs, .uids,
            "Users (uid) that need no signature; on a Unix socket only."),
    ]
}

/// What is allowed: some, or all because somebody wrote so.
public enum Allowed<Element: Hashable & Sendable>: Hashable, Sendable {
    /// `["*"]` was written.
    case all
    case only(Set<Element>)

    public func contains(_ element: Element) -> Bool {
        switch self {
        case .all: true
        case .only(let allowed): allowed.contains(element)
        }
    }
}

extension Syntax {
    /// A list that is not empty, or `["*"]`. Nothing is allowed by leaving it out, so that nothing is by accident.
    static func allowed<Element>(_ element: Syntax<Element>, _ what: String, _ example: String) -> Self
    where Value == Allowed<Element> {
        let list = Syntax<[Element]>.list(of: element)
        let accepts = "a list of \(what) such as \(example), or [\"*\"] for all"
        return Self(
            accepts: accepts, shape: .list,
            read: { node, reader in
                if node.elements?.contains(where: { $0.text == "*" }) == true {
                    guard node.elements?.count == 1 else {
                        reader.refuse(node, "has \"*\" beside others", accepts: accepts)
                        return nil
                    }
                    return .all
                }
                guard let elements = list.read(node, &reader) else { return nil }
                guard node.elements?.isEmpty == false else {
                    reader.refuse(node, "is empty, which would allow nothing", accepts: accepts)
                    return nil
                }
                return .only(Set(elements))
            },
            write: { value in
                switch value {
                case .all: "[\"*\"]"
                case .only(let elements): "[\(elements.map(element.write).sorted().joined(separator: ", "))]"
                }
            })
    }
}

extension Syntax<EventKind> {
    static let kind: Self = {
        let names = EventKind.allCases.map(\.name)
        return Syntax(
            accepts: names.joined(separator: ", "), shape: .word,
            read: { node, reader in
                if let kind = node.text.flatMap({ EventKind(name: $0) }) { return kind }
                reader.refuse(
                    node, "is not a kind of event", accepts: names.joined(separator: ", "),
                    hint: node.text.flatMap { NearestName.hint($0, among: names) })
                return nil
            }, write: \.name)
    }()
}
