public import Logging
public import NIOCore
internal import Synchronization
internal import WorkerProtocol

/// One provider's sandboxed process: it is started, watched, and started again when it is lost.
///
/// A `Worker` outlives its processes; each has a *generation*, and what is said to one never reaches the next. All
/// methods may be called from any thread. Before the last reference goes, call ``stop(patience:)``.
public final class Worker: Sendable {
    private let eventLoop: any EventLoop
    private let life: NIOLoopBoundBox<WorkerLife>
    private let board = WorkerBoard()

    /// Starts nothing yet.
    ///
    /// - Parameters:
    ///   - eventLoop: Where frames are read and the delegate is called.
    ///   - spawner: The daemon's one and only.
    ///   - logger: Gets the provider's name as metadata.
    ///   - delegate: Held weakly.
    public init(
        _ configuration: WorkerConfiguration, eventLoop: any EventLoop, spawner: Spawner, logger: Logger,
        delegate: any WorkerDelegate
    ) {
        var logger = logger
        logger[metadataKey: "provider"] = "\(configuration.provider)"
        self.eventLoop = eventLoop
        life = NIOLoopBoundBox.makeBoxSendingValue(
            WorkerLife(
                configuration, eventLoop: eventLoop, spawner: spawner, logger: logger, delegate: delegate, board: board),
            eventLoop: eventLoop)
    }

    /// Starts a process and keeps one running from now on, with growing pauses between failures (see ``WorkerTiming``).
    public func start() {
        eventLoop.execute { [life] in life.value.start() }
    }

    /// Ends the process and keeps it ended: the plugin is asked to let go of its target, what it still completes is told,
    /// and what remains after `patience` is killed. Requests that are to be awaited are awaited before.
    ///
    /// - Returns: Succeeds when the process has ended; never fails.
    public func stop(patience: TimeAmount) -> EventLoopFuture<Void> {
        let promise = eventLoop.makePromise(of: Void.self)
        eventLoop.execute { [life] in life.value.stop(patience: patience, promise) }
        return promise.futureResult
    }

    /// Kills the process of this generation, because its plugin is not trusted any more, and starts another; if it is
    /// over, nothing happens.
    ///
    /// - Parameter reason: What it did, such as `it did not answer`.
    public func restart(generation: UInt64, because reason: String) {
        eventLoop.execute { [life] in life.value.giveUp(generation, reason) }
    }

    /// Sends frames (see `ByteBuffer.writeRequestFrame`) to the process of this generation, or to nobody if it is over:
    /// then ``WorkerDelegate/workerIsLost(generation:_:)`` has been told or will be.
    ///
    /// - Parameter frames: Any number of them; given away. Its storage is wiped once it is written, or cannot be.
    public func send(generation: UInt64, _ frames: ByteBuffer) {
        if eventLoop.inEventLoop {
            life.value.send(frames, to: generation)
        } else {
            eventLoop.execute { [life] in life.value.send(frames, to: generation) }
        }
    }

    /// How things stand at this moment.
    public var status: WorkerStatus {
        var status = board.status.withLock(\.self)
        status.refusedEgress = board.refusals.count
        return status
    }
}

/// Where the event loop writes down what others may read at any time.
final class WorkerBoard: Sendable {
    let status = Mutex(WorkerStatus())
    let refusals = EgressRefusals()
}
