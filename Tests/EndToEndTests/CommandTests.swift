import Delivery
import EventModel
import Glibc
import Installations
import Journal
import TargetServers
import Testing
import Workbench

extension `End to end` {
    @Suite struct `The commands` {
        @Test func `the providers' list tells of a full journal, and of what cannot be read in it`() async throws {
            let workforce = try HTTPReceiver(.answer(422))
            let installation = try Installation()
            try installation.add(workforce)
            try await installation.start()
            try installation.post(Event(password: "one secret"))
            let dead = try await installation.deadLetter()
            try await installation.stop()
            // As a newer version would have left it.
            let journal = try Journal(folder: "\(installation.folder.path)/journal")
            journal.start(observer: Nobody()) { Issue.record("\($0)") }
            var letter = try #require(try journal.deadLetters().first)
            letter.kindNumber = 258
            var changes = JournalChanges()
            changes.deadLetters = [.put(letter)]
            try journal.submit(changes)
            try journal.close()

            try await installation.start(environment: ["RUNTIME_SYNC_JOURNAL_MAX_EVENTS=1000"])
            let well = try await installation.run("providers", "list")
            #expect(well.errors.isEmpty)
            #expect(well.output.contains("not readable in the journal: 1 dead letters"), "\(well)")
            let list = try await installation.run("queue", "list")
            #expect(list.output.contains("unreadable of kind 258"), "\(list)")

            var logout = Event(.logout)
            logout.attributes["userType"] = ["guest"]
            let lines = (0..<1_000).map { number in
                logout.id = "logout-\(number)"
                return logout.bytes
            }
            _ = try installation.post(
                installation.kc.request(Array(lines.joined(separator: [10])), type: "application/x-ndjson"))
            try await eventually("the journal is full") { try installation.post(Event(.logout)).status == 503 }
            let full = try await installation.run("providers", "list")
            #expect(full.output.contains("events are refused since "), "\(full)")
            let json = try await installation.run("providers", "list", "--json")
            for words in [#""unreadable":{"dead letters":1}"#, #""want":{"last":""#] {
                #expect(json.output.contains(words), "\(words): \(json)")
            }
            let dropped = try await installation.run("queue", "drop", "\(dead.id)")
            #expect(dropped.code == 0, "\(dropped)")
            #expect(try installation.provider("workforce").report.unreadable.isEmpty)
        }

        @Test func `the queue is listed, shown, retried and dropped`() async throws {
            let workforce = try HTTPReceiver(.answer(422, body: "too weak"))
            let installation = try Installation()
            try installation.add(workforce)
            try await installation.start()
            let nothing = try await installation.run("queue", "list")
            #expect(nothing.code == 0)
            #expect(nothing.output == "nothing waits, and there are no dead letters\n")

            let event = Event(password: "one secret")
            try installation.post(event)
            let dead = try await installation.deadLetter()
            let list = try await installation.run("queue", "list")
            #expect(list.code == 0)
            let rows = list.output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
            #expect(
                rows[0] == ["ID", "PROVIDER", "KIND", "USER", "STATE", "ATTEMPTS", "DUE", "REASON", "DETAIL"])
            #expect(rows[1].prefix(6) == ["\(dead.id)", "workforce", "password.updated", "u1", "dead", "1"])
            #expect(list.output.contains("422") && list.output.contains("too weak"))

            let json = try await installation.run("queue", "list", "--provider", "workforce", "--json")
            let first = try JSONValue(parsing: Array(json.output.utf8)).elements?.first
            #expect(first?["event"]?.text == event.id)
            #expect(first?["state"]?.text == "dead")
            let show = try await installation.run("queue", "show", "\(dead.id)")
            #expect(show.code == 0)
            #expect(show.output.contains("kept, sealed"))
            #expect(show.output.contains(event.id))

            workforce.always(.answer(204))
            let retry = try await installation.run("queue", "retry", "\(dead.id)")
            #expect(retry.code == 0 && retry.output == "1 delivery to be tried again\n")
            let requests = try await workforce.requests(2)
            try await installation.settled(1)
            #expect(requests[1].text == requests[0].text)
            #expect(requests[1].header("idempotency-key") != requests[0].header("idempotency-key"))
            #expect(try installation.provider("workforce").report.counters == ["made": 1, "delivered": 1, "dead": 0])
            #expect(try installation.queue().isEmpty)

