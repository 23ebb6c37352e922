import Delivery
import Glibc
import Installations
import TargetServers
import Testing
import Workbench

extension `End to end` {
    @Suite struct `When the directory is away` {
        @Test func `a password is accepted, waits, and arrives when the directory is back`() async throws {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1"))
            let installation = try Installation(directory)
            try await installation.start()
            directory.stop()
            #expect(try installation.post(Event(password: "patient secret")).status == 202)
            let waiting = try await eventually("an attempt failed") {
                try installation.queue().first { $0.attempt > 0 }
            }
            #expect(waiting.state == "waiting" || waiting.state == "in flight")
            #expect(waiting.hasSecret == true)
            try directory.start()
            try await installation.settled(1)
            #expect(directory.bind(OpenLDAP.name("u1"), password: "patient secret") == 0)
            #expect(try installation.provider().report.counters == ["made": 1, "delivered": 1])
        }

        @Test func `it arrives even if the daemon was restarted meanwhile, and both began without the directory`()
            async throws
        {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1"))
            directory.stop()
            let installation = try Installation(directory)
            try await installation.start()
            #expect(try installation.post(Event(password: "patient secret")).status == 202)
            try await eventually("an attempt failed") { try installation.queue().contains { $0.attempt > 0 } }
            #expect(try await installation.stop() == 0)
            try await installation.start()
            #expect(try installation.queue().map(\.kind) == ["password.updated"])
            try directory.start()
            try await installation.settled(1)
            #expect(directory.bind(OpenLDAP.name("u1"), password: "patient secret") == 0)
            #expect(try installation.provider().report.unaccounted == 0)
        }

        @Test func `a log that nobody reads holds nobody up`() async throws {
            let workforce = try HTTPReceiver(.answer(400))
            let installation = try Installation()
            try installation.add(workforce)
            try #require(mkfifo(installation.logFile, 0o600) == 0)
            let log = open(installation.logFile, O_RDWR | O_NONBLOCK | O_CLOEXEC)
            defer { close(log) }
            // One page, the least there is.
            try #require(fcntl(log, fSetPipeSize, 4_096) == 4_096)
            try installation.launch()
            var heard: [UInt8] = []
            let port = try await eventually("it listens") { () -> UInt16? in
                var bytes = [UInt8](repeating: 0, count: 4_096)
                let count = read(log, &bytes, bytes.count)
                heard += bytes.prefix(max(0, count))
                let log = String(decoding: heard, as: UTF8.self)
                return log.firstMatch(of: #/listening address=127\.0\.0\.1:(\d+)\n/#).flatMap { UInt16($0.1) }
            }
            let connection = try Connection(port: port)
            for number in 1...200 {
                try connection.send(installation.kc.request(Event(of: "u\(number)", password: "s\(number)").bytes))
                #expect(try connection.answer().status == 202)
            }
            // Each is refused, which is worth a line.
            _ = try await workforce.requests(200)
            try await eventually("all have ended") { try installation.counter("dead", of: "workforce") == 200 }
            #expect(try await installation.stop() == 0)
        }

        @Test func `of many passwords only the last is written, once`() async throws {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1"))
            let workforce = try HTTPReceiver(.answer(503))
            let installation = try Installation(directory)
            try installation.add(workforce)
            try await installation.start()
            directory.stop()
            let connection = try installation.connect()
            for number in 1...50 {
                try connection.send(installation.kc.request(Event(password: "secret number \(number)").bytes))
                #expect(try connection.answer().status == 202)
            }
            try await eventually("only one is left for each provider") { try installation.queue().count == 2 }
            // What was under way while the passwords came may have been any of them.
            let before = workforce.requests.count
            workforce.always(.answer(204))
            try directory.start()
            try await installation.settled(50)
            #expect(directory.bind(OpenLDAP.name("u1"), password: "secret number 50") == 0)
            let after = workforce.requests.dropFirst(before)
            #expect(after.allSatisfy { $0.text.contains("secret number 50") })
            for status in try installation.providers() {
                #expect(status.report.counters == ["made": 50, "delivered": 1, "superseded": 49])
            }
        }

        @Test func `an older version that comes later is superseded and never sent`() async throws {
            let workforce = try HTTPReceiver()
            let installation = try Installation()
            try installation.add(workforce)
            try await installation.start()
            let posts = [(7, "seventh secret"), (5, "fifth secret"), (8, "eighth secret")]
            for (number, (sequence, password)) in posts.enumerated() {
                var event = Event(password: password)
                event.version = ("kc-0", sequence)
                #expect(try installation.post(event).status == 202)
                try await installation.settled(Int64(number + 1))
            }
            #expect(workforce.requests.map { $0.text.contains("fifth") } == [false, false])
            #expect(workforce.requests.last?.text.contains("eighth secret") == true)
            let counters = try installation.provider("workforce").report.counters
            #expect(counters == ["made": 3, "delivered": 2, "superseded": 1])

            // The mark outlives the daemon.
            try await installation.stop()
            try await installation.start()
            var late = Event(password: "sixth secret")
            late.version = ("kc-0", 6)
            try installation.post(late)
            try await eventually("it is superseded") {
                try installation.counter("superseded", of: "workforce") == 2
            }
            #expect(workforce.requests.count == 2)
        }

        @Test func `a password event without its password displaces nothing`() async throws {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1"))
            let installation = try Installation(directory)
            try await installation.start()
            directory.stop()
            try installation.post(Event(password: "captured secret"))
            try installation.post(Event())
            try await eventually("it is skipped") { try installation.counter("skipped:not-captured") == 1 }
            let report = try await installation.run(
                "explain", "--instance", "prod", "--realm", "corp", "u1", "--json")
            #expect(report.output.contains("notCapturedSince"))
            try directory.start()
            try await installation.settled(2)
            #expect(directory.bind(OpenLDAP.name("u1"), password: "captured secret") == 0)
            #expect(try installation.counter("delivered") == 1)
        }

        @Test func `a directory that dies in the middle has the newest password in the end`() async throws {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1") + OpenLDAP.account("u2"))
            let installation = try Installation(directory)
            try await installation.start()
            directory.freeze()
            try installation.post(Event(password: "older secret"))
            try installation.post(Event(of: "u2", password: "other secret"))
            try await eventually("both are under way") { try installation.provider().report.inFlight == 2 }
            try installation.post(Event(password: "newer secret"))
            try await eventually("the newer one waits") { try installation.provider().report.waiting == 1 }
            directory.crash()
            try directory.start()
            try await installation.settled(3)
            #expect(directory.bind(OpenLDAP.name("u1"), password: "newer secret") == 0)
            #expect(directory.bind(OpenLDAP.name("u2"), password: "other secret") == 0)
            #expect(try installation.provider().report.unaccounted == 0)
            #expect(try installation.queue().isEmpty)
        }
    }

