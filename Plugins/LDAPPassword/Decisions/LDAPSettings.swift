package import RuntimeSyncPlugin

/// The provider's settings as written in JSON: one field per key of the manifest's schema, `nil` where nothing is
/// written.
package struct WrittenSettings: Decodable, Sendable {
    package var url: String
    package var startTLS: Bool?
    package var tlsServerName: String?
    package var allowCleartext: Bool?
    package var bindDN: String
    package var base: String
    package var accountDN: String?
    package var accountFilter: String?
    package var protect: String?
    package var stableID: String?
    package var passwordMethod: String?
    package var connectTimeout: UInt64?
    package var operationTimeout: UInt64?
    package var inFlight: Int?

    package enum CodingKeys: String, CodingKey {
        case url, base, protect
        case startTLS = "start_tls"
        case tlsServerName = "tls_server_name"
        case allowCleartext = "allow_cleartext"
        case bindDN = "bind_dn"
        case accountDN = "account_dn"
        case accountFilter = "account_filter"
        case stableID = "stable_id"
        case passwordMethod = "password_method"
        case connectTimeout = "connect_timeout_ms"
        case operationTimeout = "operation_timeout_ms"
        case inFlight = "in_flight"
    }

    package init(url: String, bindDN: String, base: String) {
        self.url = url
        self.bindDN = bindDN
        self.base = base
    }
}

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
/// - `in_flight`: 16 requests.
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
    package init(_ written: WrittenSettings, files: Set<String>) throws(StartError) {
        server = try ServerAddress(written.url)
        startTLS = !server.isTLS && written.startTLS ?? true
        tlsServerName = written.tlsServerName ?? server.host
        allowsCleartext = written.allowCleartext ?? false
        bindDN = written.bindDN
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
        guard !bindDN.isEmpty, DistinguishedName(bindDN) != nil else {
            throw StartError("bind_dn: \"\(bindDN)\" is not a DN such as cn=sync,dc=example,dc=org")
        }
        guard files.contains("bind_password") else {
            throw StartError("bind_password: missing; it is the password of bind_dn")
        }
        accounts = try AccountRules(written)
        guard let method = PasswordMethod(rawValue: written.passwordMethod ?? "auto") else {
            throw StartError("password_method: accepts auto, modify and extended, not \(written.passwordMethod ?? "")")
        }
        passwordMethod = method
        connectTimeout = try Self.within(100...60_000, written.connectTimeout ?? 5000, key: "connect_timeout_ms")
        operationTimeout = try Self.within(
            100...120_000, written.operationTimeout ?? 10_000, key: "operation_timeout_ms")
        inFlight = Int(try Self.within(1...256, UInt64(max(0, written.inFlight ?? 16)), key: "in_flight"))
    }

    private static func within(
        _ range: ClosedRange<UInt64>, _ value: UInt64, key: String
    ) throws(StartError) -> UInt64 {
        guard range.contains(value) else {
            throw StartError("\(key): accepts \(range.lowerBound) to \(range.upperBound), not \(value)")
        }
        return value
    }
}
