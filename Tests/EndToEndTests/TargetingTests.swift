import Delivery
import EventModel
import Installations
import TargetServers
import Testing
import Workbench

extension `End to end` {
    @Suite struct `Who is served` {
        @Test func `the others are skipped with the reason, and counted`() async throws {
            let workforce = try HTTPReceiver()
            let installation = try Installation(more: [#"targeting: {default_user_type: employee}"#])
            try installation.add(workforce)
            try await installation.start()
            let cases: [(attributes: [String: [String]], reason: String)] = [
                (["syncEnabled": ["false"], "userType": ["employee"], "externalId": ["x"]], "not-enabled"),
                (["userType": ["employee"], "externalId": ["x"]], "not-enabled"),
                (["syncEnabled": ["true"], "userType": ["contractor"], "externalId": ["x"]], "other-user-type"),
                (["syncEnabled": ["true"], "userType": ["employee"]], "no-external-id"),
                (["syncEnabled": ["true"], "externalId": ["x", "y"]], "ambiguous-external-id"),
            ]
            var expected: [String: Int64] = ["made": 6, "delivered": 1]
            for (number, entry) in cases.enumerated() {
                var event = Event(of: "user-\(number)", password: "unwanted secret")
                event.attributes = entry.attributes
                event.isComplete = true
                #expect(try installation.post(event).status == 202)
                expected["skipped:\(entry.reason)", default: 0] += 1
            }
            var typeless = Event(of: "user-of-no-type", password: "welcome secret")
            typeless.attributes["userType"] = nil
            typeless.isComplete = true
            try installation.post(typeless)
            let requests = try await workforce.requests(1)
            try await installation.settled(6)
            #expect(requests.map(\.path) == ["/users/user-of-no-type/password"])
            #expect(workforce.requests.count == 1)
            #expect(try installation.provider("workforce").report.counters == expected)
        }

        @Test func `without its attributes nobody is taken for somebody who opted in`() async throws {
            let workforce = try HTTPReceiver()
            let installation = try Installation()
            try installation.add(workforce)
            try await installation.start()
            var event = Event(password: "unwanted secret")
            event.attributes = [:]
            try installation.post(event)
            try await eventually("it is skipped") {
                try installation.counter("skipped:attributes-unknown", of: "workforce") == 1
            }
            // What an earlier event told is enough.
            try installation.post(Event(.profileUpdated))
            event = Event(password: "welcome secret")
            event.attributes = [:]
            try installation.post(event)
            // The profile goes in a lane of its own, before or after it.
            #expect(try await workforce.requests(2).contains { $0.text.contains("welcome secret") })
        }

        @Test func `sync can be off for one provider, and for all by a variable`() async throws {
            let workforce = try HTTPReceiver()
            let idle = try HTTPReceiver()
            let installation = try Installation()
            try installation.add(workforce)
            try installation.add(idle, as: "idle", more: "enabled: false")
            try await installation.start()
            try installation.post(Event(password: "one secret"))
            _ = try await workforce.requests(1)
            try await installation.settled(1)
            #expect(try installation.counter("skipped:provider-off", of: "idle") == 1)
            try await installation.stop()

            try await installation.start(environment: ["RUNTIME_SYNC_ENABLED=false"])
            try installation.post(Event(password: "two secrets"))
            try await eventually("it is skipped") {
                try installation.counter("skipped:sync-off", of: "workforce") == 1
            }
            #expect(workforce.requests.count == 1)
            #expect(idle.requests.isEmpty)
        }

        @Test func `the variables of the seed win over the files`() async throws {
            let workforce = try HTTPReceiver()
            let installation = try Installation(more: [#"targeting: {default_user_type: contractor}"#])
            try installation.add(
                provider: "workforce", plugin: "WorkforceHTTP", "user_types: [employee]",
                "settings: {base_url: \"http://127.0.0.1:1\", allow_cleartext: true}")
            try await installation.start(environment: [
                "RUNTIME_SYNC_DEFAULT_USER_TYPE=employee",
                "RUNTIME_SYNC_PROVIDER_WORKFORCE_SETTINGS_BASE_URL=\(workforce.url)",
            ])
            var event = Event(password: "one secret")
            event.attributes["userType"] = nil
            event.isComplete = true
            try installation.post(event)
            #expect(try await workforce.requests(1).count == 1)
        }

        @Test func `opting out while a password waits wins`() async throws {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1"))
            let installation = try Installation(directory)
            try await installation.start()
            directory.stop()
            try installation.post(Event(password: "unwanted secret"))
            try await eventually("it waits") { try installation.queue().count == 1 }
            var event = Event(.profileUpdated)
            event.attributes["syncEnabled"] = ["false"]
            try installation.post(event)
            try await eventually("the profile is skipped") { try installation.counter("skipped:not-enabled") >= 1 }
            try directory.start()
            try await installation.settled(2)
            #expect(directory.bind(OpenLDAP.name("u1"), password: "before") == 0)
            #expect(try installation.provider().report.counters == ["made": 2, "skipped:not-enabled": 2])
        }

        @Test func `somebody else's account is refused, by its external id and by what the directory takes for it`()
            async throws
        {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1"))
            let installation = try Installation(directory)
            try await installation.start()
            try installation.post(Event(password: "owner's secret"))
            try await installation.settled(1)
            // `uid` is compared without regard to case: `U1` is another external id and the same entry.
            for (user, id) in [("thief", "u1"), ("late-thief", "U1"), ("third-thief", " u1")] {
                var event = Event(of: user, password: "thief's secret")
                event.attributes["externalId"] = [id]
                try installation.post(event)
            }
            let dead = try await eventually("three dead letters") {
                let dead = try installation.queue().filter { $0.state == "dead" }
                return dead.count == 3 ? dead : nil
            }
            let owner = "another user: u1 of realm corp at prod"
            #expect(dead.allSatisfy { $0.detail?.contains(owner) == true }, "\(dead)")
            #expect(directory.bind(OpenLDAP.name("u1"), password: "owner's secret") == 0)

            // The owner still is one, after a restart too.
            try await installation.stop()
            try await installation.start()
            try installation.post(Event(password: "owner's second secret"))
            try await eventually("it is written") {
                directory.bind(OpenLDAP.name("u1"), password: "owner's second secret") == 0
            }
        }

        @Test func `a changed external id does not move a password to another account`() async throws {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1") + OpenLDAP.account("u2"))
            let installation = try Installation(directory)
            try await installation.start()
            try installation.post(Event(password: "owner's secret"))
            try await installation.settled(1)
            var event = Event(password: "moved secret")
            event.attributes["externalId"] = ["u2"]
            try installation.post(event)
            let dead = try await installation.deadLetter()
            #expect(dead.reason == "refused" || dead.reason == "conflict", "\(dead)")
            #expect(directory.bind(OpenLDAP.name("u2"), password: "before") == 0)
        }
    }
}
