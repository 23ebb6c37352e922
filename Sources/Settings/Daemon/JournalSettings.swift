/// The store on disk that keeps what was accepted until it is delivered.
public struct JournalSettings: Hashable, Sendable {
    /// Only the daemon opens it; default `/var/lib/runtime-sync`.
    public var folder = "/var/lib/runtime-sync"
    /// The key ring that seals passwords and personal attributes; default `/etc/runtime-sync/journal.key`. Mode 0600,
    /// made at the first start. Without it what waits cannot be read any more, so back it up; elsewhere than the journal.
    public var keyFile = "/etc/runtime-sync/journal.key"
    /// With more events than this the intake answers 503; default 5,000,000. Each takes memory too, for its id: some 130
    /// bytes.
    public var maxEvents = 5_000_000
    /// With a larger file than this the intake answers 503; default 8 GiB.
    public var maxSize = ByteCount.gibibytes(8)
    /// So long the id of an accepted event is remembered, to notice it when it comes again; default 7 days.
    public var idWindow = Duration.seconds(7 * 86_400)

    public init() {}

    static let fields: [Field<Self>] = [
        .key("folder", \.folder, .path(), "Folder of the journal, on a local disk. Only the daemon opens it."),
        .key(
            "key_file", \.keyFile, .path(),
            "Key ring that seals passwords and personal attributes; mode 0600. Back it up apart from the journal."),
        .key(
            "max_events", \.maxEvents, .integer(1_000...1_000_000_000),
            "Events kept at most, those in id_window included; above it the intake answers 503."),
        .key(
            "max_size", \.maxSize, .size(.mebibytes(16)...(.tebibytes(16))),
            "Disk space used at most; above it the intake answers 503."),
        .key(
            "id_window", \.idWindow, .duration(.seconds(300)...(.seconds(366 * 86_400))),
            "How long event ids are remembered, to notice a repeated one. At least every source's max_event_age."),
    ]
}
