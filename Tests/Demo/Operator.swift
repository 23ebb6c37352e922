internal import EventModel
internal import Installations
internal import Workbench

/// What Keycloak does to the demo's Runtime Sync, and what its operator types.
extension Installation {
    /// Runs a command that has to succeed, and returns what it printed.
    @discardableResult
    func succeed(_ words: String..., input: String = "") async throws -> String {
        let environment = ["RUNTIME_SYNC_SETTINGS=\(settings)"]
        let outcome = try await Program.run(words, input: input, environment: environment)
        guard outcome.code == 0 else {
            throw Failure("\(words) ended with \(outcome.code): \(outcome.output)\(outcome.errors)")
        }
        return outcome.output.trimmingLineBreaks
    }

    // MARK: What Keycloak does

    /// Signs and posts an event about Ada, and returns the daemon's answer to a 202.
    func send(_ kind: String, subject: String = "", more: String = "", password: String? = nil) async throws -> String {
        let file = try folder.write(
            "event.json",
            """
            {"kind": "\(kind)",
             "source": {"realm": "corp", "realmId": "corp"},
             "subject": {"id": "ada-id", "username": "ada"\(subject),
                         "attributes": {"syncEnabled": ["true"], "userType": ["employee"], "externalId": ["E-1042"]}}
             \(more)}
            """)
        let url = "http://\(address)"
        guard let password else { return try await succeed("send", "--url", url, file) }
        return try await succeed("send", "--url", url, "--password-stdin", file, input: password)
    }

    // MARK: What the operator sees

    /// How a provider stands, as `providers list` tells it.
    func provider(_ name: String) async throws -> JSONValue {
        let list = try await succeed("providers", "list", "--json")
        let all = try JSONValue(parsing: Array(list.utf8)).elements ?? []
        guard let provider = all.first(where: { $0["report"]?["name"]?.text == name }) else {
            throw Failure("there is no provider \(name)")
        }
        return provider
    }

    /// What `queue list` shows.
    func queue() async throws -> [JSONValue] {
        try JSONValue(parsing: Array(try await succeed("queue", "list", "--json").utf8)).elements ?? []
    }
}

extension String {
    /// Without line breaks at its end.
    fileprivate var trimmingLineBreaks: String {
        var text = self[...]
        while text.last?.isNewline == true { text.removeLast() }
        return String(text)
    }
}
