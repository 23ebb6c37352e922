internal import Glibc
internal import Synchronization
public import TargetServers
public import Workbench

/// A whole Runtime Sync in a folder of its own, used as its operator uses it: settings, secrets and a journal, the daemon
/// as a real process, and the commands. All of it goes with the last reference.
public final class Installation: Sendable {
    /// Where all of it is.
    public let folder: Folder
    /// What the source `kc` signs with: `whsec_` and 30 bytes in Base64.
    public let secret: String

    private struct Running {
        var daemon: ChildProcess?
        /// How long the log was before this daemon.
        var logStart = 0
        var address = ""
    }

    private let running = Mutex(Running())

    /// Writes the settings, of a daemon without providers.
    ///
    /// - Parameters:
    ///   - intake: members of `intake`.
    ///   - sources: elements of `sources` beside `kc`, which may say everything about the realm `corp`.
    ///   - retry: members of `retry`.
    ///   - more: more keys of the settings, a line each; and members of `plugins`.
    public init(
        intake: String = #"listen: "127.0.0.1:0""#, sources: [String] = [],
        retry: String = "initial: 50ms, max: 500ms", more: [String] = [], plugins: String? = nil
    ) throws {
        folder = try Folder()
        let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        secret = "whsec_" + String((0..<40).compactMap { _ in digits.randomElement() })
        for name in ["providers", "secrets"] { try folder.makeFolder(name) }
        try folder.write("secrets/kc", secret)
        let own =
            #"{name: kc, instance: prod, realms: [corp], kinds: ["*"], may_carry_password: true, "#
            + "secrets: [{file: secrets/kc}]}"
        try folder.write(
            "runtime-sync.yaml",
            """
            journal: {folder: journal, key_file: journal.key}
            intake: {\(intake)}
            control: {socket: control.sock}
            plugins: {\(plugins ?? "folders: [\"\(Products.folder)\"]")}
            retry: {\(retry)}
            log: {level: debug}
            sources: [\(([own] + sources).joined(separator: ", "))]
            \(more.joined(separator: "\n"))
            """)
    }

    // MARK: Settings

    /// The settings file.
    public var settings: String { "\(folder.path)/runtime-sync.yaml" }
    /// The control socket.
    public var control: String { "\(folder.path)/control.sock" }
    /// Where the daemon logs to.
    public var logFile: String { "\(folder.path)/log" }

    /// What the daemon has logged since its first start.
    public var log: String { (try? Folder.read(logFile)) ?? "" }

    /// Adds a provider.
    ///
    /// - Parameter lines: of its file, below `plugin`.
    public func add(provider name: String, plugin: String, _ lines: String...) throws {
        try folder.write("providers/\(name).yaml", (["plugin: \(plugin)"] + lines).joined(separator: "\n") + "\n")
    }

    /// Adds a directory.
    ///
    /// - Parameters:
    ///   - port: where it is reached, if not at its own port.
    ///   - account: how an account is found.
    ///   - security: how the connection is secured; in clear if absent.
    ///   - more: more lines of the provider's file.
    public func add(
        _ directory: OpenLDAP, as name: String = "ldap", port: UInt16? = nil,
        account: String = #"account_dn: "uid={{externalId}},ou=people,dc=example,dc=org""#, more: String = "",
        security: [String] = ["start_tls: false", "allow_cleartext: true"]
    ) throws {
        try folder.write("secrets/ldap", OpenLDAP.servicePassword)
        try add(
            provider: name, plugin: "LDAPPassword", "user_types: [employee]",
            "mapping: {mail: email, givenName: firstName, departmentNumber: attributes.department}", more,
            "settings:", "  url: ldap://127.0.0.1:\(port ?? directory.port)",
            security.map { "  \($0)" }.joined(separator: "\n"), "  bind_dn: \(OpenLDAP.service)",
            "  bind_password: {file: ../secrets/ldap}", "  base: \(OpenLDAP.people)", "  \(account)")
    }

    /// Adds a workforce system.
    public func add(_ receiver: HTTPReceiver, as name: String = "workforce", more: String = "") throws {
        try add(
            provider: name, plugin: "WorkforceHTTP", "user_types: [employee]", "mapping: {email: email}", more,
            "settings: {base_url: \"\(receiver.url)\", allow_cleartext: true}")
    }

    // MARK: The daemon

    /// The daemon's process.
    public var daemon: ChildProcess? { running.withLock { $0.daemon } }

    /// Starts the daemon and does not wait for anything.
    ///
    /// - Parameters:
    ///   - options: of `serve`.
    ///   - starter: what it is started by, such as ``Program/withoutRootsRights``.
    @discardableResult
    public func launch(
        _ options: String..., environment: [String] = [], by starter: [String] = []
    ) throws -> ChildProcess {
        var status = stat()
        let logStart = stat(logFile, &status) == 0 ? Int(status.st_size) : 0
        let daemon = try ChildProcess(
            starter + ["\(Products.folder)/runtime-sync", "serve", "--settings", settings] + options,
            environment: environment, log: logFile)
        running.withLock { $0 = Running(daemon: daemon, logStart: logStart) }
        return daemon
    }

    /// Waits until the daemon takes events.
    public func listening() async throws {
        let (daemon, logStart) = running.withLock { ($0.daemon, $0.logStart) }
        let address = try await eventually("the daemon listens: \(log.suffix(2_000))") { () -> String? in
            if let code = daemon?.exitCode { throw Failure("the daemon ended with \(code): \(log)") }
            let log = log.utf8.dropFirst(logStart)
            guard let line = log.firstRange(of: "listening address=".utf8) else { return nil }
            let rest = log[line.upperBound...]
            return rest.firstIndex(of: 10).map { String(decoding: rest[..<$0], as: UTF8.self) }
        }
        running.withLock { $0.address = address }
    }

    /// Where the intake listens, as the daemon logged it.
    public var address: String { running.withLock { $0.address } }

    /// Asks the daemon to end, and waits.
    @discardableResult
    public func stop() async throws -> Int32 {
        daemon?.signal(SIGTERM)
        return try await end()
    }

    /// Ends it at once, and waits.
    public func crash() async throws {
        daemon?.signal(SIGKILL)
        _ = try await end()
    }

    /// Waits for the daemon's end.
    public func end() async throws -> Int32 {
        try await eventually("the daemon ends") { daemon?.exitCode }
    }

    /// Runs a command with the settings.
    public func run(
        _ words: String..., input: String = "", by starter: [String] = []
    ) async throws -> Program.Outcome {
        try await run(words, input: input, by: starter)
    }

    /// The same, with the words in an array.
    public func run(
        _ words: [String], input: String = "", by starter: [String] = []
    ) async throws -> Program.Outcome {
        try await Program.run(words, input: input, environment: ["RUNTIME_SYNC_SETTINGS=\(settings)"], by: starter)
    }
}
