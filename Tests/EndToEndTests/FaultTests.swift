import Delivery
import EventModel
import Glibc
import Installations
import TargetServers
import Testing
import Workbench

extension `End to end` {
    @Suite struct `When something breaks` {
        @Test func `a worker that is killed in mid-delivery is replaced, and the password arrives`() async throws {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1"))
            let workforce = try HTTPReceiver()
            let installation = try Installation(directory)
            try installation.add(workforce)
            try await installation.start()
            let before = try installation.provider()
            directory.freeze()
            try installation.post(Event(password: "one secret"))
            try await eventually("it is under way") { try installation.provider().report.inFlight == 1 }
            kill(try #require(before.pid), SIGKILL)
            directory.resume()
            try await installation.settled(1)
            #expect(directory.bind(OpenLDAP.name("u1"), password: "one secret") == 0)
            let after = try installation.provider()
            #expect(after.restarts == 1)
            #expect(after.pid != before.pid)
            #expect(try installation.provider("workforce").restarts == 0)
        }

        @Test func `a newer password waits until the worker is gone that would not end an older one`() async throws {
            let installation = try Installation()
            try installation.add(provider: "puppet", plugin: "Puppet", "user_types: [employee]", "deadline: 100ms")
            try await installation.start()
            let before = try installation.provider("puppet")
            var older = Event(password: "older secret")
            older.attributes["externalId"] = ["keep"]
            try installation.post(older)
            try await eventually("it is under way") { try installation.provider("puppet").report.inFlight == 1 }
            var newer = Event(password: "newer secret")
            newer.attributes["externalId"] = ["print"]
            try installation.post(newer)
            try await installation.settled(2)
            let after = try installation.provider("puppet")
            #expect(after.report.counters == ["made": 2, "superseded": 1, "delivered": 1])
            #expect(after.restarts == 1 && after.pid != before.pid)
            let pid = try #require(before.pid)
            #expect(kill(pid, 0) == -1 && errno == ESRCH)
            let log = installation.log.utf8
            let lost = try #require(log.firstRange(of: "worker lost".utf8))
            let delivered = try #require(log.firstRange(of: "delivery: delivered".utf8))
            #expect(lost.lowerBound < delivered.lowerBound)
        }

        @Test(arguments: [SIGSEGV, SIGABRT, SIGILL])
        func `a daemon that crashes dumps nothing and prints nothing`(signal: Int32) async throws {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1"))
            let installation = try Installation(directory)
            try await installation.start()
            directory.stop()
            try installation.post(Event(password: "one secret"))
            try await eventually("it waits") { try installation.queue().count == 1 }
            let daemon = try #require(installation.daemon)
            let log = installation.log
            daemon.signal(signal)
            #expect(try await installation.end() == 128 + signal)
            #expect(!daemon.hasDumpedCore)
            let more = installation.log.dropFirst(log.count)
            #expect(!more.contains("Crash") && !more.contains("0x") && !more.contains("secret"), "\(more)")
        }

        @Test func `a second daemon on the same journal is refused, and the first goes on`() async throws {
            let workforce = try HTTPReceiver()
            let installation = try Installation()
            try installation.add(workforce)
            try await installation.start()
            let second = try await installation.run("serve")
            #expect(second.code == 1)
            #expect(second.errors.contains("\(installation.folder.path)/journal"))
            try installation.post(Event(password: "one secret"))
            _ = try await workforce.requests(1)
            try await installation.settled(1)
        }

        @Test func `a wrong service password holds the provider back, and a right one lets all go`() async throws {
            let users = (0..<5).map { "u\($0)" }
            let directory = try OpenLDAP(entries: users.map { OpenLDAP.account($0) }.joined())
            let installation = try Installation(directory)
            try installation.folder.write("secrets/ldap", "a wrong one")
            try await installation.start()
            for user in users { try installation.post(Event(of: user, password: "one secret")) }
            let held = try await eventually("it is held back") {
                let report = try installation.provider().report
                return report.state == "held back" && report.waiting == users.count ? report : nil
            }
            #expect(held.reason.contains("invalidCredentials"), "\(held)")
            #expect(!installation.log.contains("a wrong one"))
            try await eventually("the queue's list tells why") {
                try await installation.run("queue", "list").output.contains("invalidCredentials")
            }
            try await installation.stop()
            try installation.folder.write("secrets/ldap", OpenLDAP.servicePassword)
            try await installation.start()
            try await installation.settled(5)
            for user in users { #expect(directory.bind(OpenLDAP.name(user), password: "one secret") == 0) }
        }

        @Test func `a provider that observes decides and sends nothing`() async throws {
            let workforce = try HTTPReceiver()
            let installation = try Installation()
            try installation.add(workforce, more: "mode: observe")
            try await installation.start()
            try installation.post(Event(password: "one secret"))
            try await eventually("it is counted") {
                try installation.counter("skipped:observed", of: "workforce") == 1
            }
            #expect(try installation.provider("workforce").pid == nil)
            #expect(workforce.requests.isEmpty)
        }
    }

    @Suite struct `Over secured connections` {
        @Test func `a directory with StartTLS or ldaps and a target with https take passwords from the sandbox`()
            async throws
        {
            let authority = try CertificateAuthority()
            var options = OpenLDAP.Options()
            options.entries = OpenLDAP.account("u1")
            options.authority = authority
            let directory = try OpenLDAP(options)
            let issuer = try CertificateAuthority()
            let target = try Nginx(
                locations: "location / { return 204; }", certificate: try issuer.issue("server"))
            let installation = try Installation()
            let trust = "ca_file: \(authority.certificateFile)"
            try installation.add(directory, as: "start-tls", security: ["start_tls: true", trust])
            try installation.add(
                provider: "ldaps", plugin: "LDAPPassword", "user_types: [employee]", "settings:",
                "  url: \(directory.tlsURL)", "  \(trust)", "  bind_dn: \(OpenLDAP.service)",
                "  bind_password: {file: ../secrets/ldap}", "  base: \(OpenLDAP.people)",
                #"  account_dn: "uid={{externalId}},ou=people,dc=example,dc=org""#)
            try installation.add(
                provider: "https", plugin: "WorkforceHTTP", "user_types: [employee]", "settings:",
                "  base_url: \(target.tlsURL)", "  ca_file: \(issuer.certificateFile)")
            try installation.add(
                provider: "stranger", plugin: "WorkforceHTTP", "user_types: [employee]", "settings:",
                "  base_url: \(target.tlsURL)", "  ca_file: \(authority.certificateFile)")
            let check = try await installation.run("check")
            #expect(check.code == 1)
            for name in ["start-tls", "ldaps", "https"] { #expect(check.output.contains("provider \(name): fine")) }
            #expect(check.output.contains("provider stranger: misconfigured"), "\(check)")

            try await installation.start()
            try installation.post(Event(password: "one secret"))
            for name in ["start-tls", "ldaps", "https"] { try await installation.settled(1, at: name) }
            #expect(directory.bind(OpenLDAP.name("u1"), password: "one secret") == 0)
            try await eventually("the target that nobody vouches for is held back") {
                try installation.provider("stranger").report.state == "held back"
            }
            #expect(try installation.counter("delivered", of: "stranger") == 0)
        }
    }

    @Suite struct `The life of a user` {
        @Test func `a new user's record and password, a disabling and the end reach the target in their order`()
            async throws
        {
            let workforce = try HTTPReceiver()
            let installation = try Installation()
            try installation.add(workforce)
            try await installation.start()
            var created = Event(.userCreated, password: "first secret")
            created.profile = ["username": "u1", "email": "u1@corp.example"]
            try installation.post(created)
            _ = try await workforce.requests(2)
            try installation.post(Event(.userDisabled))
            _ = try await workforce.requests(3)
            try installation.post(Event(.userDeleted))
            let requests = try await workforce.requests(4)
            #expect(requests.map(\.method) == ["PUT", "PUT", "PATCH", "DELETE"])
            #expect(requests.prefix(2).map(\.path) == ["/users/u1", "/users/u1/password"])
            try await installation.settled(4)
            // The account has no owner any more.
            var next = Event(of: "successor", password: "next secret")
            next.attributes["externalId"] = ["u1"]
            try installation.post(next)
            #expect(try await workforce.requests(5).last?.text.contains("next secret") == true)
        }

        @Test func `nobody gets the password of a user who was deleted while it waited`() async throws {
            let workforce = try HTTPReceiver()
            let installation = try Installation()
            try installation.add(workforce)
            try await installation.start()
            try installation.post(Event(password: "first secret"))
            _ = try await workforce.requests(1)
            try await installation.settled(1)
            #expect(try await installation.run("providers", "pause", "workforce").code == 0)
            try installation.post(Event(password: "late secret"))
            try installation.post(Event(.userDeleted))
            try await eventually("the password is dropped") {
                try installation.counter("dropped:subject-deleted", of: "workforce") == 1
            }
            #expect(try await installation.run("providers", "resume", "workforce").code == 0)
            let requests = try await workforce.requests(2)
            try await installation.settled(3)
            #expect(requests.map(\.method) == ["PUT", "DELETE"])
        }
    }
}