    @Suite struct `When a target fails for some` {
        @Test func `all others get their passwords`() async throws {
            let workforce = try HTTPReceiver()
            workforce.always(.answer(500), at: "/users/bad")
            workforce.always(.answer(401), at: "/users/barred")
            let installation = try Installation()
            try installation.add(workforce)
            try await installation.start()
            let users = ["barred"] + (1...20).map { "bad\($0)" } + (1...40).map { "good\($0)" }
            let lines = users.map { Event(of: $0, password: "secret of \($0)").bytes }
            let answer = try installation.post(
                installation.kc.request(Array(lines.joined(separator: [10])), type: "application/x-ndjson"))
            #expect(answer.status == 202)
            try await eventually("all others have theirs") {
                try installation.counter("delivered", of: "workforce") == 40
            }
            try await eventually("those who fail are left alone") {
                let report = try installation.provider("workforce").report
                return report.state == "running" && report.waiting + report.inFlight == 21
            }
            try installation.post(Event(of: "good41", password: "one secret more"))
            try await eventually("it goes at once") {
                try installation.counter("delivered", of: "workforce") == 41
            }
            let queue = try installation.queue()
            #expect(Set(queue.map(\.user)) == Set(users.prefix(21)))
        }
    }

    @Suite struct `When the directory says no` {
        @Test func `a password waits for its account, and retry sends it at once`() async throws {
            let directory = try OpenLDAP()
            let installation = try Installation(directory)
            try await installation.start()
            try installation.post(Event(password: "early secret"))
            let waiting = try await eventually("it waits for the account") {
                try installation.queue().first { $0.state == "waiting" && $0.due != nil }
            }
            #expect(waiting.attempt == 1)
            try directory.apply(OpenLDAP.account("u1"))
            #expect(try await installation.run("queue", "retry", "\(waiting.id)").code == 0)
            try await installation.settled(1)
            #expect(directory.bind(OpenLDAP.name("u1"), password: "early secret") == 0)
        }

