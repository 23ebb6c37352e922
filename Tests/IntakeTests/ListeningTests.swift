import EventModel
import Glibc
import Intake
import Journal
import NIOCore
import NIOPosix
import NIOSSL
import Sockets
import TargetServers
import Testing
import Workbench

@Suite struct `An intake` {
    @Test func `serves TLS with a certificate, and nothing in clear`() async throws {
        let authority = try CertificateAuthority()
        let server = try authority.issue("server")
        var listener = IntakeListener(.tcp(host: "127.0.0.1", port: 0))
        listener.tls = (server.certificate, server.key)
        let setup = Door.Setup { $0.listener = listener }
        try await Door.open(setup) { door in
            let request = Door.request(
                event("e1", kind: "password.updated", password: "canary"), fields: ["connection: close"])
            let answer = try await tls(request, to: door.port, authority: authority.certificateFile, versions: nil)
            #expect(answer.contains("202 Accepted") && answer.contains(#"{"id":"e1","status":"accepted"}"#))
            let old = try? await tls(request, to: door.port, authority: authority.certificateFile, versions: .tlsv11)
            #expect(old == nil)
            try await door.onThread { door in
                let connection = try door.connect()
                _ = connection.trySend(Array(Door.request(event("e2")).utf8))
                // At most an alert comes, never an answer.
                #expect((try? connection.replyOrEnd()) == nil)
                #expect(try door.stored().map(\.id) == ["e1"])
            }
        }
    }

