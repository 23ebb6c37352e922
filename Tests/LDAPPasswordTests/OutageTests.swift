internal import Glibc
internal import PluginHarness
internal import TargetServers
internal import Testing

/// What happens when the server goes away, and when it comes back.
struct OutageTests {
    /// Delivers a password and returns once its first request has left for the server.
    private func sent(_ bench: Bench, through relay: Relay, _ name: String) async -> UInt64 {
        let before = relay.requestBytes
        let id = bench.sendPassword(name, "after")
        #expect(await eventually { relay.requestBytes > before })
        return id
    }

    /// With this method a delivery begins with its write if the account was read just before.
    private static let modify = ["password_method": "\"modify\""]

    @Test func `a server that is down means retry, and the first delivery after its return arrives`() async throws {
        let server = try directory()
        server.stop()
        let bench = try Bench(server)
        let down = try await bench.setPassword("ada", "after")
        #expect(down.outcome == .retry)
        #expect(down.detail.contains("refused"))
        try server.start()
        #expect(try await bench.setPasswordPatiently("ada", "after").outcome == .delivered)
        #expect(server.bind(OpenLDAP.name("ada"), password: "after") == 0)
    }

    @Test func `after a restart of the server the next delivery makes a new connection`() async throws {
        let server = try directory()
        let bench = try Bench(server)
        #expect(try await bench.setPassword("ada", "one").outcome == .delivered)
        server.stop()
        try server.start()
        #expect(try await bench.setPasswordPatiently("ada", "two").outcome == .delivered)
        #expect(bench.harness.metrics["connections"] == 2)
        #expect(server.bind(OpenLDAP.name("ada"), password: "two") == 0)
    }

    @Test func `a check that succeeds ends the pause after a failure`() async throws {
        let server = try directory()
        server.stop()
        let bench = try Bench(server)
        for _ in 1...20 { _ = try await bench.setPassword("ada", "after") }
        try server.start()
        #expect(try await bench.harness.completion(of: bench.harness.check()).outcome == .delivered)
        #expect(try await bench.setPassword("ada", "after").outcome == .delivered)
    }

    @Test func `a connection lost while looking for the account means retry`() async throws {
        let server = try directory()
        let relay = try Relay(to: server.port)
        defer { relay.stop() }
        let bench = try Bench(server, port: relay.port)
        #expect(try await bench.setPassword("bob", "after").outcome == .delivered)
        relay.holdAnswers()
        let id = await sent(bench, through: relay, "ada")
        relay.cut()
        let completion = try await bench.harness.completion(of: id)
        #expect(completion.outcome == .retry, "\(completion.detail)")
        #expect(server.bind(OpenLDAP.name("ada"), password: "before") == 0)
    }

    @Test func `a connection lost after the write was sent means unknown, and here it was carried out`() async throws {
        let server = try directory()
        let relay = try Relay(to: server.port)
        defer { relay.stop() }
        let bench = try Bench(server, Self.modify, port: relay.port)
        // Read first, so that the delivery begins with its write.
        #expect(try await bench.read("ada").outcome == .delivered)
        relay.holdAnswers()
        let id = bench.sendPassword("ada", "after")
        #expect(await eventually { server.bind(OpenLDAP.name("ada"), password: "after") == 0 })
        relay.cut()
        let completion = try await bench.harness.completion(of: id)
        #expect(completion.outcome == .unknown, "\(completion.detail)")
        relay.releaseAnswers()
        #expect(try await bench.setPasswordPatiently("ada", "later").outcome == .delivered)
        #expect(server.bind(OpenLDAP.name("ada"), password: "later") == 0)
        #expect(relay.connections == 2)
    }

    @Test func `a server that crashes with writes in its hands leaves them unknown, and reads to be retried`()
        async throws
    {
        let server = try directory()
        let relay = try Relay(to: server.port)
        defer { relay.stop() }
        let bench = try Bench(server, Self.modify, port: relay.port)
        #expect(try await bench.read("ada").outcome == .delivered)
        server.freeze()
        let write = await sent(bench, through: relay, "ada")
        let search = await sent(bench, through: relay, "bob")
        server.crash()
        #expect(try await bench.harness.completion(of: write).outcome == .unknown)
        #expect(try await bench.harness.completion(of: search).outcome == .retry)
    }

