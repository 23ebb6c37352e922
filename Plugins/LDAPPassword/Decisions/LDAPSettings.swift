package import RuntimeSyncPlugin

/// How a password is written.
package enum PasswordMethod: String, CaseIterable, Sendable {
    /// The extended operation if the server lists it, else modify.
    case auto
    /// Replaces `userPassword`.
    case modify
    /// Password Modify, RFC 3062.
    case extended
}

/// The provider's settings once they have been understood. Making one is the whole check: what exists is usable.
///
/// Defaults, where a key is absent:
/// - `start_tls`: true.
/// - `allow_cleartext`: false.
/// - `password_method`: auto.
/// - `connect_timeout_ms`: 5000; TCP, TLS and bind together.
/// - `operation_timeout_ms`: 10000; one operation, from its sending to its answer.
/// - `in_flight`: 64 requests.
package struct LDAPSettings: Sendable {
    package let server: ServerAddress
    /// StartTLS is to be done; always false for `ldaps://`.
    package let startTLS: Bool
    /// The name that the server's certificate must carry.
    package let tlsServerName: String
    /// Passwords may cross an unencrypted connection, provided that its other end is this machine.
    package let allowsCleartext: Bool
    package let bindDN: String
    package let accounts: AccountRules
    package let passwordMethod: PasswordMethod
    /// Milliseconds.
    package let connectTimeout: UInt64
    /// Milliseconds.
    package let operationTimeout: UInt64
    package let inFlight: Int

    /// Understands what is written.
    ///
    /// - Parameters:
    ///   - written: the settings object.
    ///   - files: which settings of format `file` and `secret` are there.
    /// - Throws: ``StartError`` with everything that is wrong, each naming the key and what it accepts.
    package init(_ written: JSON, files: Set<String>) throws(StartError) {
        var written = try WrittenSettings(written)
        let server = written.understood("url") { text throws(StartError) in try ServerAddress(text) }
        let asksForTLS = written.bool("start_tls", default: true)
        let name = written.text("tls_server_name")
        allowsCleartext = written.bool("allow_cleartext", default: false)
        if let server {
            written.errors.add(Self.mistakes(of: server, asksForTLS, allowsCleartext, files))
        }
        let bindDN = written.understood("bind_dn") { text throws(StartError) in
            guard !text.isEmpty, DistinguishedName(text) != nil else {
                throw StartError("bind_dn: \"\(text)\" is not a DN such as cn=sync,dc=example,dc=org")
            }
            return text
        }
        if !files.contains("bind_password") {
            written.errors.add("bind_password: missing; it is the password of bind_dn")
        }
        let accounts = AccountRules(&written)
        let method = written.text("password_method") ?? "auto"
        let passwordMethod = PasswordMethod(rawValue: method)
        if passwordMethod == nil {
            written.errors.add("password_method: accepts auto, modify and extended, not \"\(method)\"")
        }
        connectTimeout = UInt64(written.int("connect_timeout_ms", default: 5000, in: 100...60_000))
        operationTimeout = UInt64(written.int("operation_timeout_ms", default: 10_000, in: 100...120_000))
        inFlight = written.int("in_flight", default: 64, in: 1...256)
        guard written.errors.isEmpty, let server, let bindDN, let accounts, let passwordMethod else {
            throw written.errors.all
        }
        self.server = server
        startTLS = asksForTLS && !server.isTLS
        tlsServerName = name ?? server.host
        self.bindDN = bindDN
        self.accounts = accounts
        self.passwordMethod = passwordMethod
    }

    /// What is wrong with the way to the server.
    private static func mistakes(
        of server: ServerAddress, _ asksForTLS: Bool, _ allowsCleartext: Bool, _ files: Set<String>
    ) -> StartErrors {
        var errors = StartErrors()
        if allowsCleartext, !server.isLoopback {
            errors.add(
                "allow_cleartext: true is accepted only for localhost, 127.0.0.1 and [::1], not for \(server.host)")
        }
        let hasTLS = server.isTLS || asksForTLS
        if !hasTLS, !allowsCleartext {
            errors.add(
                "start_tls: false with ldap:// would send passwords in clear; use ldaps://, start_tls: true, "
                    + "or allow_cleartext: true for a server on this machine")
        }
        if hasTLS, !files.contains("ca_file") {
            errors.add("ca_file: needed for TLS; name a PEM file with the certificates of the authorities")
        }
        return errors
    }
}

/// The settings as written, key by key, and what turns out to be wrong with them. Keys that nobody knows are the daemon's
/// business: it has the manifest's schema.
struct WrittenSettings {
    private let members: [String: JSON]
    var errors = StartErrors()

    init(_ json: JSON) throws(StartError) {
        guard let members = json.object else { throw StartError("settings: accepts an object") }
        self.members = members
    }

    mutating func text(_ key: String) -> String? {
        guard let value = members[key] else { return nil }
        guard let text = value.string else {
            errors.add("\(key): accepts a text")
            return nil
        }
        return text
    }

    /// A text that is needed, as `understand` takes it; `nil` if there is none or it is not understood.
    mutating func understood<T>(_ key: String, as understand: (String) throws(StartError) -> T) -> T? {
        guard members[key] != nil else {
            errors.add("\(key): missing")
            return nil
        }
        guard let text = text(key) else { return nil }
        return errors.attempt { () throws(StartError) in try understand(text) }
    }

    mutating func bool(_ key: String, default standard: Bool) -> Bool {
        guard let value = members[key] else { return standard }
        guard let bool = value.bool else {
            errors.add("\(key): accepts true and false")
            return standard
        }
        return bool
    }

    mutating func int(_ key: String, default standard: Int, in range: ClosedRange<Int>) -> Int {
        guard let value = members[key] else { return standard }
        guard let int = value.int, range.contains(int) else {
            errors.add("\(key): accepts whole numbers from \(range.lowerBound) to \(range.upperBound)")
            return standard
        }
        return int
    }
}
