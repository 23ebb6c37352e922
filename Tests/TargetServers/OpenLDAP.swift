internal import CLDAP
internal import Glibc
internal import Synchronization
public import Workbench

/// A real OpenLDAP server (`slapd`, Debian package `slapd`) with a small directory, on ports of its own:
///
/// ```
/// dc=example,dc=org
/// ├── cn=sync            the service account: writes below ou=people, sees everything, subject to the password policy
/// ├── ou=people          ordinary accounts
/// │   └── ou=frozen      the service account may read here, and nothing else
/// ├── ou=admins          outside of what a plugin should ever touch
/// └── cn=policy          the password policy, if there is one: at least 8 characters
/// ```
///
/// `cn=admin,dc=example,dc=org` is the root account. Beside it the server counts its own work below `cn=Monitor`. It ends
/// with its last reference.
public final class OpenLDAP: Sendable {
    /// What differs from server to server.
    public struct Options: Sendable {
        /// More entries, as LDIF.
        public var entries = ""
        /// The policy overlay checks passwords and hashes those written as an attribute.
        public var hasPolicy = false
        /// The service account sees the entries below ou=people, but not that entry itself, so no search may begin there.
        public var hidesPeople = false
        /// The service account may search and read these attributes and write passwords, and nothing else; commas between.
        public var searchable: String?
        /// Writes reach the disk before they are answered.
        public var isDurable = false
        /// TLS with certificates of this authority; none if absent.
        public var authority: CertificateAuthority?
        /// Whom its certificate names, as `openssl` writes it.
        public var subjectAltName = "IP:127.0.0.1,DNS:localhost"

        public init() {}
    }

    /// The top of the directory, and the subtree of the accounts.
    public static let base = "dc=example,dc=org"
    public static let people = "ou=people,dc=example,dc=org"
    /// The service account and its password.
    public static let service = "cn=sync,dc=example,dc=org"
    public static let servicePassword = "service-secret"
    /// The root account and its password.
    public static let root = "cn=admin,dc=example,dc=org"
    public static let rootPassword = "root-secret"

    /// Where it listens for LDAP, StartTLS included; and for LDAPS, if it has an authority.
    public let port, tlsPort: UInt16
    private let folder: Folder
    private let authority: CertificateAuthority?
    private let process = Mutex<ChildProcess?>(nil)

    /// Makes the directory and starts the server.
    public init(_ options: Options = Options()) throws(ServerError) {
        folder = try Folder()
        port = try Loopback.freePort()
        tlsPort = try Loopback.freePort()
        authority = options.authority
        try folder.makeFolder("db")
        let certificate = try authority?.issue("slapd-\(tlsPort)", subjectAltName: options.subjectAltName)
        try folder.write("slapd.conf", Self.configuration(options, certificate, folder: folder.path))
        try folder.write("init.ldif", Self.entries(options))
        try ChildProcess.run(["/usr/sbin/slapadd", "-q", "-f", configuration, "-l", "\(folder.path)/init.ldif"])
        try start()
    }

    deinit {
        stop()
    }

    /// `ldap://` with the literal address of this machine.
    public var url: String { "ldap://127.0.0.1:\(port)" }
    /// `ldaps://` with the literal address of this machine.
    public var tlsURL: String { "ldaps://127.0.0.1:\(tlsPort)" }

    private var log: String { "\(folder.path)/log" }
    private var configuration: String { "\(folder.path)/slapd.conf" }

    // MARK: Life

    /// Starts the server, or starts it again on the same port with the same data; returns when it listens.
    public func start() throws(ServerError) {
        let hasTLS = authority != nil
        let urls = hasTLS ? "\(url)/ \(tlsURL)/" : "\(url)/"
        // With -d it stays in the foreground, and its pid is the one we know.
        let child = try ChildProcess(["/usr/sbin/slapd", "-d", "0", "-f", configuration, "-h", urls], log: log)
        process.withLock { $0 = child }
        let deadline = ContinuousClock.now + .seconds(60)
        while !Loopback.isOpen(port) || (hasTLS && !Loopback.isOpen(tlsPort)) {
            guard !child.hasEnded(), ContinuousClock.now < deadline else {
                throw ServerError("slapd did not get ready: \((try? Folder.read(log)) ?? "")")
            }
            usleep(2000)
        }
    }