    @Test func `a silent server costs the operation timeout, and a write is unknown then`() async throws {
        let server = try directory()
        let bench = try Bench(
            server, ["password_method": "\"modify\"", "operation_timeout_ms": "2000", "connect_timeout_ms": "2000"])
        #expect(try await bench.read("ada").outcome == .delivered)
        server.freeze()
        let write = bench.sendPassword("ada", "after")
        let search = bench.sendPassword("bob", "after")
        #expect(try await bench.harness.completion(of: write).outcome == .unknown)
        #expect(try await bench.harness.completion(of: search).outcome == .retry)
        // Nothing more is sent on that connection, and a new one is not answered either.
        #expect(try await bench.setPassword("bob", "after").outcome == .retry)
        server.resume()
        #expect(try await bench.setPasswordPatiently("ada", "later").outcome == .delivered)
        #expect(server.bind(OpenLDAP.name("ada"), password: "later") == 0)
        #expect(bench.harness.metrics["connections"] == 2)
    }

    @Test func `the host's deadline counts if it is earlier than the operation timeout`() async throws {
        let server = try directory()
        let bench = try Bench(server)
        #expect(try await bench.read("ada").outcome == .delivered)
        server.freeze()
        defer { server.resume() }
        var request = Request(.credential, kind: "password.updated", externalID: "bob", secret: "after")
        request.deadline = 200
        let id = bench.harness.deliver(request)
        let completion = try await bench.harness.completion(of: id)
        #expect(completion.outcome == .retry)
    }

    @Test func `a connection in the making holds nobody up much beyond the host's deadline`() async throws {
        let server = try directory()
        let bench = try Bench(server, ["connect_timeout_ms": "60000"])
        server.freeze()
        defer { server.resume() }
        var request = Request(.credential, kind: "password.updated", externalID: "bob", secret: "after")
        request.deadline = 100
        let id = bench.harness.deliver(request)
        #expect(try await bench.harness.completion(of: id, within: .seconds(30)).outcome == .retry)
    }

    @Test func `a server that reads nothing for a while gets everything in the end`() async throws {
        let server = try directory()
        let relay = try Relay(to: server.port)
        defer { relay.stop() }
        let bench = try Bench(server, ["operation_timeout_ms": "60000"], port: relay.port)
        #expect(try await bench.setProfile("ada", #"{"title": ["x"]}"#).outcome == .delivered)
        #expect(try await bench.setProfile("bob", #"{"title": ["x"]}"#).outcome == .delivered)
        relay.holdRequests()
        // More than the kernel keeps for one connection, and more than one request that has to wait.
        let text = String(repeating: "0123456789", count: 100_000)
        let ids = (0..<10).map { index in
            let attributes = "{\"description\": [\"\(index) \(text)\"]}"
            let name = index % 2 == 0 ? "ada" : "bob"
            return bench.harness.deliver(
                Request(.profile, kind: "profile.updated", externalID: name, attributes: attributes))
        }
        #expect(await eventually { bench.harness.metrics["stalls"] ?? 0 > 0 })
        relay.releaseRequests()
        #expect(try await bench.harness.completions(of: ids).allSatisfy { $0.outcome == .delivered })
        // Alone, so that no other request's answer is the occasion to write the rest of it.
        relay.holdRequests()
        let stalls = bench.harness.metrics["stalls"] ?? 0
        let whole = String(repeating: text, count: 8)
        let id = bench.harness.deliver(
            Request(
                .profile, kind: "profile.updated", externalID: "ada",
                attributes: "{\"description\": [\"\(whole)\"]}"))
        #expect(await eventually { bench.harness.metrics["stalls"] ?? 0 > stalls })
        relay.releaseRequests()
        #expect(try await bench.harness.completion(of: id).outcome == .delivered)
        let arrived = server.values("description", of: OpenLDAP.name("ada")) == [whole]
        #expect(arrived)
        #expect(bench.harness.metrics["connections"] == 1)
    }

    @Test func `requests that a server never reads are told apart from those it may still read`() async throws {
        let server = try directory()
        let relay = try Relay(to: server.port)
        defer { relay.stop() }
        let bench = try Bench(server, ["operation_timeout_ms": "5000"], port: relay.port)
        #expect(try await bench.setProfile("ada", #"{"title": ["x"]}"#).outcome == .delivered)
        relay.holdRequests()
        let text = String(repeating: "0123456789", count: 100_000)
        let ids = (0..<10).map { index in
            bench.harness.deliver(
                Request(
                    .profile, kind: "profile.updated", externalID: "ada",
                    attributes: "{\"description\": [\"\(index) \(text)\"]}"))
        }
        #expect(await eventually { bench.harness.metrics["stalls"] ?? 0 > 0 })
        let outcomes = try await bench.harness.completions(of: ids).map(\.outcome)
        // What went into the socket whole may still arrive; what did not is known not to.
        #expect(outcomes.first == .unknown)
        #expect(outcomes.last == .retry)
        relay.releaseRequests()
        #expect(try await bench.setPasswordPatiently("ada", "after").outcome == .delivered)
    }

