internal import Glibc
internal import PluginHarness
internal import TargetServers

/// The plugin, started against one server.
struct Bench {
    let server: OpenLDAP
    let harness: Harness

    /// Starts the plugin with the service account, in clear over loopback, unless `settings` says otherwise.
    ///
    /// - Parameters:
    ///   - settings: JSON fragments by key; an empty one takes the key away.
    ///   - port: where to connect, if not to the server itself.
    init(
        _ server: OpenLDAP, _ settings: [String: String] = [:], port: UInt16? = nil,
        bindPassword: String = OpenLDAP.servicePassword, authority: CertificateAuthority? = nil
    ) throws {
        self.server = server
        harness = try Self.harness(
            port: port ?? server.port, settings, bindPassword: bindPassword, authority: authority)
    }

    /// Starts the plugin without a server.
    static func harness(
        port: UInt16, _ settings: [String: String], bindPassword: String = OpenLDAP.servicePassword,
        authority: CertificateAuthority? = nil
    ) throws -> Harness {
        signal(SIGPIPE, SIG_IGN)  // as the contract promises a plugin
        var all = [
            "url": "\"ldap://127.0.0.1:\(port)\"", "start_tls": "false", "allow_cleartext": "true",
            "bind_dn": "\"\(OpenLDAP.service)\"", "base": "\"\(OpenLDAP.people)\"",
            "account_dn": "\"uid={{externalId}},\(OpenLDAP.people)\"",
        ]
        all.merge(settings) { _, new in new }
        let text = all.filter { !$0.value.isEmpty }.map { "\"\($0.key)\": \($0.value)" }.joined(separator: ", ")
        var files = ["bind_password": bindPassword]
        if let authority { files["ca_file"] = authority.certificate }
        return try Harness(product: "LDAPPassword", settings: "{\(text)}", files: files, window: 256)
    }

    /// Delivers a password and waits for the end.
    func setPassword(_ externalID: String?, _ password: String, account: String? = nil) async throws -> Completion {
        try await harness.completion(of: sendPassword(externalID, password, account: account))
    }

    /// Delivers a password.
    func sendPassword(_ externalID: String?, _ password: String, account: String? = nil) -> UInt64 {
        harness.deliver(
            Request(
                .credential, kind: "password.updated", externalID: externalID, account: account, secret: password))
    }

    /// Delivers a profile and waits for the end.
    func setProfile(_ externalID: String, _ attributes: String, account: String? = nil) async throws -> Completion {
        let request = Request(
            .profile, kind: "profile.updated", externalID: externalID, account: account, attributes: attributes)
        return try await harness.completion(of: harness.deliver(request))
    }

    /// Reads a record and waits for the end.
    func read(_ externalID: String, _ attributes: [String] = []) async throws -> Completion {
        let members = attributes.map { "\"\($0)\": []" }.joined(separator: ", ")
        let request = Request(.profile, kind: "profile.updated", externalID: externalID, attributes: "{\(members)}")
        return try await harness.completion(of: harness.readRecord(request))
    }

    /// Asks whether `password` is the account's.
    func verify(_ externalID: String, _ password: String) async throws -> Completion {
        let request = Request(.credential, kind: "password.updated", externalID: externalID, secret: password)
        return try await harness.completion(of: harness.verifyPassword(request))
    }

    /// Repeats a delivery until it no longer ends with *retry*, as the daemon would.
    func setPasswordPatiently(_ externalID: String, _ password: String) async throws -> Completion {
        let deadline = ContinuousClock.now + .seconds(60)
        while true {
            let completion = try await setPassword(externalID, password)
            if completion.outcome != .retry || ContinuousClock.now > deadline { return completion }
            try? await Task.sleep(for: .milliseconds(2))
        }
    }
}

/// A server with the accounts `ada` and `bob` (numbers E-1 and E-2), whose password is `before`.
func directory(_ change: (inout OpenLDAP.Options) throws -> Void = { _ in }) throws -> OpenLDAP {
    var options = OpenLDAP.Options()
    options.entries = OpenLDAP.account("ada", number: "E-1") + OpenLDAP.account("bob", number: "E-2")
    try change(&options)
    return try OpenLDAP(options)
}

/// One authority for all tests that need a good one.
func authority() throws -> CertificateAuthority {
    try sharedAuthority.get()
}

private let sharedAuthority = Result { try CertificateAuthority() }

/// Waits for a condition; `false` after a time that no healthy machine needs.
func eventually(_ condition: () -> Bool) async -> Bool {
    let deadline = ContinuousClock.now + .seconds(60)
    while !condition() {
        if ContinuousClock.now > deadline { return false }
        try? await Task.sleep(for: .milliseconds(2))
    }
    return true
}
