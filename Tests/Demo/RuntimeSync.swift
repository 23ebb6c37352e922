internal import EventModel
internal import TargetServers

/// A Runtime Sync in a folder of its own, used as its operator would: settings, the daemon, and its commands.
final class RuntimeSync {
    let folder: Folder
    /// The folder of the programs and plugins.
    private let programs: String
    private let settings: String
    private var daemon: ChildProcess?
    /// `http://127.0.0.1:PORT`, once it listens.
    private(set) var intake = ""

    /// Writes the settings: Keycloak's realm `corp` as the source, and two providers.
    init(programs: String, ldap: OpenLDAP, workforce: HTTPReceiver) throws {
        self.programs = programs
        folder = try Folder()
        try folder.makeFolder("providers")
        try folder.makeFolder("secrets")
        settings = try folder.write(
            "runtime-sync.yaml",
            """
            journal: {folder: journal, key_file: journal.key}
            intake: {listen: "127.0.0.1:0"}
            control: {socket: control.sock}
            plugins: {folders: ["\(programs)"]}
            retry: {initial: 200ms, max: 1s}
            sources:
              - name: keycloak
                instance: demo
                realms: [corp]
                kinds: ["*"]
                may_carry_password: true
                secrets: [{file: secrets/keycloak}]
            """)
        try folder.write(
            "providers/legacy-ldap.yaml",
            """
            plugin: LDAPPassword
            user_types: [employee]
            mapping: {mail: email, givenName: firstName, sn: lastName}
            settings:
              url: \(ldap.url)
              start_tls: false
              allow_cleartext: true
              bind_dn: "\(OpenLDAP.service)"
              bind_password: {file: ../secrets/legacy-ldap}
              base: "\(OpenLDAP.people)"
              account_dn: "uid={{externalId}},\(OpenLDAP.people)"
            """)
        try folder.write(
            "providers/workforce.yaml",
            """
            plugin: WorkforceHTTP
            user_types: [employee]
            mapping: {email: email}
            settings:
              base_url: \(workforce.url)
              allow_cleartext: true
              bearer_token: {file: ../secrets/workforce}
            """)
        try folder.write(
            "secrets/keycloak", ChildProcess.run(["/bin/sh", "-c", "echo whsec_$(openssl rand -base64 32)"]))
        try folder.write("secrets/legacy-ldap", OpenLDAP.servicePassword)
        try folder.write("secrets/workforce", "a-token-of-the-workforce-system")
    }

    /// Runs one of its commands and returns what it printed.
    @discardableResult
    func run(_ arguments: String..., input: String = "") throws -> String {
        try ChildProcess.run(
            ["\(programs)/runtime-sync"] + arguments + ["--settings", settings], input: Array(input.utf8)
        ).trimmingLineBreaks
    }

    // MARK: The daemon

    func start() throws {
        daemon = try ChildProcess(["\(programs)/runtime-sync", "serve", "--settings", settings], log: logFile)
    }

    /// Whether it takes events.
    func isListening() throws -> Bool {
        guard let daemon, !daemon.hasEnded() else { throw Stage.Failure(description: "the daemon ended:\n\(log)") }
        guard let line = log.split(separator: "\n").first(where: { $0.contains(" intake: listening ") }),
            let address = line.split(separator: "address=").last
        else { return false }
        intake = "http://\(address)"
        return true
    }

    /// Asks it to stop, and returns its exit code.
    func stop() -> Int32 {
        defer { daemon = nil }
        return daemon?.terminate() ?? 0
    }

    var log: String { (try? Folder.read(logFile)) ?? "" }
    private var logFile: String { "\(folder.path)/daemon.log" }

    // MARK: What Keycloak does

    /// Signs and posts an event about Ada, and returns the daemon's answer to a 202.
    func send(_ kind: String, subject: String = "", more: String = "", password: String? = nil) throws -> String {
        let file = try folder.write(
            "event.json",
            """
            {"kind": "\(kind)",
             "source": {"realm": "corp", "realmId": "corp"},
             "subject": {"id": "ada-id", "username": "ada"\(subject),
                         "attributes": {"syncEnabled": ["true"], "userType": ["employee"], "externalId": ["E-1042"]}}
             \(more)}
            """)
        guard let password else { return try run("send", "--url", intake, file) }
        return try run("send", "--url", intake, "--password-stdin", file, input: password)
    }

    // MARK: What the operator sees

    /// How a provider stands, as `providers list` tells it.
    func provider(_ name: String) throws -> JSONValue {
        let all = try JSONValue(parsing: Array(try run("providers", "list", "--json").utf8)).elements ?? []
        guard let provider = all.first(where: { $0["report"]?["name"]?.text == name }) else {
            throw Stage.Failure(description: "there is no provider \(name)")
        }
        return provider
    }

    /// What `queue list` shows.
    func queue() throws -> [JSONValue] {
        try JSONValue(parsing: Array(try run("queue", "list", "--json").utf8)).elements ?? []
    }
}

extension String {
    /// Without line breaks at its end.
    var trimmingLineBreaks: String {
        var text = self[...]
        while text.last?.isNewline == true { text.removeLast() }
        return String(text)
    }
}
