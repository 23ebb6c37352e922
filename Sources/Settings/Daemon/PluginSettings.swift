/// The libraries that serve the targets, and the processes that hold them.
public struct PluginSettings: Hashable, Sendable {
    /// Where `libNAME.so` is looked for, in this order; empty, the default: the daemon's own folder.
    public var folders: [String] = []
    /// The worker's executable; empty, the default: `runtime-sync-worker` in the daemon's own folder.
    public var worker = ""
    /// Whom workers run as when the daemon is started by root.
    public var workerUser: WorkerUser?
    /// Uses at most this Landlock ABI, as if the kernel had no newer one; 0, the default: the kernel's own. For tests.
    public var landlockABICap = 0

    public init() {}

    static let fields: [Field<Self>] = [
        .key(
            "folders", \.folders, .list(of: .path(), "a list of paths"),
            "Folders in which plugins are looked for, in this order. Empty: the daemon's own."),
        .key(
            "worker", \.worker, .path("a path, or empty", mayBeEmpty: true),
            "The worker's executable. Empty: runtime-sync-worker beside the daemon."),
        .key(
            "worker_user", \.workerUser, .workerUser,
            "User and group ids of the workers when the daemon runs as root. Empty: the daemon's own."),
        .key(
            "landlock_abi_cap", \.landlockABICap, .integer(0...7),
            "Acts as if the kernel had this Landlock ABI at most. 0: its own. For tests."),
    ]
}

/// A user and a group by number.
public struct WorkerUser: Hashable, Sendable {
    public var uid: UInt32
    public var gid: UInt32

    public init(uid: UInt32, gid: UInt32) {
        self.uid = uid
        self.gid = gid
    }

    /// Reads `UID:GID`. Root is refused: a worker that runs as root is no guest.
    init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let uid = UInt32(parts[0]), let gid = UInt32(parts[1]), uid > 0, gid > 0,
            uid < .max, gid < .max
        else { return nil }
        self.init(uid: uid, gid: gid)
    }
}

extension Syntax<WorkerUser?> {
    static let workerUser = Syntax(
        accepts: "UID:GID such as 998:998, neither 0, or empty", shape: .text,
        read: { node, reader in
            if node.text == "" { return .some(nil) }
            if let user = node.text.flatMap({ WorkerUser($0) }) { return user }
            reader.refuse(node, "is not a user and a group", accepts: "UID:GID such as 998:998, neither 0, or empty")
            return nil
        },
        write: { user in user.map { "\($0.uid):\($0.gid)" } ?? "\"\"" })
}

/// The targets, one file each.
public struct ProvidersSettings: Hashable, Sendable {
    /// Holds one `NAME.yaml` for each provider; default `providers` beside the settings file.
    public var folder = "providers"

    public init() {}

    static let fields: [Field<Self>] = [
        .key(
            "folder", \.folder, .path(),
            "Folder with one NAME.yaml for each provider; a relative one starts at this file's folder.")
    ]
}
