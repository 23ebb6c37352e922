public import WorkerProtocol

/// What there is to say about a provider's worker at one moment, for `plugins list` and `providers list`.
public struct WorkerStatus: Hashable, Sendable {
    public enum State: String, Hashable, Sendable {
        case idle, starting, running, stopping, ending
        /// Lost; the next start comes after a while.
        case waiting
    }

    public var state = State.idle
    /// Counts the processes; 0 before the first.
    public var generation: UInt64 = 0
    /// Of the process that there is.
    public var pid: Int32?
    /// How the present worker is locked down, or the last one was; `nil` before the first READY.
    public var sandbox: WorkerReady?
    /// Why the last worker was lost.
    public var lastLoss: WorkerLoss?
    /// Lookups and connections that were not in the settings, since the daemon started.
    public var refusedEgress: UInt64 = 0
    /// Log lines and metrics that were too many, since the daemon started.
    public var droppedLines: UInt64 = 0
    /// Bytes that the plugin wrote to its standard output and error, since the daemon started.
    public var outputBytes: UInt64 = 0

    public init() {}
}
