import EventModel
import Logging
import NIOCore
import NIOPosix
import Supervision
import Synchronization
import WorkerProtocol

/// Remembers what a worker's delegate is told, and lets a test wait for it.
final class Witness: WorkerDelegate {
    struct Testimony: Sendable {
        var ready: [UInt64] = []
        var lost: [Loss] = []
        var completed: [CompletedRequest] = []
        var batches = 0
        var counted: [String: Int64] = [:]
        /// How often anything was counted.
        var counts = 0
    }

    struct Loss: Hashable, Sendable {
        var generation: UInt64
        var loss: WorkerLoss
    }

    private struct Waiting {
        var condition: @Sendable (Testimony) -> Bool
        var continuation: CheckedContinuation<Testimony, Never>
    }

    private let state = Mutex((testimony: Testimony(), waiting: [Waiting]()))
    private let onCompleted = Mutex<(@Sendable ([CompletedRequest]) -> Void)?>(nil)

    /// Everything so far, once the condition holds, or when the suite's time limit is over.
    func testimony(when condition: @escaping @Sendable (Testimony) -> Bool) async -> Testimony {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let now = state.withLock { state -> Testimony? in
                    if Task.isCancelled || condition(state.testimony) { return state.testimony }
                    state.waiting.append(Waiting(condition: condition, continuation: continuation))
                    return nil
                }
                if let now { continuation.resume(returning: now) }
            }
        } onCancel: {
            let (testimony, waiting) = state.withLock { state in
                defer { state.waiting = [] }
                return (state.testimony, state.waiting)
            }
            for one in waiting { one.continuation.resume(returning: testimony) }
        }
    }

    func whenCompleted(_ body: @escaping @Sendable ([CompletedRequest]) -> Void) {
        onCompleted.withLock { $0 = body }
    }

    func workerIsReady(generation: UInt64, _ ready: WorkerReady) {
        note { $0.ready.append(generation) }
    }

    func workerIsLost(generation: UInt64, _ loss: WorkerLoss) {
        note { $0.lost.append(Loss(generation: generation, loss: loss)) }
    }

    func workerCompleted(generation: UInt64, _ requests: [CompletedRequest]) {
        onCompleted.withLock(\.self)?(requests)
        note {
            $0.completed += requests
            $0.batches += 1
        }
    }

    func workerCounted(_ name: String, _ delta: Int64) {
        note {
            $0.counted[name, default: 0] += delta
            $0.counts += 1
        }
    }

    private func note(_ change: (inout Testimony) -> Void) {
        let (testimony, satisfied) = state.withLock { state in
            change(&state.testimony)
            let testimony = state.testimony
            let satisfied = state.waiting.filter { $0.condition(testimony) }
            state.waiting.removeAll { $0.condition(testimony) }
            return (testimony, satisfied)
        }
        for waiting in satisfied { waiting.continuation.resume(returning: testimony) }
    }
}

/// Log lines, kept for a test to look at.
final class LogBook: Sendable {
    private let all = Mutex<[String]>([])

    var lines: [String] { all.withLock(\.self) }

    var logger: Logger {
        Logger(label: "test") { _ in Handler(book: self) }
    }

    private struct Handler: LogHandler {
        let book: LogBook
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let all = metadata.merging(event.metadata ?? [:]) { $1 }
            let words = all.sorted { $0.key < $1.key }.map { "\($0)=\($1)" }
            book.all.withLock { $0.append("\(event.level) \(event.message) \(words.joined(separator: " "))") }
        }
    }
}

/// One worker with the puppet plugin, on an event loop, with its witness.
final class Stage: Sendable {
    let worker: Worker
    let witness = Witness()
    let book = LogBook()
    let eventLoop: any EventLoop

    /// The one spawner of the test process.
    static let spawner: Result<Spawner, any Error> = Result { try Spawner() }

    init(
        settings: String = "{}", _ change: (inout WorkerConfiguration) -> Void = { _ in }
    ) throws {
        var configuration = WorkerConfiguration(
            provider: "puppet", plugin: try PluginFile(path: Built.puppet), settings: Array(settings.utf8))
        change(&configuration)
        eventLoop = MultiThreadedEventLoopGroup.singleton.next()
        worker = Worker(
            configuration, eventLoop: eventLoop, spawner: try Self.spawner.get(), logger: book.logger,
            delegate: witness)
    }

    /// Starts the worker and waits until it serves for the n-th time.
    func serve(_ times: Int = 1) async {
        worker.start()
        _ = await witness.testimony { $0.ready.count >= times }
    }

    /// Sends one request with an order for the puppet, and waits for its answer.
    func ask(_ order: String?, id: UInt64 = 1, generation: UInt64 = 1) async throws -> Completion? {
        try tell(order, id: id, generation: generation)
        let testimony = await witness.testimony { $0.completed.contains { $0.id == id } }
        return testimony.completed.first { $0.id == id }?.completion
    }

    func tell(_ order: String?, id: UInt64 = 1, generation: UInt64 = 1, secret: String = "") throws {
        var buffer = ByteBuffer()
        try Array(secret.utf8).withUnsafeBytes { secret in
            var fields = Self.request(order)
            if !secret.isEmpty { fields.secret = secret }
            try buffer.writeRequestFrame(.deliver, id: id, fields)
        }
        worker.send(generation: generation, buffer)
    }

    static func request(_ order: String?) -> RequestFields {
        RequestFields(.notification, kind: .event, idempotencyKey: "k", deadline: 10_000, externalID: order)
    }

    func end() async throws {
        try await worker.stop(patience: .seconds(5)).get()
    }
}