    @Test func `a server that is gone without a word is noticed within about a minute`() async throws {
        let server = try directory()
        let bench = try Bench(server)
        #expect(try await bench.setPassword("ada", "after").outcome == .delivered)
        let sockets = (3..<65_536).filter { peerPort(of: $0) == server.port }
        try #require(sockets.count == 1)
        let idle = option(TCP_KEEPIDLE, of: sockets[0])
        let probes = option(TCP_KEEPINTVL, of: sockets[0]) * option(TCP_KEEPCNT, of: sockets[0])
        #expect((30...60).contains(idle + probes))
        #expect(option(TCP_USER_TIMEOUT, of: sockets[0]) == 60_000)
    }

    // MARK: Cancelling

    @Test func `cancelling a sent write leaves it unknown, and what has not been written is retried`() async throws {
        let server = try directory()
        let relay = try Relay(to: server.port)
        defer { relay.stop() }
        let bench = try Bench(server, Self.modify.merging(["in_flight": "2"]) { $1 }, port: relay.port)
        #expect(try await bench.read("ada").outcome == .delivered)
        server.freeze()
        let write = await sent(bench, through: relay, "ada")
        let search = await sent(bench, through: relay, "bob")
        let waiting = bench.sendPassword("bob", "later")
        for id in [waiting, search, write] { bench.harness.cancel(id) }
        #expect(try await bench.harness.completion(of: waiting).outcome == .retry)
        #expect(try await bench.harness.completion(of: search).outcome == .retry)
        #expect(try await bench.harness.completion(of: write).outcome == .unknown)
        server.resume()
        #expect(try await bench.setPasswordPatiently("bob", "last").outcome == .delivered)
        #expect(server.bind(OpenLDAP.name("bob"), password: "last") == 0)
        #expect(bench.harness.metrics["connections"] == 2)
        #expect(bench.harness.strayCompletions.isEmpty)
    }

    @Test func `cancelling what has ended does nothing`() async throws {
        let bench = try Bench(try directory())
        let id = bench.sendPassword("ada", "after")
        #expect(try await bench.harness.completion(of: id).outcome == .delivered)
        bench.harness.cancel(id)
        bench.harness.cancel(4711)
        #expect(try await bench.setPassword("bob", "after").outcome == .delivered)
        #expect(bench.harness.strayCompletions.isEmpty)
    }

    // MARK: Stopping

    @Test func `stop answers everything, even with a silent server`() async throws {
        let server = try directory()
        let relay = try Relay(to: server.port)
        defer { relay.stop() }
        let bench = try Bench(server, Self.modify.merging(["operation_timeout_ms": "60000"]) { $1 }, port: relay.port)
        #expect(try await bench.read("ada").outcome == .delivered)
        server.freeze()
        defer { server.resume() }
        let write = await sent(bench, through: relay, "ada")
        let search = await sent(bench, through: relay, "bob")
        let check = bench.harness.check()
        bench.harness.stop()
        #expect(try await bench.harness.completion(of: write).outcome == .unknown)
        #expect(try await bench.harness.completion(of: search).outcome == .retry)
        #expect(try await bench.harness.completion(of: check).outcome == .retry)
        #expect(bench.harness.open.isEmpty)
    }

    @Test func `stop ends a handshake that nobody answers`() async throws {
        let authority = try authority()
        let server = try directory { $0.authority = authority }
        let relay = try Relay(to: server.tlsPort, holdsAnswers: true)
        defer { relay.stop() }
        let settings = [
            "url": "\"ldaps://127.0.0.1:\(relay.port)\"", "start_tls": "", "allow_cleartext": "",
            "connect_timeout_ms": "60000",
        ]
        let bench = try Bench(server, settings, authority: authority)
        let id = bench.sendPassword("ada", "after")
        let check = bench.harness.check()
        #expect(await eventually { relay.connections == 2 && relay.requestBytes > 200 })
        let start = ContinuousClock.now
        bench.harness.stop()
        #expect(ContinuousClock.now - start < .seconds(50))
        #expect(try await bench.harness.completion(of: id).outcome == .retry)
        #expect(try await bench.harness.completion(of: check).outcome == .retry)
    }
}

/// The TCP port at the other end; `nil` if this is no connection over IPv4.
private func peerPort(of descriptor: Int32) -> UInt16? {
    var address = sockaddr_in()
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let code = withUnsafeMutableBytes(of: &address) { bytes in
        bytes.withMemoryRebound(to: sockaddr.self) { getpeername(descriptor, $0.baseAddress, &size) }
    }
    return code == 0 && Int32(address.sin_family) == AF_INET ? UInt16(bigEndian: address.sin_port) : nil
}

private func option(_ option: Int32, of descriptor: Int32) -> Int32 {
    var value: Int32 = -1
    var size = socklen_t(MemoryLayout<Int32>.size)
    getsockopt(descriptor, Int32(IPPROTO_TCP), option, &value, &size)
    return value
}