    /// Ends the server in an orderly way, if it runs; its data stay.
    public func stop() {
        end(SIGTERM)
    }

    /// Ends the server at once, as a crash would.
    public func crash() {
        end(SIGKILL)
    }

    /// Lets the server keep its connections and do nothing, until ``resume()``; returns when it does nothing.
    public func freeze() {
        process.withLock { process in
            process?.signal(SIGSTOP)
            process?.waitUntilStopped()
        }
    }

    /// Ends what ``freeze()`` began.
    public func resume() {
        process.withLock { $0?.signal(SIGCONT) }
    }

    private func end(_ signal: Int32) {
        process.withLock { process in
            process?.signal(signal)
            process?.signal(SIGCONT)
            process?.wait()
            process = nil
        }
    }

    // MARK: Looking at it

    /// Binds and returns the server's result code: 0 if the password is right, 49 if not, -1 if nobody answers.
    public func bind(_ name: String, password: String) -> Int32 {
        connected { handle in bind(handle, name, password) }
    }

    /// What an attribute of an entry holds, as the root account sees it; `nil` if there is no such entry.
    public func values(_ attribute: String, of name: String) -> [String]? {
        connected { handle in
            guard bind(handle, Self.root, Self.rootPassword) == LDAP_SUCCESS else { return nil }
            var result: OpaquePointer?
            defer { ldap_msgfree(result) }
            var attributes = [strdup(attribute), nil]
            defer { free(attributes[0]) }
            let code = ldap_search_ext_s(
                handle, name, RTS_LDAP_SCOPE_BASE, "(objectClass=*)", &attributes, 0, nil, nil, nil, 0, &result)
            guard code == LDAP_SUCCESS, let entry = ldap_first_entry(handle, result) else { return nil }
            guard let values = ldap_get_values_len(handle, entry, attribute) else { return [] }
            defer { ldap_value_free_len(values) }
            return (0..<Int(ldap_count_values_len(values))).compactMap { index in
                values[index].map { value in
                    String(
                        decoding: UnsafeRawBufferPointer(
                            start: value.pointee.bv_val, count: Int(value.pointee.bv_len)), as: UTF8.self)
                }
            }
        }
    }

    /// How many searches anybody has begun since the server started, those of this method included: one each.
    public func searches() -> Int? {
        values("monitorOpInitiated", of: "cn=Search,cn=Operations,cn=Monitor")?.first.flatMap { Int($0) }
    }

    /// Changes the directory as the root account: LDIF with change records, or entries to add.
    public func apply(_ ldif: String) throws(ServerError) {
        let file = try folder.write("change.ldif", ldif)
        try ChildProcess.run(
            ["/usr/bin/ldapmodify", "-a", "-M", "-x", "-H", url, "-D", Self.root, "-w", Self.rootPassword, "-f", file])
    }

    private func connected<R>(_ body: (OpaquePointer) -> R) -> R {
        var handle: OpaquePointer?
        ldap_initialize(&handle, url)
        guard let handle else { preconditionFailure("libldap has no memory left") }
        defer { ldap_unbind_ext_s(handle, nil, nil) }
        var version = LDAP_VERSION3
        ldap_set_option(handle, LDAP_OPT_PROTOCOL_VERSION, &version)
        var timeout = timeval(tv_sec: 60, tv_usec: 0)
        ldap_set_option(handle, LDAP_OPT_TIMEOUT, &timeout)
        return body(handle)
    }

    private func bind(_ handle: OpaquePointer, _ name: String, _ password: String) -> Int32 {
        let text = strdup(password)
        defer { free(text) }
        var credential = berval(bv_len: ber_len_t(password.utf8.count), bv_val: text)
        return ldap_sasl_bind_s(handle, name, nil, &credential, nil, nil, nil)
    }

