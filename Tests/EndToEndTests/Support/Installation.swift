internal import Delivery
internal import FoundationEssentials
internal import Glibc
internal import PluginHarness
internal import Synchronization
internal import TargetServers

/// A whole Runtime Sync for one test: a folder with settings, secrets and a journal, and the daemon as a real process.
/// All of it goes with the last reference.
final class Installation: Sendable {
    let folder: Folder
    /// What the source `kc` signs with.
    let kc: Signer

    private struct Running {
        var daemon: ChildProcess?
        var address = ""
    }

    private let running = Mutex(Running())

    /// Writes the settings, of a daemon without providers.
    ///
    /// - Parameters:
    ///   - intake: members of `intake`.
    ///   - sources: elements of `sources` beside `kc`, which may say everything about the realm `corp`.
    ///   - more: more keys of the settings, a line each; and members of `plugins`.
    init(
        intake: String = #"listen: "127.0.0.1:0""#, sources: [String] = [], more: [String] = [],
        plugins: String? = nil
    ) throws {
        folder = try Folder()
        kc = try Signer()
        for name in ["providers", "secrets"] { try folder.makeFolder(name) }
        try folder.write("secrets/kc", kc.text)
        let own =
            #"{name: kc, instance: prod, realms: [corp], kinds: ["*"], may_carry_password: true, "#
            + "secrets: [{file: secrets/kc}]}"
        try folder.write(
            "runtime-sync.yaml",
            """
            journal: {folder: "\(folder.path)/journal", key_file: "\(folder.path)/journal.key"}
            intake: {\(intake)}
            control: {socket: "\(control)"}
            plugins: {\(plugins ?? "folders: [\"\(Products.folder)\"]")}
            retry: {initial: 50ms, max: 500ms}
            log: {level: debug}
            sources: [\(([own] + sources).joined(separator: ", "))]
            \(more.joined(separator: "\n"))
            """)
    }

    /// With a directory as the provider `ldap`.
    convenience init(_ directory: OpenLDAP, more: [String] = [], plugins: String? = nil) throws {
        try self.init(more: more, plugins: plugins)
        try add(directory)
    }

    // MARK: Settings

    var settings: String { "\(folder.path)/runtime-sync.yaml" }
    var control: String { "\(folder.path)/control.sock" }
    var logFile: String { "\(folder.path)/log" }

    /// What the daemon has logged since its first start.
    var log: String { (try? Folder.read(logFile)) ?? "" }

    /// Adds a provider.
    ///
    /// - Parameter lines: of its file, below `plugin`.
    func add(provider name: String, plugin: String, _ lines: String...) throws {
        try folder.write("providers/\(name).yaml", (["plugin: \(plugin)"] + lines).joined(separator: "\n") + "\n")
    }