            workforce.always(.answer(422))
            try installation.post(Event(password: "two secrets"))
            let second = try await installation.deadLetter()
            #expect(try await installation.run("queue", "drop", "\(second.id)").code == 0)
            #expect(try installation.queue().isEmpty)
            let counters = try installation.provider("workforce").report.counters
            #expect(counters == ["made": 2, "delivered": 1, "dead": 0, "dropped:operator": 1])
            for words in ["show", "retry", "drop"] {
                let gone = try await installation.run("queue", words, "\(second.id)")
                #expect(gone.code == 1)
                #expect(gone.output.isEmpty)
                #expect(gone.errors.contains("no delivery \(second.id)"), "\(gone.errors)")
            }
            #expect(try await installation.run("queue", "show", "everything").code == 64)
            #expect(try await installation.run("queue", "list", "--provider", "nobody").errors.contains("workforce"))
        }

        @Test func `a list that is longer than one answer is printed whole`() async throws {
            let workforce = try HTTPReceiver(.answer(422, body: "too weak"))
            let installation = try Installation()
            try installation.add(workforce)
            try await installation.start()
            _ = try await installation.run("providers", "pause", "workforce")
            var logout = Event(.logout)
            let lines = (0..<2_100).map { number in
                logout.id = "logout-\(number)"
                return logout.bytes
            }
            _ = try installation.post(
                installation.kc.request(Array(lines.joined(separator: [10])), type: "application/x-ndjson"))
            try await eventually("all wait") { try installation.provider("workforce").report.waiting == 2_100 }
            func ids(_ words: String...) async throws -> [String] {
                let list = try await installation.run(["queue", "list", "--json"] + words)
                #expect(list.code == 0 && list.errors.isEmpty, "\(list.errors)")
                return try JSONValue(parsing: Array(list.output.utf8)).elements?.compactMap { $0["event"]?.text } ?? []
            }
            let expected = (0..<2_100).map { "logout-\($0)" }
            #expect(try await ids("--limit", "2100") == expected)
            let table = try await installation.run("queue", "list", "--limit", "1500")
            #expect(table.output.split(separator: "\n").count == 1_501)
            #expect(table.errors.hasPrefix("600 more: 2100 wait and 0 are dead letters; --limit 2100 shows all"))
            _ = try await installation.run("providers", "resume", "workforce")
            try await eventually("all are dead") {
                try installation.provider("workforce").report.counters["dead"] == 2_100
            }
            #expect(try await ids("--limit", "1000000000") == expected)
            #expect(try await ids("--limit", "5000", "--reason", "unheard-of").isEmpty)
        }

        @Test func `many are listed, retried and dropped at once, by what they have in common`() async throws {
            let workforce = try HTTPReceiver(.answer(422, body: "too weak"))
            let installation = try Installation()
            try installation.add(workforce)
            try await installation.start()
            for number in 1...4 { try installation.post(Event(of: "u\(number)", password: "secret \(number)")) }
            try await eventually("all are dead") { try installation.queue().filter { $0.state == "dead" }.count == 4 }

            let list = try await installation.run("queue", "list", "--limit", "3")
            #expect(list.output.split(separator: "\n").count == 4)
            #expect(list.errors.hasPrefix("1 more: 0 wait and 4 are dead letters; --limit 4 shows all"), "\(list)")
            #expect(try await installation.run("queue", "list", "--limit", "4").errors.isEmpty)
            let waiting = try await installation.run("queue", "list", "--state", "waiting")
            #expect(waiting.output.hasPrefix("nothing waits"))

            for words in [["--reason", "unheard-of"], ["--kind", "logout"], ["--state", "waiting"]] {
                let none = try await installation.run("queue", "drop", words[0], words[1])
                #expect(none.output == "0 deliveries dropped\n", "\(none)")
            }
            let wrongs = [
                [], ["--all", "--state", "dead"], ["1", "--all"], ["--kind", "login"], ["--state", "old"],
            ]
            for words in wrongs {
                let wrong = try await installation.run(["queue", "retry"] + words)
                #expect(wrong.code == 64, "\(wrong)")
            }

            workforce.always(.answer(204))
            let one = try #require(try installation.queue().first)
            #expect(try await installation.run("queue", "drop", "\(one.id)").code == 0)
            let retry = try await installation.run(
                "queue", "retry", "--provider", "workforce", "--state", "dead", "--reason", "refused", "--json")
            #expect(retry.output == #"{"done":3,"held":{},"refused":{}}"# + "\n", "\(retry)")
            try await installation.settled(4)
            let counters = try installation.provider("workforce").report.counters
            #expect(counters == ["made": 4, "delivered": 3, "dead": 0, "dropped:operator": 1])
        }

