internal import CWorkerProtocol
public import EventModel
public import NIOCore

/// What a worker says to the daemon.
public enum WorkerFrame: Hashable, Sendable {
    /// It is locked down, and the plugin is loaded.
    case ready(WorkerReady)
    /// The plugin has started; or it refuses to, and says why.
    case started(refusal: String?)
    /// A request has ended.
    case done(id: UInt64, Completion)
    /// A line for the log, as it came: only one that is taken is worth ``Redactor/words(_:atMost:)``.
    case log(PluginLogLevel, ByteBuffer)
    /// Adds `delta` to a counter of this provider.
    case metric(name: String, delta: Int64)
    case pong
    /// The worker gives up, and exits.
    case failed(WorkerStage, String)
}

/// How a worker is locked down, and which contract its plugin was built against.
public struct WorkerReady: Hashable, Sendable {
    /// As the worker sees itself.
    public var pid: UInt32
    /// The Landlock ABI in force; 0 = none.
    public var landlockABI: UInt32
    public var layers: SandboxLayers
    public var pluginABIMajor: UInt32
    public var pluginABIMinor: UInt32

    public init(
        pid: UInt32, landlockABI: UInt32, layers: SandboxLayers, pluginABIMajor: UInt32, pluginABIMinor: UInt32
    ) {
        self.pid = pid
        self.landlockABI = landlockABI
        self.layers = layers
        self.pluginABIMajor = pluginABIMajor
        self.pluginABIMinor = pluginABIMinor
    }
}

/// How much a plugin's log line matters; `rts_log_level` of the plugin header.
public enum PluginLogLevel: UInt32, Hashable, Sendable, CaseIterable {
    case debug = 0
    case info = 1
    case warning = 2
    case error = 3
}

/// Where a worker gave up; `rtw_stage`.
public enum WorkerStage: UInt32, Hashable, Sendable, CaseIterable {
    /// A layer of the sandbox that is required could not be put in force.
    case lockdown = 1
    /// The plugin could not be loaded, or was built for another contract.
    case load = 2
    /// The daemon sent something that is not a frame.
    case `protocol` = 3
}

/// The layers of the sandbox; `rtw_layer`.
public struct SandboxLayers: OptionSet, Hashable, Sendable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    private init(_ layer: rtw_layer) {
        rawValue = layer.rawValue
    }

    /// Memory, descriptors, file sizes, cores.
    public static let limits = Self(RTW_LAYER_LIMITS)
    public static let noNewPrivileges = Self(RTW_LAYER_NO_NEW_PRIVS)
    public static let capabilities = Self(RTW_LAYER_CAPABILITIES)
    public static let landlock = Self(RTW_LAYER_LANDLOCK)
    public static let seccomp = Self(RTW_LAYER_SECCOMP)
    /// No memory is both written and executed (kernel 6.3 and later).
    public static let memoryDenyWriteExecute = Self(RTW_LAYER_MDWE)
    /// A user of the worker's own.
    public static let user = Self(RTW_LAYER_UID)

    /// Without these a worker does not serve, unless the settings say `sandbox: best-effort`.
    public static let floor: Self = [.limits, .noNewPrivileges, .capabilities, .landlock, .seccomp]

    /// The names in lists and logs, in the order in which the worker puts the layers in force.
    public var names: [String] {
        let all: [(Self, String)] = [
            (.limits, "limits"), (.user, "user"), (.noNewPrivileges, "no-new-privileges"),
            (.capabilities, "capabilities"), (.memoryDenyWriteExecute, "mdwe"), (.landlock, "landlock"),
            (.seccomp, "seccomp"),
        ]
        return all.filter { contains($0.0) }.map(\.1)
    }
}
