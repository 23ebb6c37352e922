import Delivery
import EventModel
import Installations
import TargetServers
import Testing
import Workbench

extension `End to end` {
    @Suite struct `From the source to the targets` {
        @Test func `a changed password is the one that binds, and the workforce system gets it too`() async throws {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1"))
            let workforce = try HTTPReceiver()
            let installation = try Installation(directory)
            try installation.add(workforce)
            try await installation.start()

            let answer = try installation.post(Event(password: "first secret"))
            #expect(answer.status == 202)
            #expect(answer.member("status") == "accepted")
            let requests = try await workforce.requests(1)
            try await installation.settled(1)
            #expect(directory.bind(OpenLDAP.name("u1"), password: "first secret") == 0)
            #expect(directory.bind(OpenLDAP.name("u1"), password: "before") == 49)
            #expect(requests.map(\.method) == ["PUT"])
            #expect(requests.map(\.path) == ["/users/u1/password"])
            #expect(requests[0].text.contains(#""password":"first secret""#))

            #expect(try installation.post(Event(password: "second secret")).status == 202)
            try await eventually("the second password is written") {
                directory.bind(OpenLDAP.name("u1"), password: "second secret") == 0
            }
            #expect(directory.bind(OpenLDAP.name("u1"), password: "first secret") == 49)
            let both = try await workforce.requests(2)
            #expect(both[0].header("idempotency-key") != both[1].header("idempotency-key"))
            try await installation.settled(2)
            for status in try installation.providers() {
                #expect(status.report.counters == ["made": 2, "delivered": 2])
                #expect(status.report.unaccounted == 0)
            }
            #expect(try await installation.stop() == 0)
        }

        @Test func `a slow workforce system does not hold the directory up`() async throws {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1"))
            let workforce = try HTTPReceiver(.held(.answer(204)))
            let installation = try Installation(directory)
            try installation.add(workforce)
            try await installation.start()
            try installation.post(Event(password: "one secret"))
            try await workforce.holding(1)
            try await eventually("the directory has it") { try installation.counter("delivered") == 1 }
            #expect(directory.bind(OpenLDAP.name("u1"), password: "one secret") == 0)
            #expect(try installation.counter("delivered", of: "workforce") == 0)
            workforce.release()
            try await installation.settled(1)
            #expect(try installation.counter("delivered", of: "workforce") == 1)
        }

        @Test func `a changed profile writes the mapped attributes, and what is gone at the source goes`() async throws
        {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1"))
            let workforce = try HTTPReceiver()
            let installation = try Installation(directory)
            try installation.add(workforce)
            try await installation.start()
            var event = Event(.profileUpdated)
            event.profile = ["email": "u1@corp.example", "firstName": "Zoë"]
            event.attributes["department"] = ["HR", "Ops"]
            event.attributes["shoeSize"] = ["43"]
            try installation.post(event)
            try await installation.settled(1)
            let entry = OpenLDAP.name("u1")
            #expect(directory.values("mail", of: entry) == ["u1@corp.example"])
            #expect(directory.values("givenName", of: entry) == ["Zoë"])
            #expect(directory.values("departmentNumber", of: entry)?.sorted() == ["HR", "Ops"])
            #expect(directory.bind(entry, password: "before") == 0)
            let request = try await workforce.requests(1)[0]
            #expect(request.method == "PATCH")
            #expect(request.text == #"{"attributes":{"email":["u1@corp.example"]}}"#)

            // Unknown stays, absent goes.
            event = Event(.profileUpdated)
            event.profile = ["email": "new@corp.example"]
            event.attributes["department"] = []
            try installation.post(event)
            try await installation.settled(2)
            #expect(directory.values("mail", of: entry) == ["new@corp.example"])
            #expect(directory.values("givenName", of: entry) == ["Zoë"])
            #expect(directory.values("departmentNumber", of: entry) == [])
        }

        @Test func `logins, failed logins and logouts are told to those who want to know`() async throws {
            let eligible = try HTTPReceiver()
            let all = try HTTPReceiver()
            let installation = try Installation()
            try installation.add(eligible, as: "workforce")
            try installation.add(all, as: "feed", more: "notify: all")
            try await installation.start()
            try installation.post(Event(.loginSucceeded))
            try installation.post(Event(.loginFailed))
            try installation.post(Event(.logout))
            var stranger = Event(.loginFailed, of: nil)
            stranger.more["error"] = .string("user_not_found")
            stranger.more["details"] = .object([.init("username", .string("nobody"))])
            try installation.post(stranger)
            var other = Event(.loginFailed, of: "u2")
            other.attributes["syncEnabled"] = ["false"]
            try installation.post(other)

            let told = try await all.requests(5).map(\.text)
            try await installation.settled(5)
            #expect(told.filter { $0.contains(#""kind":"login.failed""#) }.count == 3)
            #expect(told.contains { $0.contains(stranger.id) && $0.contains("user_not_found") })
            let some = eligible.requests
            #expect(Set(some.map(\.path)) == ["/events"])
            #expect(some.count == 3)
            for kind in ["login.succeeded", "login.failed", "logout"] {
                #expect(some.filter { $0.text.contains(#""kind":"\#(kind)""#) }.count == 1)
            }
            let counters = try installation.provider("workforce").report.counters
            #expect(counters == ["made": 5, "delivered": 3, "skipped:no-subject": 1, "skipped:not-enabled": 1])
        }

        @Test func `a directory gets no notifications`() async throws {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1"))
            let installation = try Installation(directory)
            try await installation.start()
            try installation.post(Event(.loginSucceeded))
            try await eventually("it is skipped") { try installation.counter("skipped:kind-not-routed") == 1 }
        }
    }
}

extension OpenLDAP {
    /// A directory with entries.
    convenience init(entries: String, hasPolicy: Bool = false) throws {
        var options = Options()
        options.entries = entries
        options.hasPolicy = hasPolicy
        try self.init(options)
    }
}
