public import EventModel

/// The settings of one provider: one target, served by one plugin. They stand in a file of their own, whose name is the
/// provider's. Paths are absolute.
public struct ProviderSettings: Hashable, Sendable {
    /// How far a provider goes.
    public enum Mode: String, Hashable, Sendable, CaseIterable {
        /// It delivers.
        case active
        /// It decides and records everything, and sends nothing.
        case observe
    }

    /// Whom notifications are about.
    public enum Notify: String, Hashable, Sendable, CaseIterable {
        /// Users whose changes this provider gets.
        case eligible
        /// Everybody: for feeds.
        case all
    }

    /// Whether a user needs the external-id attribute.
    public enum ExternalID: String, Hashable, Sendable, CaseIterable {
        /// Without it nothing is sent.
        case required
        /// The plugin finds the account by other means.
        case optional
    }

    /// The file's name without `.yaml`.
    public var name: String
    /// The file, as the loader found it.
    public var file: String
    /// Why the file cannot be read; `nil` if it can. Of a file that cannot, nothing is known but the provider's name, so
    /// everything may be meant for it.
    public private(set) var unreadable: String?
    /// The plugin's name, such as `LDAPPassword`. Required.
    public var plugin = ""
    /// Default `true`. Off, its deliveries are skipped.
    public var isEnabled = true
    /// Default ``Mode/active``.
    public var mode = Mode.active
    /// The user types that it serves. Required.
    public var userTypes = Allowed<String>.only([])
    /// The kinds that it gets; all, the default: those that its plugin can deliver.
    public var kinds = Allowed<EventKind>.all
    /// Default ``Notify/eligible``.
    public var notify = Notify.eligible
    /// Default ``ExternalID/required``.
    public var externalID = ExternalID.required
    /// Which attributes of the target are written from what; none by default.
    public var mapping: [AttributeMapping] = []
    /// Default: the daemon's.
    public var retry: RetrySettings
    /// So long one delivery may take; default 30 s. Afterwards its end is unknown.
    public var deadline = Duration.seconds(30)
    /// Deliveries under way at once; default: what the plugin's manifest says, or 64.
    public var inFlight = 64
    static let inFlightLimits = 1...4_096
    public var limits = ProviderLimits()
    /// Hosts and ports that it may connect to, besides those of the URLs in its own settings.
    public var egress: [HostPort] = []
    /// Where each key stands, for rules that are checked against the plugin's manifest.
    var places: [String: SettingsPlace] = [:]
    /// The plugin's own settings as they were written, until ``SettingsLoader/resolve(_:against:)`` checks them.
    var settings: SettingsNode

    init(name: String, file: String, retry: RetrySettings) {
        self.name = name
        self.file = file
        self.retry = retry
        settings = .empty(at: .file(file, line: 1, column: 1))
    }

    /// A provider of whose file nothing is known but the name.
    init(name: String, unreadable file: String, because reason: String, retry: RetrySettings) {
        self.init(name: name, file: file, retry: retry)
        unreadable = reason
        userTypes = .all
        notify = .all
        externalID = .optional
    }

    /// The plugin's library, in one of the plugin folders.
    public var libraryName: String { "lib\(plugin).so" }

    /// The default that the plugin brings counts for what is not written.
    func withDefaults(of manifest: PluginManifest) -> Self {
        guard let inFlight = manifest.inFlight, places["in_flight"] == nil else { return self }
        var settings = self
        settings.inFlight = inFlight
        return settings
    }