        @Test func `a waiting delivery is dropped, and its password with it`() async throws {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1"))
            let installation = try Installation(directory)
            try await installation.start()
            directory.stop()
            try installation.post(Event(password: "unwanted secret"))
            try await eventually("it is dropped") {
                guard let id = try installation.queue().first(where: { $0.state == "waiting" })?.id else {
                    return false
                }
                return try await installation.run("queue", "drop", "\(id)").code == 0
            }
            #expect(try installation.queue().isEmpty)
            try directory.start()
            try installation.post(Event(.profileUpdated))
            try await installation.settled(2)
            #expect(directory.bind(OpenLDAP.name("u1"), password: "before") == 0)
        }

        @Test func `a newer password ends the one of a dead letter`() async throws {
            let workforce = try HTTPReceiver(.answer(422))
            let installation = try Installation()
            try installation.add(workforce)
            try await installation.start()
            try installation.post(Event(password: "one secret"))
            let dead = try await installation.deadLetter()
            workforce.always(.answer(204))
            try installation.post(Event(password: "two secrets"))
            try await installation.settled(2)
            let show = try await installation.run("queue", "show", "\(dead.id)")
            #expect(show.output.contains("gone"), "\(show)")
            let retry = try await installation.run("queue", "retry", "\(dead.id)")
            #expect(retry.code == 1)
            #expect(retry.errors.contains("needs a new password"))
            #expect(workforce.requests.count == 2)
        }

        @Test func `a provider is paused and resumed`() async throws {
            let workforce = try HTTPReceiver()
            let installation = try Installation()
            try installation.add(workforce)
            try await installation.start()
            let words = "provider workforce is paused; `runtime-sync providers resume workforce` lets its deliveries go"
            let pause = try await installation.run("providers", "pause", "workforce")
            #expect(pause.code == 0 && pause.output == "\(words); 0 deliveries wait\n", "\(pause)")
            try installation.post(Event(password: "one secret"))
            try await eventually("it waits") { try installation.provider("workforce").report.waiting == 1 }
            let retry = try await installation.run("queue", "retry", "--all")
            #expect(retry.code == 0 && retry.output == "1 delivery to be tried again\n\(words)\n", "\(retry)")
            let told = try JSONValue(
                parsing: Array(try await installation.run("queue", "retry", "--all", "--json").output.utf8))
            #expect(told["held"]?["workforce"]?.text == words)
            let list = try await installation.run("providers", "list")
            #expect(list.code == 0)
            let rows = list.output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
            #expect(rows[0].prefix(3) == ["PROVIDER", "STATE", "WAITING"])
            #expect(rows[1].prefix(7) == ["workforce", "paused", "1", "0", "0", "0", "running"])
            #expect(list.output.contains("landlock"))
            try await installation.stop()
            try await installation.start()
            #expect(try installation.provider("workforce").report.state == "paused")
            #expect(workforce.requests.isEmpty)
            let resume = try await installation.run("providers", "resume", "workforce", "--json")
            let standing = try JSONValue(parsing: Array(resume.output.utf8))
            #expect(resume.code == 0 && standing["state"]?.text == "running", "\(resume)")
            #expect(try await workforce.requests(1).count == 1)
            let nobody = try await installation.run("providers", "pause", "nobody")
            #expect(nobody.code == 1)
            #expect(nobody.errors.contains("no provider is called nobody; there are: workforce"))
        }

