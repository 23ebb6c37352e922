package import RuntimeSyncPlugin

/// The settings of a provider, checked once at the start. The manifest documents each key.
package struct WorkforceSettings: Sendable {
    package let baseURL: BaseURL
    /// Whether `http` was allowed to carry anything, and a password to a loopback literal. Elsewhere no request carries one.
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
    /// - Throws: ``StartError`` with everything that is wrong, each naming the key and what it accepts.
    package init(_ json: JSON, files: Set<String>) throws(StartError) {
        var reader = try SettingsReader(json, at: "")
        let baseURL = reader.understood("base_url", needed: "https://hr.corp.example/api") {
            text, place throws(StartError) in
            try BaseURL(text, at: place)
        }
        allowsCleartext = reader.bool("allow_cleartext", default: false)
        let headers = reader.headers("headers")
        requests = Self.requests(reader.value("requests"), common: headers, &reader.errors)
        if let baseURL {
            reader.errors.add(Self.mistakes(of: baseURL, allowsCleartext: allowsCleartext, requests))
        }
        checkHeaders = headers.compactMap { header in
            let value = try? header.filled(with: RequestValues(kind: "", idempotencyKey: ""))
            return value.map { HeaderLine(name: header.name, value: $0) }
        }
        let user = reader.string("basic_user")
        let authentication = reader.errors.attempt { () throws(StartError) in
            try Self.authentication(user: user, files: files)
        }
        if files.contains("client_certificate") != files.contains("client_key") {
            reader.errors.add("client_certificate, client_key: both or neither")
        }
        connectTimeout = reader.int("connect_timeout_ms", default: 5_000, in: 100...60_000)
        timeout = reader.int("timeout_ms", default: 15_000, in: 100...300_000)
        maxConnections = reader.int("max_connections", default: 8, in: 1...64)
        let accountField = reader.string("account_field").map { $0.split(separator: ".").map { String($0) } }
        if accountField?.isEmpty == true { reader.errors.add("account_field: a path such as user.id is accepted") }
        rules = OutcomeRules(
            successStatuses: reader.statuses("success_statuses", in: 200...499),
            absentStatuses: reader.statuses("absent_statuses", in: 400...499) ?? [404, 410],
            accountField: accountField)
        checkPath = reader.string("check_path") ?? ""
        reader.errors.add(Self.mistakes(ofCheckPath: checkPath))
        reader.finish()
        guard reader.errors.isEmpty, let baseURL, let authentication else { throw reader.errors.all }
        self.baseURL = baseURL
        self.authentication = authentication
    }

    /// What is wrong with sending these requests there. That a password may not go there is said of the settings, not of
    /// each password: whoever sends none over this way says so.
    private static func mistakes(
        of baseURL: BaseURL, allowsCleartext: Bool, _ requests: [String: RequestTemplate?]
    ) -> StartErrors {
        var errors = StartErrors()
        if baseURL.isEncrypted { return errors }
        guard baseURL.isLoopbackLiteral || allowsCleartext else {
            errors.add(
                "base_url: http is accepted for 127.0.0.0/8 and [::1], or with allow_cleartext: true; else use https")
            return errors
        }
        if baseURL.isLoopbackLiteral && allowsCleartext { return errors }
        for (kind, request) in requests.sorted(by: { $0.key < $1.key }) where request?.carriesSecret == true {
            errors.add(
                """
                requests.\(kind): it carries a password, which is sent over https, or over http to 127.0.0.0/8 or [::1] \
                with allow_cleartext: true; see base_url, or send no password here: null is accepted\
                \(kind == passwordKind ? ", and a request with announce_only: true" : "")
                """)
        }
        return errors
    }

    private static func mistakes(ofCheckPath path: String) -> StartErrors {
        var errors = StartErrors()
        let template = errors.attempt { () throws(StartError) in try PathTemplate(path, at: "check_path") }
        if template?.placeholders.isEmpty == false { errors.add("check_path: it has no placeholder") }
        return errors
    }

    /// How a kind is sent; `nil` if the settings say `null` for it.
    package func request(for kind: String) -> RequestTemplate? {
        (requests[kind] ?? requests["default"]) ?? nil
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

    /// Whose requests can be written, besides what all others go by.
    private static let kinds = [
        "default", "password.updated", "profile.updated", "user.created", "user.renamed", "user.disabled",
        "user.deleted", "login.succeeded", "login.failed", "logout", "event",
    ]

    /// The kind of every delivery of a password.
    private static let passwordKind = "password.updated"

    /// The built-in requests, with those of the settings put over them, kind by kind.
    private static func requests(
        _ written: JSON?, common: [HeaderTemplate], _ errors: inout StartErrors
    ) -> [String: RequestTemplate?] {
        let place = "requests"
        guard let defaults = try? JSON(parsing: RequestTemplate.defaults), let defaults = defaults.object else {
            preconditionFailure("the built-in requests are JSON")
        }
        let members = (written ?? .object([:])).object
        if members == nil { errors.add("\(place): an object, kind to request, is accepted") }
        let all = defaults.merging(members ?? [:]) { _, written in written }
        var requests: [String: RequestTemplate?] = [:]
        for (kind, json) in all.sorted(by: { $0.key < $1.key }) {
            // Who misspells the kind whose request he takes away would have it sent.
            if !Self.kinds.contains(kind) {
                let accepted = Self.kinds.joined(separator: ", ")
                errors.add("\(place).\(kind): no kind is called so; accepted: \(accepted)")
            }
            let template = errors.attempt { () throws(StartError) in
                let template = json == .null ? nil : try RequestTemplate(json, at: "\(place).\(kind)", common: common)
                if kind == Self.passwordKind {
                    try template?.requirePassword(at: "\(place).\(kind)")
                } else if template?.onlyAnnounces == true {
                    throw StartError("\(place).\(kind).announce_only: true is accepted for \(Self.passwordKind) only")
                }
                return template
            }
            requests.updateValue(template ?? nil, forKey: kind)
        }
        return requests
    }
}