    static let fields: [Field<Self>] = [
        .key(
            "plugin", \.plugin, .plugin,
            "The plugin: LDAPPassword stands for libLDAPPassword.so in the plugin folders.",
            isRequired: true),
        .key("enabled", \.isEnabled, .flag, "Whether anything is delivered. Off, deliveries are skipped and counted."),
        .key("mode", \.mode, .oneOf, "observe decides and records everything, and sends nothing."),
        .key(
            "user_types", \.userTypes, .allowed(.text("a user type"), "user types", "[employee]"),
            "Users of these types are served.", isRequired: true),
        .key(
            "kinds", \.kinds, .allowed(.kind, "kinds of events", "[password.updated]"),
            "Kinds of events that it gets. All: those that the plugin can deliver."),
        .key(
            "notify", \.notify, .oneOf, "Whom notifications are about: users that it serves, or everybody (for feeds)."),
        .key(
            "external_id", \.externalID, .oneOf,
            "Whether users need the external-id attribute; optional if the plugin finds accounts by other means."),
        .key("mapping", \.mapping, .mapping, "What is written to the target: its attribute, and where it comes from."),
        .section(
            "retry", \.retry, RetrySettings.fields, "How failed deliveries are repeated. Absent: as the daemon's."),
        .key(
            "deadline", \.deadline, .duration(.milliseconds(100)...(.seconds(600))),
            "How long one delivery may take. Afterwards its end counts as unknown."),
        .key(
            "in_flight", \.inFlight, .integer(inFlightLimits),
            "Deliveries under way at once, each for another user. Those that the plugin's connections do not take wait in "
                + "it, while their deadline runs. A plugin may bring a default of its own."),
        .section("limits", \.limits, ProviderLimits.fields, "What the plugin's process may use."),
        .key(
            "egress", \.egress, .list(of: .hostPort, "a list, each HOST:PORT"),
            "Hosts that the plugin may connect to, besides those of the URLs in its settings."),
        .tree("settings", \.settings, "The plugin's own settings."),
    ]
}

/// What a plugin's process may use. A plugin that wants more fails, and nothing else does.
public struct ProviderLimits: Hashable, Sendable {
    /// Data segment and private mappings (RLIMIT_DATA); default 256 MiB.
    public var memory = ByteCount.mebibytes(256)
    /// Open files and connections (RLIMIT_NOFILE); default 256.
    public var descriptors = 256
    /// Lines a second that reach the daemon's log; more are dropped and counted. Default 100.
    public var logLinesPerSecond = 100

    public init() {}

    static let fields: [Field<Self>] = [
        .key(
            "memory", \.memory, .size(.mebibytes(8)...(.gibibytes(64))), "Memory of the plugin's process (RLIMIT_DATA)."
        ),
        .key(
            "descriptors", \.descriptors, .integer(16...65_536), "Open files and connections (RLIMIT_NOFILE)."),
        .key(
            "log_lines_per_second", \.logLinesPerSecond, .integer(1...100_000),
            "Lines a second that reach the daemon's log; more are dropped and counted."),
    ]
}

extension Syntax<String> {
    /// A plugin's name is part of a file name and nothing more, so it cannot lead out of the plugin folders.
    static let plugin = text("a plugin's name, such as LDAPPassword: letters, digits and _, beginning with a letter")
        .checked(
            "a plugin's name, such as LDAPPassword: letters, digits and _, beginning with a letter",
            "is not a plugin's name", isPluginName)

    @Sendable static func isPluginName(_ name: String) -> Bool {
        name.utf8.count <= 63 && name.first.map { $0.isASCII && $0.isLetter } == true
            && name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
    }
}

extension Syntax<HostPort> {
    static let hostPort = word(
        "HOST:PORT such as ldap.corp.example:636 or [2001:db8::7]:389", "is not a host and a port",
        parse: { HostPort($0) }, write: { YAMLScalar.write("\($0)") })
}

extension Field {
    /// A mapping that is kept as it stands, because a plugin says what may be in it.
    static func tree(
        _ name: String, _ property: any WritableKeyPath<Root, SettingsNode> & Sendable, _ about: String
    ) -> Self {
        Self(
            name: name, about: about, isRequired: false,
            read: { node, reader, root in
                guard node.entries != nil else {
                    reader.refuse(shapeOf: node, "is not a mapping", accepts: "the keys of the plugin")
                    return
                }
                root[keyPath: property] = node
            },
            describe: { _ in
                KeyDescription(
                    name: name, about: about, accepts: "what the plugin's manifest describes", isRequired: false,
                    defaultText: "{}", variable: nil, shape: .yaml, children: [], isRecordList: false)
            })
    }
}
