import EventModel
import Glibc
import Intake
import Journal
import NIOCore
import Sockets
import TargetServers
import Testing

@Suite struct `A connection` {
    @Test func `answers pipelined requests in their order, whatever becomes of them`() async throws {
        try await Door.open(.init { $0.isWriting = false }) { door in
            try await door.onThread { door in
                let connection = try door.connect()
                // More than may wait at a time: the rest is read when the first have been answered.
                let requests = (0..<300).map { number in
                    switch number % 3 {
                    case 0: Door.request(event("e\(number)"))
                    case 1: Door.request(event("e\(number)", kind: "nonsense"))
                    default: Door.request("\(event("e\(number)"))\n{", type: "application/x-ndjson")
                    }
                }
                try connection.send(requests.joined())
                #expect(try door.post("{").status == 400)
                door.startWriting()
                for number in 0..<300 {
                    let reply = try connection.reply()
                    switch number % 3 {
                    case 0: #expect(reply["id"] == "e\(number)")
                    case 1: #expect(reply.status == 400)
                    default: #expect(reply.fates == ["1 accepted", "2 refused 400"])
                    }
                }
                #expect(try door.stored().count == 200)
            }
        }
    }

    @Test func `holds no more answers than a pipeline's depth while the disk is slow`() async throws {
        try await Door.open(.init { $0.isWriting = false }) { door in
            try await door.onThread { door in
                let connection = try door.connect()
                let body = event("same")
                // Far more than fits into the sockets: at some point the server stops to read.
                let requests = Array(Array(repeating: Door.request(body), count: 40_000).joined().utf8)
                let other = try door.connect()
                try other.send(Door.request(event("other")))
                #expect(connection.fill(requests) < requests.count)
                door.startWriting()
                #expect(try connection.reply()["status"] == "accepted")
                #expect(try other.reply().status == 202)
            }
        }
    }

    @Test(arguments: [Door.Framing.length, .chunks(of: 1), .chunks(of: 7)])
    func `takes a request byte by byte`(framing: Door.Framing) async throws {
        try await Door.open { door in
            try await door.onThread { door in
                let connection = try door.connect()
                let body = event("e1", kind: "password.updated", password: "canary")
                for byte in Door.request(body, framing: framing).utf8 { try connection.send([byte]) }
                #expect(try connection.reply().status == 202)
                try connection.send(Door.request(body, framing: framing))
                #expect(try connection.reply()["status"] == "duplicate")
            }
        }
    }

    @Test func `says that it continues to who asks first`() async throws {
        try await Door.open { door in
            try await door.onThread { door in
                let body = event("e1")
                let request = Door.request(body, fields: ["expect: 100-continue"])
                let connection = try door.connect()
                try connection.send(String(request.dropLast(body.count)))
                #expect(try connection.reply().status == 100)
                try connection.send(body)
                #expect(try connection.reply().status == 202)

                // What will be refused anyway is refused before the body is sent.
                let other = try door.connect()
                let refused = Door.request(body, path: "/", fields: ["expect: 100-continue"])
                try other.send(String(refused.dropLast(body.count)))
                #expect(try other.reply().status == 404)
                #expect(try other.isAtEnd())
            }
        }
    }

    @Test func `whose client has sent its last is still answered`() async throws {
        try await Door.open(.init { $0.isWriting = false }) { door in
            try await door.onThread { door in
                let connection = try door.connect()
                try connection.send(Door.request(event("e1")) + Door.request(event("e2")))
                connection.endOutput()
                #expect(try door.post("{").status == 400)
                door.startWriting()
                #expect(try connection.reply()["id"] == "e1")
                #expect(try connection.reply()["id"] == "e2")
                #expect(try connection.isAtEnd())
            }
        }
    }

    @Test func `ends after the answer to a request that says so, and not before`() async throws {
        try await Door.open(.init { $0.isWriting = false }) { door in
            try await door.onThread { door in
                let connection = try door.connect()
                try connection.send(Door.request(event("e1")))
                let last = Door.request(event("e2"), fields: ["connection: Keep-Alive, Close"])
                // The first is answered while the last is still on its way.
                try connection.send(String(last.dropLast(10)))
                #expect(try door.post("{").status == 400)
                door.startWriting()
                let first = try connection.reply()
                #expect(first["id"] == "e1" && first.fields["connection"] == nil)
                try connection.send(String(last.suffix(10)) + Door.request(event("e3")))
                let reply = try connection.reply()
                #expect(reply["id"] == "e2" && reply.fields["connection"] == "close")
                #expect(try connection.isAtEnd())
                #expect(try door.stored().map(\.id) == ["e1", "e2"])
            }
        }
    }

    @Test func `that dies leaves what it posted, and a copy is a duplicate`() async throws {
        try await Door.open(.init { $0.isWriting = false }) { door in
            try await door.onThread { door in
                let body = event("e1")
                let half = try door.connect()
                try half.send(String(Door.request(event("e2")).dropLast(5)))
                half.abort()
                let connection = try door.connect()
                try connection.send(Door.request(body))
                #expect(try door.post("{").status == 400)
                connection.abort()
                door.startWriting()
                #expect(try door.post(body)["status"] == "duplicate")
                #expect(try door.stored().map(\.id) == ["e1"])
            }
        }
    }

