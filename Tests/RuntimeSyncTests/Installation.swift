import Glibc
import Installations
import Workbench

extension Installation {
    var path: String { folder.path }

    /// - Parameters:
    ///   - listen: where the intake listens.
    ///   - tls: members of `intake.tls`; none if absent.
    ///   - retry: members of `retry`.
    ///   - provider: the file of the provider `ldap`; `nil`: there is none.
    convenience init(
        listen: String, tls: String? = nil, retry: String = "initial: 1s", provider: String? = nil
    ) throws {
        let intake = "listen: \"\(listen)\"" + (tls.map { ", tls: {\($0)}" } ?? "")
        try self.init(intake: intake, retry: retry)
        try folder.write("secrets/ldap", "bind-password")
        if let provider { try folder.write("providers/ldap.yaml", provider) }
    }

    /// A provider whose directory nobody serves.
    static let unreachable = """
        plugin: LDAPPassword
        user_types: [employee]
        mapping: {mail: email}
        settings:
          url: ldap://127.0.0.1:1
          start_tls: false
          allow_cleartext: true
          bind_dn: cn=sync,dc=example,dc=org
          bind_password: {file: ../secrets/ldap}
          base: ou=people,dc=example,dc=org
          account_dn: "uid={{externalId}},ou=people,dc=example,dc=org"

        """

    /// Runs the daemon for the length of `body`, and asks it to stop.
    ///
    /// - Returns: its end, with the log.
    @discardableResult
    func serving(_ body: (ChildProcess) async throws -> Void) async throws -> Program.Outcome {
        let daemon = try launch()
        try await listening()
        try await body(daemon)
        return Program.Outcome(code: try await stop(), output: "", errors: log)
    }
}
