import Glibc
import NIOPosix
import TargetServers
import Testing

/// Settings, keys and secrets of a daemon, in a folder of their own.
final class Installation: Sendable {
    let folder: Folder

    var path: String { folder.path }
    var settings: String { "\(path)/runtime-sync.yaml" }
    var socket: String { "\(path)/control.sock" }

    /// - Parameters:
    ///   - listen: where the intake listens.
    ///   - intake: further keys of the intake.
    ///   - more: at the end of the settings file.
    ///   - provider: the file of the provider `ldap`; `nil`: there is none.
    init(listen: String = "127.0.0.1:0", intake: String = "", more: String = "", provider: String? = nil) throws {
        folder = try Folder()
        for name in ["providers", "secrets"] { try #require(mkdir("\(folder.path)/\(name)", 0o700) == 0) }
        try folder.write("secrets/kc", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
        try folder.write("secrets/ldap", "bind-password")
        try folder.write(
            "runtime-sync.yaml",
            """
            journal: {folder: journal, key_file: journal.key}
            intake: {listen: "\(listen)"\(intake)}
            control: {socket: control.sock}
            plugins: {folders: [\(Program.folder)]}
            sources: [{name: kc, instance: prod, realms: [corp], kinds: ["*"], may_carry_password: true, secrets: [{file: secrets/kc}]}]
            \(more)
            """)
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

    /// Runs a command on these settings.
    func run(_ words: String..., input: String = "") async throws -> Program.Outcome {
        try await Program.run(words + ["--settings", settings], input: input)
    }

    /// Runs the daemon for the length of `body`, and asks it to stop.
    ///
    /// - Returns: its end.
    @discardableResult
    func serving(_ body: (Program) async throws -> Void) async throws -> Program.Outcome {
        let settings = settings
        let program = try await NIOThreadPool.singleton.runIfActive {
            let program = try Program(["serve", "--settings", settings])
            let line = try program.line(with: "listening address=")
            program.port = line.split(separator: ":").last.flatMap { UInt16($0) }
            return program
        }
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(program))
        } catch {
            result = .failure(error)
        }
        kill(program.pid, SIGTERM)
        let outcome = try await NIOThreadPool.singleton.runIfActive { program.wait() }
        try result.get()
        return outcome
    }
}
