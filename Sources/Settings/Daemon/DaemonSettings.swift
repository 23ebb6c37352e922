/// The settings of the daemon, as `config/runtime-sync.yaml` and the environment give them. A fresh value holds the
/// defaults. Paths are absolute.
public struct DaemonSettings: Hashable, Sendable {
    /// Whether events are delivered at all; default `true`. Off, they are accepted and skipped.
    public var isEnabled = true
    /// Default ``SandboxRequirement/required``.
    public var sandbox = SandboxRequirement.required
    public var journal = JournalSettings()
    public var intake = IntakeSettings()
    public var control = ControlSettings()
    public var plugins = PluginSettings()
    public var providers = ProvidersSettings()
    public var targeting = TargetingSettings()
    /// Who may post events; nobody by default.
    public var sources: [SourceSettings] = []
    /// For providers that do not say otherwise.
    public var retry = RetrySettings()
    public var shutdown = ShutdownSettings()
    public var log = LogSettings()

    public init() {}

    static let fields: [Field<Self>] = [
        .key(
            "enabled", \.isEnabled, .flag, "Whether changes are delivered at all. Off, events are accepted and skipped."
        ),
        .key(
            "sandbox", \.sandbox, .oneOf,
            "What to do when the kernel lacks a layer of the plugins' sandbox: refuse to start, or go on and say so."),
        .section("journal", \.journal, JournalSettings.fields, "The store on disk that keeps what was accepted."),
        .section("intake", \.intake, IntakeSettings.fields, "Where sources post their events."),
        .records(
            "sources", \.sources, SourceSettings.fields, each: SourceSettings(), "Who may post events: nobody else."),
        .section(
            "targeting", \.targeting, TargetingSettings.fields, "Which attributes decide where a user's changes go."),
        .section("providers", \.providers, ProvidersSettings.fields, "The targets, one file each."),
        .section(
            "plugins", \.plugins, PluginSettings.fields, "The libraries that serve the targets, and their workers."),
        .section("retry", \.retry, RetrySettings.fields, "How failed deliveries are repeated; providers may differ."),
        .section("control", \.control, ControlSettings.fields, "How the command line talks to the daemon."),
        .section("shutdown", \.shutdown, ShutdownSettings.fields, "How the daemon stops."),
        .section("log", \.log, LogSettings.fields, "What the daemon writes to its log."),
    ]
}

/// What to do when the kernel lacks a layer of the sandbox.
public enum SandboxRequirement: String, Hashable, Sendable, CaseIterable {
    /// Refuse to start.
    case required
    /// Go on with the layers there are, and list the missing ones.
    case bestEffort = "best-effort"
}

/// Where the command line talks to the daemon.
public struct ControlSettings: Hashable, Sendable {
    /// The Unix socket, mode 0600; default `/run/runtime-sync/control.sock`.
    public var socket = "/run/runtime-sync/control.sock"

    public init() {}

    static let fields: [Field<Self>] = [
        .key("socket", \.socket, .path(), "Unix socket; only the daemon's own user and root may connect.")
    ]
}

/// How the daemon stops.
public struct ShutdownSettings: Hashable, Sendable {
    /// So long it waits for deliveries in flight; default 10 s. What is not done by then goes on after the next start.
    public var drain = Duration.seconds(10)

    public init() {}

    static let fields: [Field<Self>] = [
        .key(
            "drain", \.drain, .duration(.zero ... .seconds(600)),
            "How long to wait for deliveries in flight. The others go on after the next start.")
    ]
}

/// What the daemon writes to its log.
public struct LogSettings: Hashable, Sendable {
    /// How much.
    public enum Level: String, Hashable, Sendable, CaseIterable {
        case debug, info, notice, warning, error
    }

    /// How a line looks.
    public enum Format: String, Hashable, Sendable, CaseIterable {
        /// For people.
        case text
        /// One JSON object a line, for machines.
        case json
    }

    /// Default ``Level/info``.
    public var level = Level.info
    /// Default ``Format/text``.
    public var format = Format.text

    public init() {}

    static let fields: [Field<Self>] = [
        .key("level", \.level, .oneOf, "The least important lines that are written."),
        .key("format", \.format, .oneOf, "Lines for people, or one JSON object a line."),
    ]
}
