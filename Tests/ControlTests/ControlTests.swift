import Control
import Glibc
import HTTPTypes
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Sockets
import TargetServers
import Testing

@Suite struct `The control socket` {
    private static let routes = [
        ControlRoute(.get, "/echo/:name") { request in
            Array("\(request.parameters["name"] ?? "-") \(request.query["q"] ?? "-")".utf8)
        },
        ControlRoute(.post, "/refuse") { _ in throw ControlError(status: 404, "no provider is called x") },
        ControlRoute(.post, "/fail") { _ in throw CancellationError() },
    ]

    /// Serves for the length of `body`.
    ///
    /// - Parameter more: routes beside those of all tests.
    private func serve(
        at socket: String, _ more: [ControlRoute] = [], patience: TimeAmount = .seconds(60),
        _ body: (ControlClient) async throws -> Void
    ) async throws {
        let quiet = Logger(label: "control") { _ in SwiftLogNoOpLogHandler() }
        let server = ControlServer(
            socket: socket, routes: Self.routes + more, group: MultiThreadedEventLoopGroup.singleton,
            patience: patience)
        let services = ServiceGroup(configuration: .init(services: [server], logger: quiet))
        try await withThrowingTaskGroup { group in
            group.addTask { try await services.run() }
            // It listens once it answers, or it ends.
            let client = ControlClient(socket: socket)
            group.addTask {
                while (try? await client.call(.get, "/echo/ready")) == nil {
                    try Task.checkCancellation()
                    await Task.yield()
                }
            }
            try await group.next()
            let result: Result<Void, any Error>
            do {
                result = .success(try await body(client))
            } catch {
                result = .failure(error)
            }
            await services.triggerGracefulShutdown()
            try await group.waitForAll()
            try result.get()
        }
    }

    @Test func `carries a command and its answer, whatever the names hold`() async throws {
        let folder = try Folder()
        try await serve(at: "\(folder.path)/c.sock") { client in
            let name = "a b/ü%&?=#+"
            let encoded = ControlClient.encoded(name)
            let answer = try await client.call(.get, "/echo/\(encoded)?q=\(encoded)")
            #expect(String(decoding: answer, as: UTF8.self) == "\(name) \(name)")
        }
    }