    // MARK: Making it

    /// An account below ou=people, as LDIF.
    ///
    /// - Parameters:
    ///   - place: what stands between its RDN and ou=people, such as `ou=frozen`.
    ///   - more: more lines.
    public static func account(
        _ uid: String, password: String = "before", number: String? = nil, place: String = "", more: String = ""
    ) -> String {
        """
        dn: uid=\(uid),\(place.isEmpty ? "" : place + ",")\(people)
        objectClass: inetOrgPerson
        cn: \(uid)
        sn: \(uid)
        employeeNumber: \(number ?? uid)
        userPassword: \(password)
        \(more.isEmpty ? "" : more + "\n")

        """
    }

    /// The DN of ``account(_:password:number:place:more:)``.
    public static func name(_ uid: String) -> String {
        "uid=\(uid),\(people)"
    }

    private static func entries(_ options: Options) -> String {
        """
        dn: dc=example,dc=org
        objectClass: domain
        dc: example

        dn: cn=sync,dc=example,dc=org
        objectClass: organizationalRole
        objectClass: simpleSecurityObject
        cn: sync
        userPassword: \(servicePassword)

        dn: ou=people,dc=example,dc=org
        objectClass: organizationalUnit
        ou: people

        dn: ou=frozen,ou=people,dc=example,dc=org
        objectClass: organizationalUnit
        ou: frozen

        dn: ou=admins,dc=example,dc=org
        objectClass: organizationalUnit
        ou: admins

        \(options.hasPolicy ? policy : "")\(options.entries)
        """
    }

    private static let policy = """
        dn: cn=policy,dc=example,dc=org
        objectClass: device
        objectClass: pwdPolicy
        cn: policy
        pwdAttribute: userPassword
        pwdMinLength: 8
        pwdCheckQuality: 2


        """

    private static func configuration(
        _ options: Options, _ certificate: CertificateAuthority.Issued?, folder: String
    ) -> String {
        var lines = ["core", "cosine", "inetorgperson"].map { "include /etc/ldap/schema/\($0).schema" }
        lines += ["modulepath /usr/lib/ldap", "moduleload back_mdb", "sizelimit unlimited", "threads 4"]
        lines.append("sockbuf_max_incoming_auth 33554432")
        if options.hasPolicy { lines.append("moduleload ppolicy") }
        if let authority = options.authority, let certificate {
            lines += [
                "TLSCACertificateFile \(authority.certificateFile)",
                "TLSCertificateFile \(certificate.certificate)",
                "TLSCertificateKeyFile \(certificate.key)",
            ]
        }
        lines += [
            "database mdb", "suffix \"\(base)\"", "rootdn \"\(root)\"", "rootpw \(rootPassword)",
            "directory \(folder)/db", "maxsize 1073741824", "index objectClass,uid,employeeNumber,entryUUID eq",
        ]
        if !options.isDurable { lines.append("dbnosync") }
        if options.hasPolicy {
            lines += ["overlay ppolicy", "ppolicy_default \"cn=policy,\(base)\"", "ppolicy_hash_cleartext"]
        }
        if options.hidesPeople { lines.append("access to dn.exact=\"\(people)\" by * none") }
        if let searchable = options.searchable {
            lines += [
                "access to dn.subtree=\"\(people)\" attrs=\(searchable) by dn.exact=\"\(service)\" read by * none",
                "access to dn.subtree=\"\(people)\" attrs=userPassword by dn.exact=\"\(service)\" write by anonymous auth",
                "access to dn.subtree=\"\(people)\" by * none",
            ]
        }
        lines += [
            "access to dn.subtree=\"ou=frozen,\(people)\" by anonymous auth by * read",
            "access to dn.subtree=\"\(people)\" by dn.exact=\"\(service)\" write by anonymous auth by self write by * none",
            "access to * by dn.exact=\"\(service)\" read by anonymous auth by self read by * none",
        ]
        lines += ["database monitor", "access to * by dn.exact=\"\(root)\" read by * none"]
        return lines.joined(separator: "\n") + "\n"
    }
}