        @Test func `explain tells what is known of a user, and can keep the values to itself`() async throws {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1"))
            let installation = try Installation(directory)
            try await installation.start()
            try installation.post(Event(password: "one secret"))
            try await installation.settled(1)
            func explain(_ more: String) async throws -> Program.Outcome {
                try await installation.run("explain", "--instance", "prod", "--realm", "corp", "u1", more)
            }
            let report = try await explain("--json")
            let provider = try JSONValue(parsing: Array(report.output.utf8))["providers"]?.elements?.first
            #expect(provider?["decision"]?.text == "eligible")
            #expect(provider?["externalID"]?.text == "u1")
            let account = provider?["account"]?.text ?? ""
            #expect(directory.values("entryUUID", of: OpenLDAP.name("u1")) == [account])
            let table = try await installation.run("explain", "--instance", "prod", "--realm", "corp", "u1")
            #expect(table.code == 0)
            #expect(table.output.contains("user type:    employee"))
            #expect(table.output.contains(account))
            let discreet = try await explain("--no-values")
            #expect(discreet.output.contains("user type:    set"))
            #expect(!discreet.output.contains(account) && !discreet.output.contains("employee"))
            let stranger = try await installation.run("explain", "--instance", "prod", "--realm", "corp", "u7")
            #expect(stranger.code == 1)
            #expect(stranger.errors.contains("no event was ever about a user u7"))
        }

        @Test func `without a daemon the commands say so`() async throws {
            let installation = try Installation()
            for words in [("queue", "list"), ("providers", "list")] {
                let result = try await installation.run(words.0, words.1)
                #expect(result.code == 1)
                #expect(result.errors.contains("runtime-sync: error: no daemon answers on \(installation.control)"))
            }
            #expect(try await installation.run("quueue").code == 64)
        }

        @Test func `plugins are listed and inspected without running them`() async throws {
            let installation = try Installation()
            let list = try await installation.run("plugins", "list")
            let row = list.output.split(separator: "\n").first { $0.hasPrefix("LDAPPassword") } ?? ""
            #expect(row.contains("credential") && row.contains("libLDAPPassword.so"))
            let inspect = try await installation.run("plugins", "inspect", Products.library("LDAPPassword"))
            #expect(inspect.code == 0)
            let manifest = try JSONValue(parsing: Array(inspect.output.utf8.dropLast()))
            #expect(manifest["name"]?.text == "LDAPPassword")
            let nothing = try await installation.run("plugins", "inspect", "/dev/null")
            #expect(nothing.code == 1)
            #expect(nothing.errors.contains("/dev/null"))
        }

        @Test func `send signs and posts an event, with a password from its input`() async throws {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1"))
            let installation = try Installation(directory)
            try await installation.start()
            let file = try installation.folder.write(
                "event.json",
                """
                {"kind": "password.updated", "source": {"realmId": "corp"},
                 "subject": {"id": "u1", "attributes": {"syncEnabled": ["true"], "userType": "employee", "externalId": ["u1"]}}}
                """)
            let url = "http://\(installation.address)"
            let sent = try await installation.run(
                "send", "--password-stdin", "--url", url, file, input: "quoted \"secret\"\n")
            #expect(sent.code == 0, "\(sent)")
            #expect(try JSONValue(parsing: Array(sent.output.utf8.dropLast()))["status"]?.text == "accepted")
            #expect(!sent.output.contains("quoted"))
            try await installation.settled(1)
            #expect(directory.bind(OpenLDAP.name("u1"), password: "quoted \"secret\"") == 0)

            let empty = try await installation.run("send", "--password-stdin", "--url", url, file, input: "\n")
            #expect(empty.code == 1)
            let other = #"{"kind": "logout", "source": {"realmId": "other"}}"#
            let nobody = try installation.folder.write("nobody.json", other)
            let refused = try await installation.run("send", "--url", url, nobody)
            #expect(refused.code == 1)
            #expect(refused.errors.contains("403") && refused.errors.contains("source.realmId"))
            #expect(try await installation.run("send", "--source", "nobody", file).code == 1)
        }
    }
}

/// Hears of commits that nobody waits for.
private final class Nobody: CommitObserver {
    func committed(_ events: [CommittedEvent]) {}
}