    @Test func `tells why a command is not carried out`() async throws {
        let folder = try Folder()
        try await serve(at: "\(folder.path)/c.sock") { client in
            func error(_ method: HTTPRequest.Method, _ path: String) async -> ControlError? {
                await #expect(throws: ControlError.self) { try await client.call(method, path) }
            }
            #expect(await error(.post, "/refuse") == ControlError(status: 404, "no provider is called x"))
            #expect(await error(.post, "/fail")?.description == "the command failed: CancellationError()")
            for (method, path) in [(.get, "/nothing"), (.post, "/echo/x")] as [(HTTPRequest.Method, String)] {
                #expect(
                    await error(method, path)
                        == ControlError(
                            status: 404,
                            "the daemon has no such command: is it of the same version as this program?"))
            }
        }
    }

    @Test func `lets go of a client that says nothing and leaves`() async throws {
        let folder = try Folder()
        let path = "\(folder.path)/c.sock"
        try await serve(at: path) { client in
            let atEnd = try await NIOThreadPool.singleton.runIfActive {
                let descriptor = try Self.connect(path)
                defer { close(descriptor) }
                var limit = timeval(tv_sec: 20, tv_usec: 0)
                setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
                shutdown(descriptor, Int32(SHUT_WR))
                var byte: UInt8 = 0
                return recv(descriptor, &byte, 1, 0) == 0
            }
            #expect(atEnd)
            #expect(try await client.call(.get, "/echo/x") == Array("x -".utf8))
        }
    }

    @Test func `is its owner's alone, and goes with the daemon`() async throws {
        let folder = try Folder()
        let path = "\(folder.path)/c.sock"
        try await serve(at: path) { _ in
            var status = stat()
            #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
        }
        #expect(access(path, F_OK) != 0)
    }

    @Test(.enabled(if: geteuid() == 0, "only root can become somebody else"))
    func `refuses another user even if the file's rights let him in`() async throws {
        let folder = try Folder()
        let path = "\(folder.path)/c.sock"
        chmod(folder.path, 0o755)
        try await serve(at: path) { _ in
            chmod(path, 0o666)
            await #expect(processExitsWith: .success) { [path = path as String] in
                try #require(setuid(65_534) == 0)
                await #expect(
                    throws: ControlError(
                        status: 403, "only the daemon's own user and root may send it commands")
                ) { try await ControlClient(socket: path).call(.get, "/echo/x") }
            }
        }
    }

    @Test(.timeLimit(.minutes(2)))
    func `stops under commands`() async throws {
        let folder = try Folder()
        for round in 0..<50 {
            let path = "\(folder.path)/c\(round).sock"
            let visits = AsyncStream<Void>.makeStream()
            try await withThrowingTaskGroup { group in
                try await serve(at: path) { client in
                    for _ in 0..<4 {
                        group.addTask {
                            while let answer = try? await client.call(.get, "/echo/x") {
                                #expect(answer == Array("x -".utf8))
                                visits.continuation.yield()
                            }
                        }
                    }
                    var visits = visits.stream.makeAsyncIterator()
                    for _ in 0...(round % 10) { await visits.next() }
                }
                try await group.waitForAll()
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func `answers the commands that it has begun before it stops`() async throws {
        let folder = try Folder()
        let (begun, begin) = AsyncStream.makeStream(of: Void.self)
        let (ending, end) = AsyncStream.makeStream(of: Void.self)
        let slow = ControlRoute(.get, "/slow") { _ in
            begin.yield()
            for await _ in ending { break }
            return Array("done".utf8)
        }
        try await withThrowingTaskGroup { group in
            try await serve(at: "\(folder.path)/c.sock", [slow]) { client in
                group.addTask {
                    let answer = try await client.call(.get, "/slow")
                    #expect(String(decoding: answer, as: UTF8.self) == "done")
                }
                for await _ in begun { break }
                // The shutdown has begun when this is looked at: the socket goes with the listener.
                group.addTask { [path = folder.path] in
                    while access("\(path)/c.sock", F_OK) == 0, try await !Self.isRefused("\(path)/c.sock") {
                        await Task.yield()
                    }
                    end.finish()
                }
            }
            try await group.waitForAll()
        }
    }

    private static func isRefused(_ path: String) async throws -> Bool {
        do {
            _ = try await ControlClient(socket: path).call(.get, "/echo/x")
            return false
        } catch {
            return true
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func `is held up by no command without an end, nor by a client that does not read`() async throws {
        let folder = try Folder()
        let (begun, begin) = AsyncStream.makeStream(of: Void.self)
        let endless = ControlRoute(.get, "/endless") { _ in
            begin.yield()
            try await Task.sleep(for: .seconds(3_600))
            return []
        }
        let large = ControlRoute(.get, "/large") { _ in
            begin.yield()
            return [UInt8](repeating: 0x20, count: 8 << 20)
        }
        let path = "\(folder.path)/c.sock"
        try await withThrowingTaskGroup { group in
            try await serve(at: path, [endless, large], patience: .milliseconds(200)) { client in
                group.addTask {
                    let error = await #expect(throws: ControlError.self) { try await client.call(.get, "/endless") }
                    #expect(error?.status == 0)
                }
                group.addTask {
                    let descriptor = try Self.connect(path)
                    defer { close(descriptor) }
                    let request = "GET /large HTTP/1.1\r\nhost: x\r\n\r\n"
                    try #require(send(descriptor, request, request.utf8.count, 0) == request.utf8.count)
                    try await Task.sleep(for: .seconds(3_600))
                }
                var begun = begun.makeAsyncIterator()
                for _ in 0..<2 { await begun.next() }
            }
            group.cancelAll()
        }
    }

    private static func connect(_ path: String) throws -> Int32 {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let isConnected = withUnsafeBytes(of: &address) { bytes in
            bytes.withMemoryRebound(to: sockaddr.self) {
                Glibc.connect(descriptor, $0.baseAddress, socklen_t(bytes.count)) == 0
            }
        }
        try #require(isConnected)
        return descriptor
    }

    @Test func `is not taken from a daemon that lives, nor is a file; a dead one's is`() async throws {
        let folder = try Folder()
        let path = "\(folder.path)/c.sock"
        try await serve(at: path) { client in
            let error = await #expect(throws: ListenerError.self) { try await serve(at: path) { _ in } }
            #expect(error?.description == "unix:\(path) cannot be listened on: another process does")
            let answer = try await client.call(.get, "/echo/x")
            #expect(answer == Array("x -".utf8))
        }
        try folder.write("c.sock", "precious")
        let error = await #expect(throws: ListenerError.self) { try await serve(at: path) { _ in } }
        #expect(error?.description.contains("there is a file that is no socket") == true)
        #expect(try Folder.read(path) == "precious")
        unlink(path)

        let dead = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let isBound = withUnsafeBytes(of: &address) { bytes in
            bytes.withMemoryRebound(to: sockaddr.self) { bind(dead, $0.baseAddress, socklen_t(bytes.count)) == 0 }
        }
        #expect(isBound)
        close(dead)
        try await serve(at: path) { client in
            let answer = try await client.call(.get, "/echo/x")
            #expect(answer == Array("x -".utf8))
        }
    }

    @Test func `without a daemon behind it says so`() async throws {
        let folder = try Folder()
        let path = "\(folder.path)/c.sock"
        let error = await #expect(throws: ControlError.self) {
            try await ControlClient(socket: path).call(.get, "/echo/x")
        }
        #expect(error?.status == 0)
        #expect(error?.description.hasPrefix("no daemon answers on \(path): is it running") == true)
    }
}
