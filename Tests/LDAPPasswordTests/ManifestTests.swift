internal import PluginHarness
internal import RuntimeSyncPlugin
internal import Testing
internal import Workbench

@testable internal import LDAPDecisions

struct ManifestTests {
    private func manifest() throws -> JSON {
        try JSON(parsing: try Products.manifest(at: Products.library("LDAPPassword")))
    }

    @Test func `the manifest says what the plugin can do`() throws {
        let manifest = try manifest()
        #expect(manifest["name"]?.string == "LDAPPassword")
        #expect(manifest["abi"]?.string == "1.0")
        let capabilities = manifest["capabilities"]?.array?.compactMap(\.string)
        #expect(capabilities == ["credential", "profile", "check", "verify_password", "read_record"])
    }

    @Test func `no mapping may write what the plugin does not write as an attribute`() throws {
        let attributes = try manifest()["unmappable"]?.array?.compactMap(\.string)
        #expect(Set((attributes ?? []).map { $0.lowercased() }) == passwordAttributes)
    }

    @Test func `every setting is described`() throws {
        let properties = try #require(try manifest()["settings"]?["properties"]?.object)
        #expect(properties.count == 16)
        for (key, property) in properties { #expect((property["description"]?.string ?? "").count > 20, "\(key)") }
    }

    @Test func `the manifest's defaults are those of the code`() throws {
        let properties = try #require(try manifest()["settings"]?["properties"]?.object)
        let needed: [String: JSON] = [
            "url": .string("ldap://h"), "bind_dn": .string("cn=x"), "base": .string("dc=x"),
            "account_dn": .string("uid={{externalId}},dc=x"),
        ]
        let files: Set = ["ca_file", "bind_password"]
        let defaults = properties.compactMapValues { $0["default"] }
        #expect(
            Set(defaults.keys) == [
                "start_tls", "allow_cleartext", "password_method", "connect_timeout_ms", "operation_timeout_ms",
                "in_flight",
            ])
        let filled = try LDAPSettings(.object(needed.merging(defaults) { $1 }), files: files)
        #expect("\(filled)" == "\(try LDAPSettings(.object(needed), files: files))")
        for (key, property) in properties {
            guard let least = property["minimum"]?.int, let most = property["maximum"]?.int else { continue }
            for (value, isAccepted) in [(least, true), (most, true), (least - 1, false), (most + 1, false)] {
                let settings = needed.merging([key: .number("\(value)")]) { $1 }
                let starts = (try? LDAPSettings(.object(settings), files: files)) != nil
                #expect(starts == isAccepted, "\(key): \(value)")
            }
        }
    }
}