    @Test func `tells the log why a client gets no TLS, and nothing of who just looks or leaves without a word`()
        async throws
    {
        let authority = try CertificateAuthority()
        let stranger = try CertificateAuthority()
        let server = try authority.issue("server")
        let request = Door.request(event("e1"), fields: ["connection: close"])
        /// What the log says after a visit.
        func reasons(_ visit: (Door) async throws -> Void) async throws -> [String] {
            let log = LogLines()
            let setup = Door.Setup {
                $0.listener.tls = (server.certificate, server.key)
                $0.logger = log.logger
            }
            try await Door.open(setup, visit)
            return log.all.filter { $0.message == "refused" }.compactMap { $0.metadata["reason"] }
        }
        let look = try await reasons { door in
            try await door.onThread { door in
                let connection = try door.connect()
                connection.endOutput()
                #expect(try connection.isAtEnd())
            }
        }
        #expect(look == [])
        // This client sends no alert when it closes.
        let visit = try await reasons { door in
            let answer = try await tls(request, to: door.port, authority: authority.certificateFile, versions: nil)
            #expect(answer.contains("202 Accepted"))
        }
        #expect(visit == [])
        let clear = try await reasons { door in
            try await door.onThread { door in
                let connection = try door.connect()
                _ = connection.trySend(Array(request.utf8))
                #expect((try? connection.replyOrEnd()) == nil)
            }
        }
        #expect(clear == ["the TLS handshake failed: the client does not speak TLS (HTTP_REQUEST)"])
        let untrusted = try await reasons { door in
            let answer = try? await tls(
                request, to: door.port, authority: stranger.certificateFile, versions: nil)
            #expect(answer == nil)
        }
        #expect(
            untrusted == [
                "the TLS handshake failed: the client does not trust the certificate of intake.tls "
                    + "(TLSV1_ALERT_UNKNOWN_CA)"
            ])
    }

    @Test(.timeLimit(.minutes(1)))
    func `takes a breath when the system has no descriptors, says so, and goes on`() async throws {
        await #expect(processExitsWith: .success) {
            let log = LogLines()
            try await Door.open(.init { $0.logger = log.logger }) { door in
                try await door.onThread { door in
                    let client = try door.connect()
                    let last = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
                    // What is dear when the last one is gone is made before.
                    let request = Door.request(event("e1"), fields: ["connection: close"])
                    #expect(client.isSilent())
                    var taken: [Int32] = []
                    var limit = rlimit(rlim_cur: 200, rlim_max: 200)
                    try #require(setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
                    while case let next = dup(last), next >= 0 { taken.append(next) }
                    try #require(Loopback.connect(last, to: door.port))
                    while log.count("refused", "problem", "not-accepting") == 0 { sched_yield() }
                    let used = Self.processorMilliseconds()
                    taken.forEach { _ = close($0) }
                    #expect(send(last, request, request.utf8.count, 0) == request.utf8.count)
                    var answer = [UInt8](repeating: 0, count: 12)
                    #expect(recv(last, &answer, answer.count, Int32(MSG_WAITALL)) == 12)
                    #expect(String(decoding: answer, as: UTF8.self) == "HTTP/1.1 202")
                    #expect(log.count("refused", "problem", "not-accepting") == 1)
                    // Until it looked again, nothing was done.
                    #expect(Self.processorMilliseconds() - used < 300)
                }
            }
        }
    }

    /// What this process has used so far.
    private static func processorMilliseconds() -> Int {
        var used = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used)
        return used.tv_sec * 1_000 + used.tv_nsec / 1_000_000
    }

    @Test func `names the file that is no certificate or key`() async throws {
        let authority = try CertificateAuthority()
        let server = try authority.issue("server")
        let other = try authority.issue("other")
        let none = "\(authority.certificateFile).none"
        let cases = [
            ((none, server.key), "\(none) cannot be read: No such file or directory"),
            ((server.key, server.key), "\(server.key) holds no certificate in PEM"),
            ((server.certificate, server.certificate), "\(server.certificate) holds no private key in PEM"),
            ((server.certificate, other.key), "\(other.key) is not the key of \(server.certificate)"),
        ]
        for (files, words) in cases {
            var listener = IntakeListener(.tcp(host: "127.0.0.1", port: 0))
            listener.tls = files
            let error = await #expect(throws: ListenerError.self) {
                try await Door.open(.init { $0.listener = listener }) { _ in }
            }
            #expect(error?.description.hasPrefix(words) == true)
        }
    }

    @Test func `on a Unix socket believes the users it was told, without a signature`() async throws {
        let folder = try Folder()
        let path = "\(folder.path)/in.sock"
        let mine = Door.source { $0.unsignedPeerUIDs = [geteuid()] }
        let setup = Door.Setup {
            $0.listener = IntakeListener(.unix(path: path))
            $0.sources = [mine]
        }
        try await Door.open(setup) { door in
            try await door.onThread { door in
                let connection = try Connection(path: path)
                try connection.send(Door.request(event("e1"), leavingOut: "webhook"))
                #expect(try connection.reply().status == 202)
                // A signature that is there has to be good.
                try connection.send(Door.request(event("e2"), secret: Door.otherSecret))
                #expect(try connection.reply().status == 401)
                // The rights of its folder say who may connect.
                var status = stat()
                #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o666)
            }
        }
        #expect(access(path, F_OK) != 0)
        let others = Door.Setup {
            $0.listener = IntakeListener(.unix(path: path))
            $0.sources = [Door.source { $0.unsignedPeerUIDs = [geteuid() + 1] }]
        }
        try await Door.open(others) { door in
            try await door.onThread { _ in
                let connection = try Connection(path: path)
                try connection.send(Door.request(event("e1"), leavingOut: "webhook"))
                #expect(try connection.reply().status == 401)
                try connection.send(Door.request(event("e1")))
                #expect(try connection.reply().status == 202)
            }
        }
    }

    @Test func `on a Unix socket ends the connections of users it was not told`() async throws {
        let folder = try Folder()
        var listener = IntakeListener(.unix(path: "\(folder.path)/in.sock"))
        for (uids, isWelcome) in [([geteuid()], true), ([geteuid() + 1], false)] as [(Set<UInt32>, Bool)] {
            listener.peerUIDs = uids
            try await Door.open(.init { [listener] in $0.listener = listener }) { door in
                try await door.onThread { door in
                    let connection = try Connection(path: "\(folder.path)/in.sock")
                    _ = connection.trySend(Array(Door.request(event("e1")).utf8))
                    #expect(try connection.replyOrEnd()?.status == (isWelcome ? 202 : nil))
                    #expect(try door.stored().count == (isWelcome ? 1 : 0))
                }
            }
        }
    }

    @Test func `says why an address cannot be listened on`() async throws {
        func failure(_ address: ListenerAddress) async -> String? {
            await #expect(throws: ListenerError.self) {
                try await Door.open(.init { $0.listener = IntakeListener(address) }) { _ in }
            }?.description
        }
        let folder = try Folder()
        try await Door.open { door in
            let taken = await failure(.tcp(host: "127.0.0.1", port: Int(door.port)))
            #expect(taken?.hasPrefix("127.0.0.1:\(door.port) cannot be listened on: ") == true)
            #expect(taken?.contains("Address already in use") == true)
        }
        let file = try folder.write("file", "precious")
        #expect(
            await failure(.unix(path: file)) == "unix:\(file) cannot be listened on: there is a file that is no socket")
        #expect(try Folder.read(file) == "precious")
        let missing = await failure(.unix(path: "\(folder.path)/missing/in.sock"))
        #expect(missing?.contains("No such file or directory") == true)
        let long = "/tmp/" + String(repeating: "x", count: 103)
        #expect(
            await failure(.unix(path: long))
                == "unix:\(long) is longer than the 107 bytes that a Unix socket's path may have")
        let path = "\(folder.path)/in.sock"
        try await Door.open(.init { $0.listener = IntakeListener(.unix(path: path)) }) { _ in
            #expect(
                await failure(.unix(path: path)) == "unix:\(path) cannot be listened on: another process does")
            #expect(access(path, F_OK) == 0)
        }
    }
}

/// Sends a request over TLS and returns all that comes back.
private func tls(
    _ request: String, to port: UInt16, authority: String, versions: TLSVersion?
) async throws -> String {
    var configuration = TLSConfiguration.makeClientConfiguration()
    configuration.trustRoots = .file(authority)
    if let versions {
        configuration.minimumTLSVersion = .tlsv1
        configuration.maximumTLSVersion = versions
    }
    let context = try NIOSSLContext(configuration: configuration)
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .connect(host: "127.0.0.1", port: Int(port)) { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(
                    NIOSSLClientHandler(context: context, serverHostname: "localhost"))
                return try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
            }
        }
    return try await channel.executeThenClose { inbound, outbound in
        try await outbound.write(ByteBuffer(string: request))
        var answer = ""
        for try await part in inbound { answer += String(buffer: part) }
        return answer
    }
}
