import Delivery
import Glibc
import Installations
import TargetServers
import Testing
import Workbench

extension `End to end` {
    @Suite struct `Plugins and providers` {
        @Test func `a plugin that cannot be used is named, what is for it waits, and the others start`() async throws {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1"))
            let house = try PluginHouse()
            try house.copy("LDAPPassword")
            try house.copy("Puppet", as: "libOpen.so", mode: 0o666)
            try house.copy("Puppet", as: "libOrigin.so")
            symlink("\(house.folder.path)/libOrigin.so", "\(house.folder.path)/libLink.so")
            try house.folder.write("libText.so", "#!/bin/sh\n")
            try house.copy(file: "\(Products.folder)/runtime-sync-worker", as: "libPlain.so")
            try house.copy("Puppet", as: "libAlias.so")
            mkdir("\(house.folder.path)/libFolder.so", 0o755)
            let installation = try Installation(directory, plugins: house.setting)
            let bad = ["Missing", "Open", "Link", "Text", "Plain", "Folder", "Alias"]
            for plugin in bad {
                try installation.add(provider: plugin.lowercased(), plugin: plugin, "user_types: [employee]")
            }
            try await installation.start()
            let named = installation.log.split(separator: "\n").filter { $0.contains("provider without a worker") }
            let words = [
                "Missing": "no libMissing.so in", "Open": "mode 666", "Link": "symbolic link", "Text": "not a plugin",
                "Plain": "not a plugin", "Folder": "not a regular file",
                "Alias": "the plugin Puppet",
            ]
            #expect(named.count == bad.count)
            for plugin in bad {
                let line = named.first { $0.contains("provider=\(plugin.lowercased()) ") } ?? ""
                #expect(line.contains(words[plugin] ?? "?"), "\(plugin): \(line)")
            }
            try installation.post(Event(password: "one secret"))
            try await installation.settled(1, at: "ldap")
            for plugin in bad {
                let report = try installation.provider(plugin.lowercased()).report
                #expect(report.state == "no worker" && report.waiting == 1 && report.unaccounted == 0, "\(report)")
                #expect(report.reason.contains(words[plugin] ?? "?"), "\(report)")
            }
            #expect(directory.bind(OpenLDAP.name("u1"), password: "one secret") == 0)

            let list = try await installation.run("plugins", "list")
            #expect(list.code == 1)
            #expect(list.output.contains("LDAPPassword"))
            #expect(list.errors.contains("libOpen.so") && list.errors.contains("libLink.so"))
            #expect(!list.errors.split(separator: "\n").contains { $0.hasPrefix("\(house.folder.path)/libPlain.so") })
            for plugin in bad { #expect(list.errors.contains("provider \(plugin.lowercased()) has no worker: ")) }
            let check = try await installation.run("check")
            #expect(check.code == 1)
            #expect(check.output.contains("provider ldap: fine"))
            for plugin in bad { #expect(check.errors.contains("provider \(plugin.lowercased()): error: ")) }
        }

        @Test func `a plugin that the daemon may not read is named and skipped, and the others start`() async throws {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1"))
            let house = try PluginHouse()
            try house.copy("LDAPPassword")
            try house.copy("Puppet", mode: 0o000)
            let installation = try Installation(directory, plugins: house.setting)
            try installation.add(provider: "puppet", plugin: "Puppet", "user_types: [employee]")
            try await installation.start(by: Program.withoutRootsRights)
            let skipped = installation.log.split(separator: "\n").filter { $0.contains("provider without a worker") }
            #expect(skipped.count == 1)
            for words in ["provider=puppet ", "\(house.folder.path)/libPuppet.so", "Permission denied"] {
                #expect(skipped.first?.contains(words) == true, "\(words): \(skipped)")
            }
            #expect(try installation.providers().map(\.report.name).sorted() == ["ldap", "puppet"])
            try installation.post(Event(password: "one secret"))
            try await installation.settled(1, at: "ldap")
            #expect(directory.bind(OpenLDAP.name("u1"), password: "one secret") == 0)

            let list = try await installation.run("plugins", "list", by: Program.withoutRootsRights)
            #expect(list.code == 1)
            #expect(list.output.contains("LDAPPassword"))
            #expect(list.errors.contains("libPuppet.so") && list.errors.contains("Permission denied"), "\(list)")
        }

        @Test func `a provider whose plugin is gone keeps its queue, and the newest password arrives when it is back`()
            async throws
        {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1") + OpenLDAP.account("u2"))
            let house = try PluginHouse()
            try house.copy("LDAPPassword")
            let installation = try Installation(directory, plugins: house.setting)
            directory.stop()
            try await installation.start()
            try installation.post(Event(of: "u1", password: "older secret"))
            try await eventually("it waits") { try installation.provider().report.waiting == 1 }
            try await installation.stop()

            unlink("\(house.folder.path)/libLDAPPassword.so")
            try await installation.start()
            #expect(try installation.post(Event(of: "u1", password: "newer secret")).status == 202)
            #expect(try installation.post(Event(of: "u2", password: "other secret")).status == 202)
            try await eventually("both users' passwords wait") {
                try installation.counter("superseded") == 1 && installation.provider().report.waiting == 2
            }
            try await eventually("the queue says why they wait") {
                try installation.queue().count { $0.reason?.contains("no libLDAPPassword.so in") == true } == 2
            }
            #expect(try installation.provider().report.state == "no worker")
            try await installation.stop()

            try house.copy("LDAPPassword")
            try directory.start()
            try await installation.start()
            try await installation.settled(3)
            #expect(directory.bind(OpenLDAP.name("u1"), password: "newer secret") == 0)
            #expect(directory.bind(OpenLDAP.name("u2"), password: "other secret") == 0)
            #expect(try installation.counter("delivered") == 2)
        }

        @Test func `a provider whose file cannot be read keeps its queue too, and what is not for it is skipped later`()
            async throws
        {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1"))
            let installation = try Installation(directory)
            let file = "\(installation.folder.path)/providers/ldap.yaml"
            try #require(rename(file, "\(installation.folder.path)/ldap.yaml") == 0)
            symlink("\(installation.folder.path)/absent.yaml", file)
            try await installation.start()
            #expect(try installation.provider().report.reason.contains("ldap.yaml cannot be read: No such file"))
            try installation.post(Event(password: "one secret"))
            var stranger = Event(of: "u2", password: "strange secret")
            stranger.attributes["userType"] = ["guest"]
            try installation.post(stranger)
            try await eventually("both wait") { try installation.provider().report.waiting == 2 }
            let check = try await installation.run("check")
            #expect(check.code == 1 && check.errors.contains("provider ldap: error: "), "\(check)")
            try await installation.stop()

            unlink(file)
            try #require(rename("\(installation.folder.path)/ldap.yaml", file) == 0)
            try await installation.start()
            try await installation.settled(2)
            #expect(directory.bind(OpenLDAP.name("u1"), password: "one secret") == 0)
            #expect(try installation.counter("skipped:other-user-type") == 1)
        }

        @Test func `a plugin that will not start holds back itself alone`() async throws {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1"))
            let house = try PluginHouse()
            try house.copy("LDAPPassword")
            try house.copy("NoEntry")
            try house.copy("WrongABI")
            let installation = try Installation(directory, plugins: house.setting)
            for plugin in ["NoEntry", "WrongABI"] {
                try installation.add(provider: plugin.lowercased(), plugin: plugin, "user_types: [employee]")
            }
            try installation.launch()
            try await eventually("the directory's worker is ready: \(installation.log)") {
                installation.log.split(separator: "\n").contains {
                    $0.contains("worker ready") && $0.contains("provider=ldap")
                }
            }
            try await eventually("the others are named") {
                ["noentry", "wrongabi"].allSatisfy { name in
                    installation.log.split(separator: "\n").contains {
                        $0.contains("provider=\(name)") && ($0.contains("lost") || $0.contains("without a worker"))
                    }
                }
            }
        }

        @Test func `a library and a file dropped into the folders are a provider at the next start`() async throws {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1"))
            let workforce = try HTTPReceiver()
            let house = try PluginHouse()
            try house.copy("LDAPPassword")
            let installation = try Installation(directory, plugins: house.setting)
            try await installation.start()
            try installation.post(Event(password: "one secret"))
            try await installation.settled(1)
            try await installation.stop()
            try house.copy("WorkforceHTTP")
            try installation.add(workforce)
            try await installation.start()
            #expect(try installation.providers().map(\.report.name).sorted() == ["ldap", "workforce"])
            try installation.post(Event(password: "two secrets"))
            let requests = try await workforce.requests(1)
            #expect(requests[0].text.contains("two secrets"))
            try await installation.settled(2, at: "ldap")
            #expect(directory.bind(OpenLDAP.name("u1"), password: "two secrets") == 0)
        }

        @Test func `wrong settings are told all at once with their places, and nothing starts`() async throws {
            let installation = try Installation(more: ["retries: {max: 1s}", "enabled: perhaps"])
            try installation.add(
                provider: "ldap", plugin: "LDAPPassword", "user_types: [employee]", "settings:",
                "  url: http://directory.example", "  bind_dn: cn=sync")
            let check = try await installation.run("check", "--offline")
            #expect(check.code == 2)
            #expect(check.output.isEmpty)
            for place in [
                "runtime-sync.yaml:8:1: error: retries", "runtime-sync.yaml:9:10: error: enabled",
                "providers/ldap.yaml:4:8: error: settings.url", "settings.bind_password",
            ] {
                #expect(check.errors.contains(place), "\(place) in \(check.errors)")
            }
            let serve = try await installation.run("serve")
            #expect(serve.code == 2)
            #expect(serve.errors.contains("retries"))
            #expect(!serve.errors.contains("listening"))
        }

        @Test func `what waits for a provider without settings is told, and ends with a newer password`() async throws {
            let workforce = try HTTPReceiver()
            let installation = try Installation()
            try installation.add(workforce)
            try installation.add(try HTTPReceiver(.answer(503)), as: "old")
            try await installation.start()
            try installation.post(Event(password: "one secret"))
            try await eventually("one waits") { try installation.provider("old").report.waiting == 1 }
            try #require(unlink("\(installation.folder.path)/providers/old.yaml") == 0)
            let words = "1 delivery waits for provider old, which is not in the settings"
            for isRestarted in [false, true] {
                if isRestarted {
                    try await installation.stop()
                    try await installation.start()
                    #expect(
                        installation.log.contains("deliveries wait for a provider that is not in the settings count=1 ")
                    )
                }
                let check = try await installation.run("check")
                #expect(check.code == 0 && check.errors.contains("warning: \(words)"), "\(check)")
                let json = try await installation.run("check", "--json")
                #expect(json.output.contains(#"{"problem":"\#(words)"#), "\(json)")
            }
            let list = try await installation.run("providers", "list")
            #expect(list.output.contains(words), "\(list)")
            try installation.post(Event(password: "two secrets"))
            try await eventually("nothing waits for it") { try installation.providers().count == 1 }
            try await eventually("nothing waits at all") { try installation.queue().isEmpty }
            #expect(try await installation.run("check").errors.isEmpty)
        }

        @Test func `settings that are fine are told so, and a target that is not is named`() async throws {
            let directory = try OpenLDAP()
            let installation = try Installation(directory)
            let fine = try await installation.run("check")
            #expect(fine.code == 0, "\(fine)")
            #expect(fine.output.contains("provider ldap: fine"))
            try installation.folder.write("secrets/ldap", "not the password")
            let wrong = try await installation.run("check")
            #expect(wrong.code == 1)
            #expect(wrong.output.contains("provider ldap: misconfigured"))
            #expect(wrong.output.contains("invalidCredentials"))
            #expect(!wrong.output.contains("not the password"))
            directory.stop()
            let away = try await installation.run("check")
            #expect(away.code == 1)
            #expect(away.output.contains("provider ldap: retry"))
        }
    }
}

/// A folder of plugins.
private struct PluginHouse {
    let folder: Folder

    init() throws {
        folder = try Folder()
    }

    /// What `plugins` of the settings says.
    var setting: String {
        "folders: [\"\(folder.path)\"]"
    }

    func copy(_ product: String, as name: String? = nil, mode: mode_t = 0o755) throws {
        try copy(file: Products.library(product), as: name ?? "lib\(product).so", mode: mode)
    }

    func copy(file: String, as name: String, mode: mode_t = 0o755) throws {
        try ChildProcess.run(["/bin/cp", file, "\(folder.path)/\(name)"])
        chmod("\(folder.path)/\(name)", mode)
    }
}