    /// Adds a directory.
    ///
    /// - Parameters:
    ///   - port: where it is reached, if not at its own port.
    ///   - account: how an account is found.
    ///   - security: how the connection is secured; in clear if absent.
    ///   - more: more lines of the provider's file.
    func add(
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
    func add(_ receiver: HTTPReceiver, as name: String = "workforce", more: String = "") throws {
        try add(
            provider: name, plugin: "WorkforceHTTP", "user_types: [employee]", "mapping: {email: email}", more,
            "settings: {base_url: \"\(receiver.url)\", allow_cleartext: true}")
    }

    // MARK: The daemon

    /// The daemon's process.
    var daemon: ChildProcess? { running.withLock { $0.daemon } }

    /// Starts the daemon; returns when it takes events and its workers are ready.
    func start(environment: [String] = []) async throws {
        let before = log.utf8.count
        let daemon = try launch(environment: environment)
        let address = try await eventually("the daemon listens: \(log.suffix(2_000))") { () -> String? in
            if let code = daemon.exitCode { throw Failure("the daemon ended with \(code): \(log)") }
            guard let line = log.utf8.dropFirst(before).firstRange(of: "listening address=".utf8) else { return nil }
            let rest = log.utf8[line.upperBound...]
            return rest.firstIndex(of: 10).map { String(decoding: rest[..<$0], as: UTF8.self) }
        }
        running.withLock { $0.address = address }
        try await eventually("the workers are ready") {
            // The control socket may open a moment later than the intake.
            guard let providers = try? providers() else { return false }
            return providers.allSatisfy { $0.worker == nil || $0.report.state != "no worker" }
        }
    }

    /// Starts the daemon and does not wait for anything.
    @discardableResult
    func launch(environment: [String] = []) throws -> ChildProcess {
        let daemon = try ChildProcess(
            ["\(Products.folder)/runtime-sync", "serve", "--settings", settings], environment: environment, log: logFile
        )
        running.withLock { $0.daemon = daemon }
        return daemon
    }

    /// Asks the daemon to end, and waits.
    @discardableResult
    func stop() async throws -> Int32 {
        daemon?.signal(SIGTERM)
        return try await end()
    }

    /// Ends it at once, and waits.
    func crash() async throws {
        daemon?.signal(SIGKILL)
        _ = try await end()
    }

    /// Waits for the daemon's end.
    func end() async throws -> Int32 {
        try await eventually("the daemon ends") { daemon?.exitCode }
    }

    // MARK: Talking to it

    /// Where the intake listens, as the daemon logged it.
    var address: String { running.withLock { $0.address } }

    /// The intake's port.
    var port: UInt16 {
        address.split(separator: ":").last.flatMap { UInt16($0) } ?? 0
    }

    func connect() throws -> Connection {
        try Connection(port: port)
    }

    /// Posts an event on a connection of its own.
    @discardableResult
    func post(_ event: Event, as signer: Signer? = nil) throws -> Answer {
        try post((signer ?? kc).request(event.bytes))
    }

    /// Posts whatever it is.
    func post(_ request: [UInt8]) throws -> Answer {
        let connection = try connect()
        try connection.send(request)
        return try connection.answer()
    }

    /// What the daemon answers on its control socket.
    func ask<Answer: Decodable>(_ path: String, as type: Answer.Type = Answer.self) throws -> Answer {
        let connection = try Connection(socket: control)
        try connection.send(Array("GET \(path) HTTP/1.1\r\nHost: control\r\n\r\n".utf8))
        let answer = try connection.answer()
        guard answer.status == 200 else { throw Failure("\(path): \(answer.status) \(answer.text)") }
        return try JSONDecoder().decode(type, from: Data(answer.body))
    }

    func providers() throws -> [ProviderStatus] {
        try ask("/providers")
    }

    func provider(_ name: String = "ldap") throws -> ProviderStatus {
        guard let provider = try providers().first(where: { $0.report.name == name }) else {
            throw Failure("no provider \(name)")
        }
        return provider
    }

    func counter(_ name: String, of provider: String = "ldap") throws -> Int64 {
        try self.provider(provider).report.counters[name] ?? 0
    }

    func queue() throws -> [DeliveryReport] {
        try ask("/queue")
    }

    /// Waits until so many events have reached a provider, and all its deliveries have ended.
    ///
    /// - Parameter name: the provider; all of them if absent.
    func settled(_ events: Int64, at name: String? = nil) async throws {
        func isSettled(_ report: ProviderReport) -> Bool {
            report.counters["made"] == events && report.waiting == 0 && report.inFlight == 0 && report.unaccounted == 0
        }
        var reports: [ProviderReport] = []
        try await eventually("\(events) deliveries have ended: \(reports)") {
            reports = try providers().map(\.report).filter { name == nil || $0.name == name }
            return reports.allSatisfy(isSettled)
        }
    }

    /// Waits for the only dead letter.
    func deadLetter() async throws -> DeliveryReport {
        try await eventually("a dead letter") { try queue().first { $0.state == "dead" } }
    }

    /// Runs `runtime-sync` with the settings.
    func tool(_ words: String..., input: String = "") async throws -> Result {
        try await tool(words, input: input)
    }

    /// Runs `runtime-sync` with the settings.
    func tool(_ words: [String], input: String = "") async throws -> Result {
        let scratch = try Folder()
        let (output, errors) = ("\(scratch.path)/output", "\(scratch.path)/errors")
        let program = try ChildProcess(
            ["\(Products.folder)/runtime-sync"] + words, environment: ["RUNTIME_SYNC_SETTINGS=\(settings)"],
            input: Array(input.utf8), log: output, errors: errors)
        let code = try await eventually("\(words) ends") { program.exitCode }
        return Result(code: code, output: try Folder.read(output), errors: try Folder.read(errors))
    }
}

/// What a command that has ended left behind.
struct Result: Sendable {
    var code: Int32
    var output: String
    var errors: String
}

/// A provider and its worker, as `providers list --json` tells.
struct ProviderStatus: Decodable {
    var report: ProviderReport
    var worker: String?
    var pid: Int32?
    var restarts: Int
    var landlockABI: UInt32?
    var layers: [String]?
}
