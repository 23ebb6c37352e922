package import RuntimeSyncPlugin

/// The settings of a provider, checked once at the start. The manifest documents each key.
package struct WorkforceSettings: Sendable {
    package let baseURL: BaseURL
    /// Whether `http` was allowed to carry anything, and a password to a loopback literal.
    package let allowsCleartext: Bool
    /// By kind; a kind that is not there is served by `default`, one that is `nil` by nothing.
    package let requests: [String: RequestTemplate?]
    package let authentication: Authentication
    /// Milliseconds.
    package let connectTimeout: Int
    /// Milliseconds.
    package let timeout: Int
    /// Requests and connections at once.
    package let maxConnections: Int
    package let rules: OutcomeRules
    /// The path that `check` asks for below the base URL; empty: the base URL itself.
    package let checkPath: String
    /// The headers of a check: those of every request that need no delivery, such as a tenant's name.
    package let checkHeaders: [HeaderLine]

    /// How the plugin shows who it is. The secrets are in files.
    package enum Authentication: Sendable, Equatable {
        case none
        case bearer
        case basic(user: String)
    }

    /// - Parameters:
    ///   - json: the provider's `settings`.
    ///   - files: the keys that came as descriptors.
    package init(_ json: JSON, files: Set<String>) throws(StartError) {
        var reader = try SettingsReader(json, at: "")
        guard let base = try reader.string("base_url") else {
            throw StartError("base_url: needed, such as https://hr.corp.example/api")
        }
        baseURL = try BaseURL(base, at: "base_url")
        allowsCleartext = try reader.bool("allow_cleartext", default: false)
        guard baseURL.isEncrypted || baseURL.isLoopbackLiteral || allowsCleartext else {
            throw StartError(
                "base_url: http is accepted for 127.0.0.0/8 and [::1], or with allow_cleartext: true; else use https")
        }
        let headers = try reader.headers("headers")
        requests = try Self.requests(reader.value("requests"), common: headers)
        checkHeaders = headers.compactMap { header in
            let value = try? header.filled(with: RequestValues(kind: "", idempotencyKey: ""))
            return value.map { HeaderLine(name: header.name, value: $0) }
        }
        authentication = try Self.authentication(user: reader.string("basic_user"), files: files)
        guard files.contains("client_certificate") == files.contains("client_key") else {
            throw StartError("client_certificate, client_key: both or neither")
        }
        connectTimeout = try reader.int("connect_timeout_ms", default: 5_000, in: 100...60_000)
        timeout = try reader.int("timeout_ms", default: 15_000, in: 100...300_000)
        maxConnections = try reader.int("max_connections", default: 8, in: 1...64)
        let accountField = try reader.string("account_field").map { $0.split(separator: ".").map { String($0) } }
        guard accountField?.isEmpty != true else {
            throw StartError("account_field: a path such as user.id is accepted")
        }
        rules = OutcomeRules(
            successStatuses: try reader.statuses("success_statuses", in: 200...499),
            absentStatuses: try reader.statuses("absent_statuses", in: 400...499) ?? [404, 410],
            accountField: accountField)
        let checkPath = try reader.string("check_path") ?? ""
        guard try PathTemplate(checkPath, at: "check_path").placeholders.isEmpty else {
            throw StartError("check_path: it has no placeholder")
        }
        self.checkPath = checkPath
        try reader.finish()
    }

    /// How a kind is sent; `nil` if the settings say `null` for it.
    package func request(for kind: String) -> RequestTemplate? {
        (requests[kind] ?? requests["default"]) ?? nil
    }

    /// Whether a password may go to the target: encrypted, or within this machine by an address that says so.
    package var mayCarrySecret: Bool {
        baseURL.isEncrypted || (baseURL.isLoopbackLiteral && allowsCleartext)
    }

    private static func authentication(user: String?, files: Set<String>) throws(StartError) -> Authentication {
        switch (files.contains("bearer_token"), user, files.contains("basic_password")) {
        case (false, nil, false): return .none
        case (true, nil, false): return .bearer
        case (false, let user?, true):
            // The first colon ends the name (RFC 7617, 2).
            guard !user.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F || $0 == UInt8(ascii: ":") }) else {
                throw StartError("basic_user: no colon and no control character (RFC 7617)")
            }
            return .basic(user: user)
        default:
            throw StartError(
                "bearer_token, basic_user, basic_password: the token alone, or both of the others, or none")
        }
    }

    /// The kind of every delivery of a password.
    private static let passwordKind = "password.updated"

    /// The built-in requests, with those of the settings put over them, kind by kind.
    private static func requests(
        _ written: JSON?, common: [HeaderTemplate]
    ) throws(StartError) -> [String: RequestTemplate?] {
        let place = "requests"
        guard let defaults = try? JSON(parsing: RequestTemplate.defaults), let defaults = defaults.object else {
            preconditionFailure("the built-in requests are JSON")
        }
        guard let written = (written ?? .object([:])).object else {
            throw StartError("\(place): an object, kind to request, is accepted")
        }
        var requests: [String: RequestTemplate?] = [:]
        for (kind, json) in defaults.merging(written, uniquingKeysWith: { _, written in written }) {
            let template = json == .null ? nil : try RequestTemplate(json, at: "\(place).\(kind)", common: common)
            if kind == Self.passwordKind {
                try template?.requirePassword(at: "\(place).\(kind)")
            } else if template?.onlyAnnounces == true {
                throw StartError("\(place).\(kind).announce_only: true is accepted for \(Self.passwordKind) only")
            }
            requests.updateValue(template, forKey: kind)
        }
        return requests
    }
}
