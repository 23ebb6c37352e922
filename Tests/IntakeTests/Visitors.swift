import NIOPosix
import TargetServers

/// Clients that connect, post and go, one connection after the other, until they are told to stop.
final class Visitors: Sendable {
    private let visits = AsyncStream<Void>.makeStream()
    private let clients = ClientList()

    private actor ClientList {
        var tasks: [Task<Void, Never>] = []

        func add(_ task: Task<Void, Never>) { tasks.append(task) }
    }

    /// Begins with so many clients.
    func begin(_ count: Int, port: UInt16) {
        let visit = visits.continuation
        let request = Door.request("{", fields: ["connection: close"])
        for _ in 0..<count {
            let task = Task {
                while !Task.isCancelled {
                    let isThere = try? await NIOThreadPool.singleton.runIfActive {
                        Loopback.visit(port, sending: request)
                    }
                    guard isThere == true else { return }
                    visit.yield()
                }
            }
            Task { await clients.add(task) }
        }
    }

    /// Waits for so many visits.
    func haveCome(_ count: Int) async throws {
        var visits = visits.stream.makeAsyncIterator()
        for _ in 0..<count { await visits.next() }
    }

    /// Waits until the last one is gone: the intake does not listen any more.
    func end() async {
        for task in await clients.tasks { await task.value }
    }
}
