internal import RuntimeSyncPlugin
internal import Testing

@testable internal import LDAPDecisions

struct LDAPSettingsTests {
    private func settings(_ more: String = "", files: Set<String> = ["ca_file", "bind_password"]) throws -> LDAPSettings
    {
        try LDAPSettings(
            try JSON(
                parsing: """
                    {"url": "ldap://ldap.example.org", "bind_dn": "cn=sync,dc=x", "base": "ou=people,dc=x",
                     "account_dn": "uid={{externalId}},ou=people,dc=x"\(more)}
                    """), files: files)
    }

    @Test func `the defaults are the safe ones`() throws {
        let settings = try settings()
        #expect(settings.startTLS)
        #expect(!settings.allowsCleartext)
        #expect(settings.tlsServerName == "ldap.example.org")
        #expect(settings.passwordMethod == .auto)
        #expect(settings.connectTimeout == 5000)
        #expect(settings.operationTimeout == 10_000)
        #expect(settings.inFlight == 64)
        #expect(settings.accounts.protect == nil)
        #expect(settings.accounts.stableIDs == ["entryUUID", "nsUniqueId", "objectGUID"])
    }

    @Test func `without its bind password it does not start`() {
        #expect(throws: StartError.self) { try settings(files: ["ca_file"]) }
    }

    @Test func `without an authority it does not start, unless nothing is encrypted`() {
        #expect(throws: StartError.self) { try settings(files: ["bind_password"]) }
    }

    @Test(arguments: [#","in_flight":"16""#, #","start_tls":"no""#, #","protect":1"#, #","in_flight":1.5"#])
    func `a value of the wrong kind is refused`(more: String) {
        #expect(throws: StartError.self) { try settings(more) }
    }

    @Test func `everything that is wrong is told at once, each with its key`() throws {
        let error = #expect(throws: StartError.self) {
            try LDAPSettings(
                try JSON(
                    parsing: """
                        {"url": "http://h", "start_tls": "no", "bind_dn": "sync", "account_dn": "uid=ada", "protect": "x",
                         "stable_id": 1, "password_method": "magic", "in_flight": 0, "operation_timeout_ms": 1}
                        """), files: [])
        }
        let keys = error?.reasons.map { $0.prefix { $0 != ":" } }
        #expect(
            keys == [
                "url", "start_tls", "bind_dn", "bind_password", "base", "account_dn", "protect", "stable_id",
                "password_method", "operation_timeout_ms", "in_flight",
            ])
        #expect(error?.reason.hasPrefix("(1) url: \"http://h\" is not ldap://host[:port]") == true)
        #expect(error?.reason.contains("; (2) start_tls: accepts true and false; (3) bind_dn: ") == true)
    }

    @Test func `everything that is wrong with the way to the server is told at once`() {
        let error = #expect(throws: StartError.self) {
            try settings(#","allow_cleartext":true,"connect_timeout_ms":1"#, files: ["bind_password"])
        }
        #expect(error?.reasons.map { $0.prefix { $0 != ":" } } == ["allow_cleartext", "ca_file", "connect_timeout_ms"])
    }

    @Test(arguments: ["userPassword", "USERPASSWORD;x-a", "2.5.4.35", "unicodePwd", "sambaNTPassword"])
    func `password attributes are known`(attribute: String) {
        #expect(holdsPassword(attribute))
    }

    @Test(arguments: ["cn", "userPasswordHint", "mail;lang-de"])
    func `other attributes are not taken for them`(attribute: String) {
        #expect(!holdsPassword(attribute))
    }
}
