public import EventModel
public import WorkerProtocol

/// Hears what happens to a worker. Every call is made on the worker's event loop and must be cheap: others wait.
public protocol WorkerDelegate: AnyObject, Sendable {
    /// The worker of this generation takes requests from now on.
    func workerIsReady(generation: UInt64, _ ready: WorkerReady)

    /// The worker of this generation is over. Everything that it completed has been told; of whatever else it was sent,
    /// nobody knows how far it came. Also told if it had never become ready.
    func workerIsLost(generation: UInt64, _ loss: WorkerLoss)

    /// Requests have ended: all that came at once. A plugin may lie: an id may be nobody's.
    func workerCompleted(generation: UInt64, _ requests: [CompletedRequest])

    /// The plugin adds to one of its counters.
    func workerCounted(_ name: String, _ delta: Int64)
}

/// One request that a plugin has ended.
public struct CompletedRequest: Hashable, Sendable {
    public var id: UInt64
    public var completion: Completion

    public init(id: UInt64, _ completion: Completion) {
        self.id = id
        self.completion = completion
    }
}
