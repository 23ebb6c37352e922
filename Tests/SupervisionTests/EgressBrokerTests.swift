import EventModel
import Glibc
import NIOCore
import NIOPosix
import Supervision
import Testing
import Workbench

/// A plugin in the sandbox, real sockets, and the broker between them.
@Suite(.timeLimit(.minutes(4))) struct EgressBrokerTests {
    @Test func `a plugin reaches what its settings name and nothing else`() async throws {
        let allowed = try await listener()
        let other = try await listener()
        let stage = try Stage { $0.egress = [EgressRule(host: "localhost", port: allowed.port)] }
        await stage.serve()

        let orders: [(String, Completion)] = [
            ("localhost \(allowed.port)", Completion(.delivered)),
            ("LOCALHOST. \(allowed.port)", Completion(.delivered)),
            ("=127.0.0.1 \(allowed.port)", Completion(.delivered)),
            ("localhost \(other.port)", Completion(.refused, detail: "EAI_NONAME")),
            ("=127.0.0.1 \(other.port)", Completion(.refused, detail: "EACCES")),
            ("127.0.0.1 \(allowed.port)", Completion(.delivered)),
            ("127.0.0.1 \(other.port)", Completion(.refused, detail: "EAI_NONAME")),
            ("=0.0.0.0 \(allowed.port)", Completion(.refused, detail: "EACCES")),
            ("example.invalid 443", Completion(.refused, detail: "EAI_NONAME")),
        ]
        for (index, (order, expected)) in orders.enumerated() {
            #expect(try await stage.ask(order, id: UInt64(index + 1)) == expected, "\(order)")
        }
        #expect(stage.worker.status.refusedEgress == 5)
        let refusals = stage.book.lines.filter { $0.contains("egress refused") }
        #expect(refusals.count == 5)
        #expect(
            refusals.first
                == "warning egress refused place=localhost:\(other.port) provider=puppet request=lookup unsaid=0")
        try await stage.end()
        try await allowed.channel.close()
        try await other.channel.close()
    }

    @Test func `a literal address in the settings is reached without any name`() async throws {
        let server = try await listener()
        let stage = try Stage { $0.egress = [EgressRule(host: "127.0.0.1", port: server.port)] }
        await stage.serve()
        #expect(try await stage.ask("=127.0.0.1 \(server.port)", id: 1)?.outcome == .delivered)
        #expect(try await stage.ask("localhost \(server.port)", id: 2)?.detail == "EAI_NONAME")
        try await stage.end()
        try await server.channel.close()
    }

    @Test func `a port where nobody listens answers as it would outside`() async throws {
        let nobody = try RefusingPort()
        let stage = try Stage { $0.egress = [EgressRule(host: "localhost", port: nobody.port)] }
        await stage.serve()
        #expect(try await stage.ask("localhost \(nobody.port)")?.detail == "ECONNREFUSED")
        try await stage.end()
        withExtendedLifetime(nobody) {}
    }

    @Test func `the next generation has a broker of its own`() async throws {
        let server = try await listener()
        let stage = try Stage { $0.egress = [EgressRule(host: "localhost", port: server.port)] }
        await stage.serve()
        try stage.tell("crash", id: 1)
        await stage.serve(2)
        #expect(try await stage.ask("localhost \(server.port)", id: 2, generation: 2)?.outcome == .delivered)
        try await stage.end()
        try await server.channel.close()
    }

    @Test func `the machine's own name is answered without a word in the log`() async throws {
        var name = [CChar](repeating: 0, count: 256)
        try #require(gethostname(&name, name.count) == 0)
        let host = String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        let stage = try Stage()
        await stage.serve()
        #expect(try await stage.ask("\(host) 443")?.detail == "EAI_NONAME")
        #expect(stage.worker.status.refusedEgress == 0)
        #expect(!stage.book.lines.contains { $0.hasPrefix("warning") })
        try await stage.end()
    }

    @Test func `a socket that blocks is connected, and waited for so long and no longer`() async throws {
        let open = try await listener()
        let full = try FullListener()
        let stage = try Stage {
            $0.egress = [
                EgressRule(host: "127.0.0.1", port: open.port), EgressRule(host: "127.0.0.1", port: full.port),
            ]
            $0.timing.connect = .milliseconds(50)
        }
        await stage.serve()
        #expect(try await stage.ask("!127.0.0.1 \(open.port)", id: 1) == Completion(.delivered, detail: "blocks"))
        #expect(try await stage.ask("!127.0.0.1 \(full.port)", id: 2) == Completion(.refused, detail: "ETIMEDOUT"))
        #expect(try await stage.ask("!127.0.0.1 \(open.port)", id: 3)?.outcome == .delivered)
        try await stage.end()
        try await open.channel.close()
    }

    private func listener() async throws -> (channel: any Channel, port: UInt16) {
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(channel.localAddress?.port)
        return (channel, UInt16(port))
    }
}
