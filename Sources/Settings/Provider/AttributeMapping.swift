/// What one attribute of the target is written from.
public struct AttributeMapping: Hashable, Sendable {
    /// The attribute's name at the target.
    public var target: String
    public var source: AttributeSource
    /// Default ``SyncMode/legacy``.
    public var syncMode: SyncMode

    public init(target: String, source: AttributeSource, syncMode: SyncMode = .legacy) {
        self.target = target
        self.source = source
        self.syncMode = syncMode
    }
}

/// Where an attribute's value comes from: a field of the Keycloak user, or one of the user's attributes.
public enum AttributeSource: Hashable, Sendable {
    case username
    case email
    case firstName
    case lastName
    /// Written `attributes.NAME`; all its values.
    case attribute(String)

    /// - Returns: `nil` if the text names no such source.
    public init?(_ text: some StringProtocol) {
        switch text {
        case "username": self = .username
        case "email": self = .email
        case "firstName": self = .firstName
        case "lastName": self = .lastName
        default:
            guard let name = text.afterPrefix("attributes."), !name.isEmpty else { return nil }
            self = .attribute(String(name))
        }
    }
}

/// What a later sync does to an attribute that was written before.
public enum SyncMode: String, Hashable, Sendable, CaseIterable {
    /// As before there were modes: every change is written.
    case legacy
    /// Written once, then left alone.
    case `import`
    /// Written as long as nobody else changed it.
    case owner
    /// Every change is written, removals too.
    case force
    /// As the provider says.
    case inherit

    /// The modes that this version carries out.
    static let carriedOut: Set<Self> = [.legacy, .force]
}

extension Syntax<[AttributeMapping]> {
    private static let accepts =
        "TARGET: SOURCE or TARGET: {from: SOURCE, sync_mode: force}, with email, username, firstName, lastName or "
        + "attributes.NAME for SOURCE"

    static let mapping = Syntax(
        accepts: accepts, shape: .yaml,
        read: { node, reader in
            guard let entries = node.entries else {
                reader.refuse(shapeOf: node, "is not a mapping", accepts: accepts)
                return nil
            }
            return entries.compactMap { entry in
                reader.descend(entry.key) { reader in
                    reader.remember(entry.place)
                    return read(entry, &reader)
                }
            }
        },
        write: { mappings in
            "{\(mappings.map { "\($0.target): \($0.source)" }.joined(separator: ", "))}"
        })

    private static func read(_ entry: SettingsNode.Entry, _ reader: inout SettingsReader) -> AttributeMapping? {
        var written = WrittenMapping()
        if entry.value.text != nil || entry.value.isNothing {
            written.from = AttributeSource.syntax.read(entry.value, &reader) ?? nil
        } else {
            Field<WrittenMapping>.read(WrittenMapping.fields, from: entry.value, &reader, into: &written)
        }
        guard let source = written.from else { return nil }
        guard SyncMode.carriedOut.contains(written.syncMode) else {
            reader.descend("sync_mode") { reader in
                reader.refuse(
                    key: reader.key, "comes with a later version", held: "\"\(written.syncMode.rawValue)\"",
                    accepts: "legacy or force for now")
            }
            return nil
        }
        return AttributeMapping(target: entry.key, source: source, syncMode: written.syncMode)
    }

    /// The long form, while it is read.
    private struct WrittenMapping: Sendable {
        var from: AttributeSource?
        var syncMode = SyncMode.legacy

        static let fields: [Field<Self>] = [
            .key("from", \.from, AttributeSource.syntax, "Where the value comes from.", isRequired: true),
            .key("sync_mode", \.syncMode, .oneOf, "What a later sync does."),
        ]
    }
}

extension AttributeSource: CustomStringConvertible {
    /// As it is written in the settings.
    public var description: String {
        switch self {
        case .username: "username"
        case .email: "email"
        case .firstName: "firstName"
        case .lastName: "lastName"
        case .attribute(let name): "attributes.\(name)"
        }
    }

    fileprivate static let syntax = Syntax<AttributeSource?>(
        accepts: "email, username, firstName, lastName or attributes.NAME", shape: .text,
        read: { node, reader in
            if let source = node.text.flatMap({ AttributeSource($0) }) { return source }
            reader.refuse(
                node, "is not a source of values", accepts: "email, username, firstName, lastName or attributes.NAME",
                hint: node.text.map { text in
                    NearestName.hint(text, among: ["email", "username", "firstName", "lastName"])
                        ?? "an attribute of the user is written `attributes.\(text)`"
                })
            return nil
        },
        write: { $0.map { "\($0)" } ?? "" })
}
