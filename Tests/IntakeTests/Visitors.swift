import NIOPosix
import Synchronization
import TargetServers

/// Clients that connect, post and go, one connection after the other, until nobody listens any more.
final class Visitors: Sendable {
    private let visits = AsyncStream<Void>.makeStream()
    private let clients = Mutex<[Task<Void, any Error>]>([])

    /// Begins with so many clients.
    func begin(_ count: Int, port: UInt16) {
        let visit = visits.continuation
        let request = Door.request("{", fields: ["connection: close"])
        for _ in 0..<count {
            let client = Task {
                while try await NIOThreadPool.singleton.runIfActive({ try Loopback.visit(port, sending: request) }) {
                    visit.yield()
                }
            }
            clients.withLock { $0.append(client) }
        }
    }

    /// Waits for so many visits.
    func haveCome(_ count: Int) async throws {
        var visits = visits.stream.makeAsyncIterator()
        for _ in 0..<count { await visits.next() }
    }

    /// Waits until the last one is gone: the intake does not listen any more.
    ///
    /// - Throws: if one was let in and forgotten.
    func end() async throws {
        for client in clients.withLock({ $0 }) { try await client.value }
    }
}
