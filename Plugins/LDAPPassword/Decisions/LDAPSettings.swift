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
    /// - Throws: ``StartError`` naming the key and what it accepts.
    package init(_ written: JSON, files: Set<String>) throws(StartError) {
        let written = try WrittenSettings(written)
        server = try ServerAddress(try written.needed("url"))
        startTLS = try written.bool("start_tls", default: true) && !server.isTLS
        tlsServerName = try written.text("tls_server_name") ?? server.host
        allowsCleartext = try written.bool("allow_cleartext", default: false)
        if allowsCleartext, !server.isLoopback {
            throw StartError(
                "allow_cleartext: true is accepted only for localhost, 127.0.0.1 and [::1], not for \(server.host)")
        }
        if !server.isTLS, !startTLS, !allowsCleartext {
            throw StartError(
                "start_tls: false with ldap:// would send passwords in clear; use ldaps://, start_tls: true, "
                    + "or allow_cleartext: true for a server on this machine")
        }
        if server.isTLS || startTLS, !files.contains("ca_file") {
            throw StartError("ca_file: needed for TLS; name a PEM file with the certificates of the authorities")
        }
        bindDN = try written.needed("bind_dn")
        guard !bindDN.isEmpty, DistinguishedName(bindDN) != nil else {
            throw StartError("bind_dn: \"\(bindDN)\" is not a DN such as cn=sync,dc=example,dc=org")
        }
        guard files.contains("bind_password") else {
            throw StartError("bind_password: missing; it is the password of bind_dn")
        }
        accounts = try AccountRules(written)
        let method = try written.text("password_method") ?? "auto"
        guard let passwordMethod = PasswordMethod(rawValue: method) else {
            throw StartError("password_method: accepts auto, modify and extended, not \"\(method)\"")
        }
        self.passwordMethod = passwordMethod
        connectTimeout = UInt64(try written.int("connect_timeout_ms", default: 5000, in: 100...60_000))
        operationTimeout = UInt64(try written.int("operation_timeout_ms", default: 10_000, in: 100...120_000))
        inFlight = try written.int("in_flight", default: 64, in: 1...256)
    }
}

/// The settings as written, key by key. Keys that nobody knows are the daemon's business: it has the manifest's schema.
struct WrittenSettings {
    private let members: [String: JSON]

    init(_ json: JSON) throws(StartError) {
        guard let members = json.object else { throw StartError("settings: accepts an object") }
        self.members = members
    }

    func text(_ key: String) throws(StartError) -> String? {
        guard let value = members[key] else { return nil }
        guard let text = value.string else { throw StartError("\(key): accepts a text") }
        return text
    }

    func needed(_ key: String) throws(StartError) -> String {
        guard let text = try text(key) else { throw StartError("\(key): missing") }
        return text
    }

    func bool(_ key: String, default standard: Bool) throws(StartError) -> Bool {
        guard let value = members[key] else { return standard }
        guard let bool = value.bool else { throw StartError("\(key): accepts true and false") }
        return bool
    }

    func int(_ key: String, default standard: Int, in range: ClosedRange<Int>) throws(StartError) -> Int {
        guard let value = members[key] else { return standard }
        guard let int = value.int, range.contains(int) else {
            throw StartError("\(key): accepts whole numbers from \(range.lowerBound) to \(range.upperBound)")
        }
        return int
    }
}
