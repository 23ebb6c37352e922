internal import CLDAP
internal import Glibc
internal import LDAPDecisions
internal import RuntimeSyncPlugin

/// Makes connections: TCP, TLS, bind, and a look at what the server is. All of it within `connect_timeout_ms`.
struct ConnectionOpening {
    let directory: Directory
    let lifeline: Lifeline

    private var settings: LDAPSettings { directory.settings }
    private var host: PluginHost { directory.host }

    /// A connection that works as the service account.
    ///
    /// - Parameter latest: when it is given up, if that comes before `connect_timeout_ms` are over; on the host's clock.
    func authenticated(until latest: UInt64 = .max) throws(OpenFailure) -> Connection {
        let deadline = min(latest, host.now + settings.connectTimeout)
        let connection = try secured(until: deadline)
        try bind(connection, until: deadline)
        connection.readAhead()
        let root = AccountQuery(base: "", scope: .base, filter: "(objectClass=*)")
        let answer = try self.answer(
            to: connection.search(root, attributes: ServerFacts.attributes), on: connection, until: deadline,
            doing: "reading the server's root entry")
        if let entry = answer.entries.first {
            connection.facts = ServerFacts(rootEntry: entry, method: settings.passwordMethod)
        } else {
            connection.facts.passwordByExtendedOperation = settings.passwordMethod == .extended
        }
        return connection
    }

    /// A connection on which nobody is authenticated yet, fit for secrets.
    func secured() throws(OpenFailure) -> Connection {
        try secured(until: host.now + settings.connectTimeout)
    }

    /// Waits for the answer to one request, when nothing else is outstanding.
    func answer(
        to sending: Connection.Sending, on connection: Connection, until deadline: UInt64, doing: String
    ) throws(OpenFailure) -> Connection.Answer {
        switch sending {
        case .sent(let message):
            while true {
                switch connection.receive(message) {
                case .answer(let answer): return answer
                case .lost: throw OpenFailure(.retry, "\(doing): the server closed the connection")
                case .nothing:
                    let events = connection.unfinished == nil ? POLLIN : POLLIN | POLLOUT
                    guard Socket.wait(connection.descriptor, for: Int32(events), until: deadline, host: host) else {
                        throw OpenFailure(.retry, "\(doing): the server did not answer in time")
                    }
                }
            }
        case .busy, .lost: throw OpenFailure(.retry, "\(doing): the connection was lost")
        case .failed(let answer): throw OpenFailure(answer.code.outcome(.opening), answer.detail(doing))
        }
    }

    private func secured(until deadline: UInt64) throws(OpenFailure) -> Connection {
        let server = settings.server
        let descriptor = try Socket.connect(to: server, until: deadline, host: host, lifeline: lifeline)
        // libldap compares the server's certificate with the host of this URL, and connects to nothing by it.
        let name = settings.tlsServerName.contains(":") ? "[\(settings.tlsServerName)]" : settings.tlsServerName
        guard let peerIsLoopback = Socket.peerIsLoopback(descriptor),
            let connection = Connection(
                descriptor, url: "ldap://\(name)", mayBeInClear: settings.allowsCleartext && peerIsLoopback,
                lifeline: lifeline)
        else {
            lifeline.detach()
            close(descriptor)
            throw OpenFailure(.retry, "connecting to \(server.host) port \(server.port): the connection was lost")
        }
        if settings.startTLS {
            let answer = try self.answer(
                to: connection.send { ldap_start_tls(connection.handle, nil, nil, &$0) }, on: connection,
                until: deadline, doing: "StartTLS")
            if answer.code != .success {
                throw OpenFailure(
                    answer.code.outcome(.opening), answer.search(hiding: nil).end.detail("StartTLS"))
            }
        }
        if server.isTLS || settings.startTLS { try secure(connection, until: deadline) }
        guard connection.mayCarrySecrets else {
            throw OpenFailure(.misconfigured, "the connection is not encrypted: no password is sent over it")
        }
        return connection
    }

    private func secure(_ connection: Connection, until deadline: UInt64) throws(OpenFailure) {
        let handle = connection.handle
        guard let authorities = directory.authorities else { throw OpenFailure(.misconfigured, "ca_file: missing") }
        // libldap takes certificates from a path only. This one opens the descriptor that we already hold.
        ldap_set_option(handle, LDAP_OPT_X_TLS_CACERTFILE, "/proc/self/fd/\(authorities)")
        set(handle, LDAP_OPT_X_TLS_REQUIRE_CERT, LDAP_OPT_X_TLS_HARD)
        set(handle, LDAP_OPT_X_TLS_PROTOCOL_MIN, RTS_LDAP_TLS_1_2)
        guard set(handle, LDAP_OPT_X_TLS_NEWCTX, 0) == LDAP_SUCCESS else {
            throw OpenFailure(.misconfigured, "ca_file: holds no certificate in PEM that can be used")
        }
        let alarm = Alarm(at: deadline, host: host) { [lifeline] in lifeline.interrupt() }
        guard let alarm else { throw OpenFailure(.retry, "TLS: no threads left") }
        blocks(connection.descriptor, true)
        let code = ldap_install_tls(handle)
        alarm.turnOff()
        guard code == LDAP_SUCCESS else { throw handshakeFailure(connection, code, until: deadline) }
        blocks(connection.descriptor, false)
    }

    /// A certificate that we do not accept stays unacceptable; a server that went away may come back.
    private func handshakeFailure(_ connection: Connection, _ code: Int32, until deadline: UInt64) -> OpenFailure {
        if host.now >= deadline { return OpenFailure(.retry, "TLS: the server did not answer in time") }
        var byte: UInt8 = 0
        let count = recv(connection.descriptor, &byte, 1, Int32(MSG_PEEK | MSG_DONTWAIT))
        if count == 0 || (count < 0 && errno != EAGAIN) {
            return OpenFailure(.retry, "TLS: the connection was lost during the handshake")
        }
        // libldap with GnuTLS says no more than "unknown error code" about a certificate.
        return OpenFailure(
            .misconfigured,
            "TLS: the server's certificate is not accepted: its authority is not in ca_file, it does not name "
                + "\(settings.tlsServerName), or it is not valid at this time (\(String(cString: ldap_err2string(code))))"
        )
    }

    private func blocks(_ descriptor: Int32, _ blocks: Bool) {
        let flags = fcntl(descriptor, F_GETFL)
        _ = fcntl(descriptor, F_SETFL, blocks ? flags & ~O_NONBLOCK : flags | O_NONBLOCK)
    }

    private func bind(_ connection: Connection, until deadline: UInt64) throws(OpenFailure) {
        guard let password = SecretBuffer(reading: directory.bindPassword) else {
            throw OpenFailure(.misconfigured, "bind_password: cannot be read")
        }
        guard password.count > 0 else {
            throw OpenFailure(.misconfigured, "bind_password: empty, which would be an anonymous bind")
        }
        let trace = password.withUnsafeBytes { SecretTrace($0) }
        let sending = password.withUnsafeBytes { connection.bind(settings.bindDN, $0) }
        _ = consume password  // wiped
        let answer = try self.answer(
            to: sending, on: connection, until: deadline, doing: "binding as \(settings.bindDN)")
        guard answer.code == .success else {
            throw OpenFailure(
                answer.code.outcome(.opening),
                answer.search(hiding: trace).end.detail("binding as \(settings.bindDN)"))
        }
    }

    @discardableResult
    private func set(_ handle: OpaquePointer, _ option: Int32, _ value: Int32) -> Int32 {
        var value = value
        return ldap_set_option(handle, option, &value)
    }
}