        @Test func `what may not be written is a dead letter with the directory's words, and stops nobody`()
            async throws
        {
            let entries =
                OpenLDAP.account("u1") + OpenLDAP.account("cold", place: "ou=frozen") + """
                    dn: uid=elsewhere,ou=people,dc=example,dc=org
                    objectClass: referral
                    objectClass: extensibleObject
                    uid: elsewhere
                    ref: ldap://127.0.0.1:1/uid=elsewhere,ou=people,dc=example,dc=org


                    """
            let directory = try OpenLDAP(entries: entries, hasPolicy: true)
            let installation = try Installation()
            try installation.add(directory)
            try installation.add(
                directory, as: "by-number",
                account: #"account_filter: "(&(objectClass=inetOrgPerson)(employeeNumber={{externalId}}))""#)
            try await installation.start()
            try installation.post(Event(of: "cold", password: "long enough"))
            try installation.post(Event(of: "u1", password: "short"))
            try installation.post(Event(of: "elsewhere", password: "long enough"))
            let dead = try await eventually("four dead letters") {
                let dead = try installation.queue().filter { $0.state == "dead" }
                return dead.count == 4 ? dead : nil
            }
            func words(_ user: String, _ provider: String) -> String {
                dead.first { $0.user == user && $0.provider == provider }?.detail ?? ""
            }
            #expect(words("cold", "by-number").contains("insufficientAccessRights (50)"))
            #expect(words("u1", "ldap").contains("constraintViolation (19)"))
            #expect(words("u1", "by-number").contains("quality"))
            #expect(words("elsewhere", "ldap").contains("referral (10)"))
            #expect(dead.allSatisfy { $0.reason == "refused" })

            try installation.post(Event(of: "u1", password: "much longer"))
            try await eventually("it is written") {
                directory.bind(OpenLDAP.name("u1"), password: "much longer") == 0
            }
        }

        @Test func `a name that the directory takes for none is that user's trouble alone`() async throws {
            let domain = """
                dn: dc=zoe,ou=people,dc=example,dc=org
                objectClass: inetOrgPerson
                objectClass: dcObject
                cn: Zoe
                sn: Zoe
                dc: zoe
                userPassword: before


                """
            let directory = try OpenLDAP(entries: domain)
            let installation = try Installation()
            // `dc` takes ASCII only: what is a name to us (RFC 4514) is an invalid one to the directory.
            try installation.add(directory, account: #"account_dn: "dc={{externalId}},ou=people,dc=example,dc=org""#)
            try await installation.start()
            try installation.post(Event(of: "zoë", password: "one secret"))
            let dead = try await installation.deadLetter()
            #expect(dead.reason == "refused" && dead.attempt == 1, "\(dead)")
            #expect(dead.detail?.contains("invalidDNSyntax (34)") == true, "\(dead)")
            try installation.post(Event(of: "zoe", password: "two secrets"))
            try await installation.settled(2)
            #expect(directory.bind("dc=zoe,ou=people,dc=example,dc=org", password: "two secrets") == 0)
            #expect(try installation.queue().map(\.id) == [dead.id])
        }

        @Test func `an external id is data, whatever stands in it`() async throws {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1") + OpenLDAP.account("u2"))
            let installation = try Installation(directory)
            try installation.add(
                directory, as: "by-number",
                account: #"account_filter: "(&(objectClass=inetOrgPerson)(employeeNumber={{externalId}}))""#)
            try await installation.start()
            for (user, id) in [("a", "u1,ou=people"), ("b", "*"), ("c", "u1)(uid=*"), ("d", "u1\u{0}"), ("e", "#")] {
                var event = Event(of: user, password: "intruding secret")
                event.attributes["externalId"] = [id]
                #expect(try installation.post(event).status == 202)
            }
            try await eventually("all were tried") { try installation.queue().filter { $0.attempt > 0 }.count == 10 }
            for user in ["u1", "u2"] { #expect(directory.bind(OpenLDAP.name(user), password: "before") == 0) }
        }
    }
}

/// `F_SETPIPE_SZ` of fcntl(2), which Glibc's module does not show.
private let fSetPipeSize: Int32 = 1_031