    @Test func `that is slow is given up`() async throws {
        try await Door.open(.init { $0.limits.patience = .seconds(2) }) { door in
            try await door.onThread { door in
                let idle = try door.connect()
                let headless = try door.connect()
                try headless.send("POST /v1/events HTTP/1.1\r\nhos")
                let half = try door.connect()
                try half.send(String(Door.request(event("e1")).dropLast(5)))
                #expect(try idle.isAtEnd())
                #expect(try headless.isAtEnd())
                let reply = try half.reply()
                #expect(reply.status == 408 && reply.fields["connection"] == "close")
                #expect(try half.isAtEnd())
                #expect(try door.stored().isEmpty)
            }
        }
    }

    @Test func `that waits for the disk is not given up`() async throws {
        let setup = Door.Setup {
            $0.isWriting = false
            $0.limits.patience = .seconds(1)
        }
        try await Door.open(setup) { door in
            try await door.onThread { door in
                let connection = try door.connect()
                try connection.send(Door.request(event("e1")))
                // This one ends by its patience, after that of the first.
                #expect(try door.connect().isAtEnd())
                #expect(try door.connect().isAtEnd())
                door.startWriting()
                #expect(try connection.reply().status == 202)
            }
        }
    }

    @Test(arguments: [false, true])
    func `that is idle longest ends for one too many`(isUnix: Bool) async throws {
        let folder = try Folder()
        let path = "\(folder.path)/in.sock"
        let log = LogLines()
        let setup = Door.Setup {
            if isUnix { $0.listener = IntakeListener(.unix(path: path)) }
            $0.limits.connections = 3
            $0.limits.courtesy = .zero
            $0.logger = log.logger
        }
        try await Door.open(setup) { door in
            try await door.onThread { door in
                func connect() throws -> Connection { try isUnix ? Connection(path: path) : door.connect() }
                func post(_ connection: Connection, _ id: String) throws {
                    try connection.send(Door.request(event(id)))
                    #expect(try connection.reply().status == 202)
                }
                // Each is known to be accepted before the next one comes.
                let used = try connect()
                try post(used, "a")
                let half = try connect()
                try post(half, "b")
                try half.send(String(Door.request(event("lost")).dropLast(5)))
                let silent = try connect()
                try post(silent, "c")
                try post(used, "d")
                // Half a request is owed nothing: slowness keeps no place.
                let first = try connect()
                try post(first, "e")
                #expect(try half.isAtEnd())
                let second = try connect()
                try post(second, "f")
                #expect(try silent.isAtEnd())
                try post(used, "g")
                #expect(log.count("refused", "problem", "too-many-connections") == 1)
            }
        }
    }

    @Test func `without a valid signature goes before one with it, however busy it is`() async throws {
        let setup = Door.Setup {
            $0.limits.connections = 2
            $0.limits.courtesy = .zero
        }
        try await Door.open(setup) { door in
            try await door.onThread { door in
                let known = try door.connect()
                try known.send(Door.request(event("a")))
                #expect(try known.reply().status == 202)
                var strangers: [Connection] = []
                for _ in 0..<4 {
                    let stranger = try door.connect()
                    for _ in 0..<3 {
                        try stranger.send(Door.request("{", secret: Door.otherSecret))
                        #expect(try stranger.reply().status == 401)
                    }
                    if let former = strangers.last { #expect(try former.isAtEnd()) }
                    strangers.append(stranger)
                }
                try known.send(Door.request(event("b")))
                #expect(try known.reply().status == 202)
            }
        }
    }

    @Test func `that is owed an answer is ended for nobody: others wait`() async throws {
        let setup = Door.Setup {
            $0.limits.connections = 1
            $0.limits.courtesy = .milliseconds(300)
            $0.isWriting = false
        }
        try await Door.open(setup) { door in
            try await door.onThread { door in
                let request = Door.request(event("e"), fields: ["connection: close"])
                let open = try (0..<20).map { _ in try door.connect() }
                for connection in open { try connection.send(request) }
                #expect(open[0].isSilent() && open[19].isSilent())
                door.startWriting()
                for connection in open {
                    #expect(try connection.reply().status == 202)
                    // Its place is the next one's when it is gone.
                    connection.endOutput()
                }
            }
        }
    }

    @Test(.timeLimit(.minutes(2)))
    func `that comes while the intake stops hurts nobody`() async throws {
        // Connections are set up on one loop and accepted on another.
        for round in 0..<50 {
            let visitors = Visitors()
            try await Door.open(.init { $0.threads = 3 }) { door in
                visitors.begin(3, port: door.port)
                try await visitors.haveCome(round % 10 + 1)
            }
            try await visitors.end()
        }
    }

    @Test func `is closed after the answer to a client of HTTP 1.0`() async throws {
        try await Door.open { door in
            try await door.onThread { door in
                let connection = try door.connect()
                try connection.send(Door.request(event("e1")).replacing("HTTP/1.1", with: "HTTP/1.0"))
                let reply = try connection.reply()
                #expect(reply.status == 202 && reply.fields["connection"] == "close")
                #expect(try connection.isAtEnd())
            }
        }
    }

    @Test func `is answered to the end when the intake stops`() async throws {
        try await Door.open(.init { $0.isWriting = false }) { door in
            try await door.onThread { door in
                let (waiting, half, idle) = (try door.connect(), try door.connect(), try door.connect())
                try waiting.send(Door.request(event("e1")))
                try half.send(String(Door.request(event("e2")).dropLast(5)))
                #expect(try door.post("{").status == 400)
                door.stop()
                let refused = try half.reply()
                #expect(refused.status == 503 && refused["detail"] == "the intake is stopping")
                door.startWriting()
                let reply = try waiting.reply()
                #expect(reply.status == 202 && reply.fields["connection"] == "close")
                for connection in [waiting, half, idle] { #expect(try connection.isAtEnd()) }
            }
        }
    }
}
