internal import Delivery
internal import EventModel
internal import Logging
internal import NIOCore
internal import Supervision
internal import WorkerProtocol

/// Stands between a provider's worker and the dispatcher: passes on what each has to say to the other.
final class ProviderHost: WorkerDelegate, ProviderPort, Sendable {
    let name: String
    private let slot: Int
    private let dispatcher: Dispatcher
    private let logger: Logger
    private let worker: WorkerBox

    /// The worker holds its delegate weakly and is made with it, so it is filled in after.
    private final class WorkerBox: @unchecked Sendable {  // written once, before anything is shared
        var worker: Worker?
    }

    init(
        _ configuration: WorkerConfiguration, slot: Int, dispatcher: Dispatcher, eventLoop: any EventLoop,
        spawner: Spawner, logger: Logger
    ) {
        name = configuration.provider
        self.slot = slot
        self.dispatcher = dispatcher
        self.logger = logger
        worker = WorkerBox()
        worker.worker = Worker(
            configuration, eventLoop: eventLoop, spawner: spawner, logger: logger, delegate: self)
    }

    func start() {
        worker.worker?.start()
    }

    func stop(patience: TimeAmount) async {
        try? await worker.worker?.stop(patience: patience).get()
    }

    var status: WorkerStatus { worker.worker?.status ?? WorkerStatus() }

    // MARK: From the worker

    func workerIsReady(generation: UInt64, _ ready: WorkerReady) {
        logger.notice(
            "worker ready",
            metadata: [
                "provider": "\(name)", "pid": "\(ready.pid)", "landlock.abi": "\(ready.landlockABI)",
                "layers": "\(ready.layers.names.joined(separator: ","))",
            ])
        dispatcher.ready(self, generation: Int(generation), slot: slot)
    }

    func workerIsLost(generation: UInt64, _ loss: WorkerLoss) {
        logger.log(
            level: loss == .stopped ? .info : .error, "worker lost",
            metadata: ["provider": "\(name)", "reason": "\(loss)"])
        dispatcher.lost(generation: Int(generation), slot: slot, reason: "\(loss)")
    }

    func workerCompleted(generation: UInt64, _ requests: [CompletedRequest]) {
        dispatcher.answered(requests.map { ($0.id, $0.completion) }, generation: Int(generation), slot: slot)
    }

    func workerCounted(_ counter: String, _ delta: Int64) {
        logger.debug("plugin counts", metadata: ["provider": "\(name)", "counter": "\(counter)", "delta": "\(delta)"])
    }

    // MARK: From the dispatcher

    func send(_ frames: ByteBuffer, generation: Int) {
        worker.worker?.send(generation: UInt64(generation), frames)
    }

    func restart(generation: Int, reason: String) {
        logger.error("worker is restarted", metadata: ["provider": "\(name)", "reason": "\(reason)"])
        worker.worker?.restart(generation: UInt64(generation), because: reason)
    }
}
