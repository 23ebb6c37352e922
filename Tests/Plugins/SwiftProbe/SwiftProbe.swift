public import CRuntimeSync
import Dispatch
import FoundationEssentials
import RuntimeSyncPlugin

/// Shows that a Swift plugin works in the sandbox: tasks, an actor, Dispatch and a JSON decoder, with the runtime that it
/// brought along.
final class SwiftProbe: Provider {
    private actor Count {
        private var value = 0

        func next() -> Int {
            value += 1
            return value
        }
    }

    private struct Event: Decodable {
        var words: [String]
    }

    private let host: PluginHost
    private let count = Count()

    init(host: PluginHost) {
        self.host = host
    }

    func deliver(_ delivery: borrowing Delivery) {
        let id = delivery.id
        let bytes = delivery.event
        Task {
            do {
                let event = try JSONDecoder().decode(Event.self, from: Data(bytes))
                let shouted = await withTaskGroup(of: String.self) { group in
                    for word in event.words {
                        group.addTask { await Self.onQueue { word.uppercased() } }
                    }
                    return await group.reduce(into: []) { $0.append($1) }
                }
                let detail = "\(await count.next()): \(shouted.sorted().joined(separator: " "))"
                host.complete(id, Completion(.delivered, detail: detail))
            } catch {
                host.complete(id, Completion(.refused, detail: "\(error)"))
            }
        }
    }

    private static func onQueue(_ work: @escaping @Sendable () -> String) async -> String {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(returning: work()) }
        }
    }

    func stop() {}
}

@c(runtime_sync_plugin)
public func entry(_ host: UnsafePointer<rts_host>?) -> UnsafePointer<rts_plugin>? {
    pluginTable(host, offering: []) { host, _ in SwiftProbe(host: host) }
}
