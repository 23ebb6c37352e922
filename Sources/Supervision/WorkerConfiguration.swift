internal import Glibc
internal import WorkerProtocol

/// Everything that one provider's worker is started with. It does not change; for new settings there is a new ``Worker``.
public struct WorkerConfiguration: Sendable {
    /// The provider's name.
    public var provider: String
    public var plugin: PluginFile
    /// JSON object: the provider's settings, checked, without files and secrets.
    public var settings: [UInt8]
    /// What the keys of format `file` and `secret` name, in any order.
    public var files: [WorkerFile] = []
    /// Where the worker may connect to.
    public var egress: [EgressRule] = []
    /// Addresses and ports where the daemon itself listens: no name of ``egress`` may lead there.
    public var ownListeners: [EgressRule] = []
    /// At most so many requests are outstanding at once (default: 256).
    public var window: UInt32 = 256
    /// Bytes of memory for data, stacks of threads included (default: 256 MiB; below 64 MiB plugins hang).
    public var dataBytes: UInt64 = 256 << 20
    /// Open descriptors (default: 256).
    public var descriptors: UInt32 = 256
    /// Lines that reach the log, a second and at once (default: 50); the rest is counted.
    public var logLines: UInt32 = 50
    /// Whether what the plugin writes to its standard output and error reaches the log (default: no, only how much).
    /// Such text is written without a thought for secrets: a library's trace, a crash message.
    public var showsOutput = false
    /// Whether the worker may serve without layers of the sandbox that this kernel does not have (default: no).
    public var isBestEffort = false
    /// Whether a forbidden system call kills the worker instead of failing (default: no).
    public var isStrict = false
    /// Use at most this Landlock ABI; 0 = the kernel's own. A switch for tests.
    public var landlockABICap: UInt32 = 0
    /// The user to become, if the daemon is root (default: the daemon's own).
    public var user: WorkerUser?
    /// Absolute path of `runtime-sync-worker` (default: beside the daemon's own executable).
    public var executable: String
    public var timing = WorkerTiming()

    public init(provider: String, plugin: PluginFile, settings: [UInt8] = Array("{}".utf8)) {
        self.provider = provider
        self.plugin = plugin
        self.settings = settings
        executable = Self.besideThisExecutable
    }

    /// The layers without which a worker is killed.
    var requiredLayers: SandboxLayers {
        if isBestEffort { return [] }
        return user == nil ? .floor : SandboxLayers.floor.union(.user)
    }

    private static let besideThisExecutable: String = {
        let path = String(unsafeUninitializedCapacity: Int(PATH_MAX)) { path in
            path.withMemoryRebound(to: CChar.self) { path in
                path.baseAddress.map { max(readlink("/proc/self/exe", $0, path.count), 0) } ?? 0
            }
        }
        let folder = path.lastIndex(of: "/").map { path[..<$0] } ?? "."
        return "\(folder)/runtime-sync-worker"
    }()
}

/// A file that a plugin gets as an open descriptor.
public struct WorkerFile: Sendable {
    /// The settings key.
    public var key: String
    /// Open for reading; best a sealed copy, so that nobody can change it meanwhile.
    public var descriptor: Descriptor
    /// Whether its contents may not be repeated (default: no).
    public var isSecret: Bool

    public init(key: String, descriptor: Descriptor, isSecret: Bool = false) {
        self.key = key
        self.descriptor = descriptor
        self.isSecret = isSecret
    }
}

/// A user of the system that a worker becomes.
public struct WorkerUser: Hashable, Sendable {
    public var user: UInt32
    public var group: UInt32

    public init(user: UInt32, group: UInt32) {
        self.user = user
        self.group = group
    }
}
