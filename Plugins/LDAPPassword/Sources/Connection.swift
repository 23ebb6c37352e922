internal import CLDAP
internal import Glibc
internal import LDAPDecisions

/// One connection to the directory, opened, secured and authenticated by ``ConnectionOpening``; used by one thread.
///
/// Nothing here waits: a request is written as far as the socket takes it, and ``receive()`` takes what has come.
///
/// A password that is sent passes through buffers of libldap and GnuTLS, which are freed but not wiped: those are out of
/// our reach. Our own copy never goes into another one.
final class Connection {
    let handle: OpaquePointer
    let descriptor: Int32
    /// What the server says of itself.
    var facts = ServerFacts()
    /// The request that the socket did not take whole. libldap writes the rest when it is asked for results, and does
    /// not tell when it has: only the answer does.
    private(set) var unfinished: Int32?
    private var isHeld = false
    private let lifeline: Lifeline
    private let mayBeInClear: Bool

    /// - Parameters:
    ///   - descriptor: a connected socket; from now on closed by this object.
    ///   - url: its host is the name that the server's certificate must carry.
    ///   - mayBeInClear: a password may be sent even without encryption.
    init?(_ descriptor: Int32, url: String, mayBeInClear: Bool, lifeline: Lifeline) {
        var handle: OpaquePointer?
        // 1: LDAP over TCP (LDAP_PROTO_TCP of ldap_pvt.h, which is not installed).
        guard ldap_init_fd(descriptor, 1, url, &handle) == LDAP_SUCCESS, let handle else { return nil }
        self.handle = handle
        self.descriptor = descriptor
        self.lifeline = lifeline
        self.mayBeInClear = mayBeInClear
        var version = LDAP_VERSION3
        ldap_set_option(handle, LDAP_OPT_PROTOCOL_VERSION, &version)
        ldap_set_option(handle, LDAP_OPT_REFERRALS, nil)  // LDAP_OPT_OFF: nothing is sent anywhere else
    }

    deinit {
        // The notice of the end would go into the middle of the request that is only half out.
        if unfinished != nil { shutdown(descriptor, Int32(SHUT_RDWR)) }
        lifeline.detach()
        ldap_unbind_ext(handle, nil, nil)
    }

    /// Whether a password may be sent.
    var mayCarrySecrets: Bool { ldap_tls_inplace(handle) == 1 || mayBeInClear }

    /// From now on reads as much as has come, and not each answer in two pieces.
    func readAhead() {
        var stream: OpaquePointer?
        guard ldap_get_option(handle, LDAP_OPT_SOCKBUF, &stream) == LDAP_SUCCESS, let stream else { return }
        ber_sockbuf_add_io(stream, rts_readahead(), LBER_SBIOD_LEVEL_PROVIDER, nil)
    }

    // MARK: Sending

    /// Keeps what is sent from now on in the kernel until ``letGo()``, so that many small requests leave as one.
    func hold() {
        if isHeld { return }
        isHeld = true
        cork(1)
    }

    /// Lets leave what ``hold()`` kept.
    func letGo() {
        if !isHeld { return }
        isHeld = false
        cork(0)
    }

    private func cork(_ value: Int32) {
        var value = value
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_CORK, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    /// What became of an attempt to send.
    enum Sending {
        /// It is on its way; the answer has this number.
        case sent(Int32)
        /// An earlier request is not out yet: try again later.
        case busy
        /// The connection is gone. The request did not go out whole, so the server cannot act on it.
        case lost
        /// libldap would not encode it.
        case failed(ServerAnswer)
    }

    /// Asks a query.
    ///
    /// - Parameter limit: at most so many entries.
    func search(_ query: AccountQuery, attributes: [String], limit: Int = 2) -> Sending {
        let arena = Arena()
        var names = attributes.map { Optional(arena.text($0)) } + [nil]
        let scope = query.scope == .base ? RTS_LDAP_SCOPE_BASE : RTS_LDAP_SCOPE_SUBTREE
        return send {
            ldap_search_ext(handle, query.base, scope, query.filter, &names, 0, nil, nil, nil, Int32(limit), &$0)
        }
    }

    /// Gives each attribute exactly these values.
    func modify(_ name: String, _ attributes: [String: [String]], condition: String?) -> Sending {
        let arena = Arena()
        let changes = attributes.sorted { $0.key < $1.key }.map { type, values in
            arena.replacement(type, values.map { arena.bytes($0) })
        }
        return modify(name, changes, condition: condition, arena)
    }

    /// Sets `userPassword`.
    func modifyPassword(_ name: String, _ password: UnsafeRawBufferPointer, condition: String?) -> Sending {
        let arena = Arena()
        return modify(name, [arena.replacement("userPassword", [lent(password)])], condition: condition, arena)
    }

    /// Sets the password by the operation made for it (RFC 3062).
    func setPassword(_ name: String, _ password: UnsafeRawBufferPointer) -> Sending {
        var name = name
        var new = lent(password)
        return name.withUTF8 { name in
            var user = lent(UnsafeRawBufferPointer(name))
            return send { ldap_passwd(handle, &user, nil, &new, nil, nil, &$0) }
        }
    }

    /// Authenticates by name and password.
    func bind(_ name: String, _ password: UnsafeRawBufferPointer) -> Sending {
        var credential = lent(password)
        return send { ldap_sasl_bind(handle, name, nil, &credential, nil, nil, &$0) }
    }

    /// Tells the server that nobody waits for this answer. Not while another request is half out: libldap would write
    /// the notice into the middle of it.
    func abandon(_ message: Int32) {
        if unfinished == nil { ldap_abandon_ext(handle, message, nil, nil) }
    }

    private func modify(
        _ name: String, _ changes: [UnsafeMutablePointer<LDAPMod>], condition: String?, _ arena: Arena
    ) -> Sending {
        var changes = changes.map(Optional.init) + [nil]
        guard let condition else { return send { ldap_modify_ext(handle, name, &changes, nil, nil, &$0) } }
        var control: UnsafeMutablePointer<LDAPControl>?
        let code = ldap_create_assertion_control(handle, arena.text(condition), 1, &control)
        guard code == LDAP_SUCCESS else { return outcome(of: code) }
        defer { ldap_control_free(control) }
        var controls = [control, nil]
        return send { ldap_modify_ext(handle, name, &changes, &controls, nil, &$0) }
    }

    func send(_ call: (inout Int32) -> Int32) -> Sending {
        var message: Int32 = 0
        let code = call(&message)
        guard code == LDAP_SUCCESS else { return outcome(of: code) }
        var state: Int32 = 0
        ldap_get_option(handle, LDAP_OPT_RESULT_CODE, &state)
        if state == LDAP_BUSY { unfinished = message }
        return .sent(message)
    }

    private func outcome(of code: Int32) -> Sending {
        switch code {
        case LDAP_BUSY: .busy
        case LDAP_SERVER_DOWN: .lost
        default: .failed(ServerAnswer(code: ResultCode(code), message: String(cString: ldap_err2string(code))))
        }
    }

    // MARK: Receiving

    /// What the socket had.
    enum Received {
        case nothing
        case answer(Answer)
        case lost
    }

    /// One operation's end, and the entries that came before it.
    struct Answer {
        let message: Int32
        let code: ResultCode
        let text: String
        let matchedName: String
        let entries: [DirectoryEntry]
        let references: Int

        /// What the decisions are made on; free of the password that `trace` knows.
        func search(hiding trace: SecretTrace?) -> SearchAnswer {
            SearchAnswer(
                end: ServerAnswer(code: code, message: text, matchedName: matchedName, hiding: trace),
                entries: entries, references: references)
        }
    }

    /// Takes the next answer, if it has come whole, and writes what is unfinished.
    ///
    /// - Parameter message: only the answer with this number; any, if absent.
    func receive(_ message: Int32 = LDAP_RES_ANY) -> Received {
        var now = timeval()
        var chain: OpaquePointer?
        let type = ldap_result(handle, message, LDAP_MSG_ALL, &now, &chain)
        guard type > 0, let chain else { return type == 0 ? .nothing : .lost }
        defer { ldap_msgfree(chain) }
        let answer = read(chain)
        if unfinished == answer.message { unfinished = nil }
        return .answer(answer)
    }

    private func read(_ chain: OpaquePointer) -> Answer {
        var entries: [DirectoryEntry] = []
        var references = 0
        var next = ldap_first_message(handle, chain)
        while let message = next {
            switch ber_tag_t(truncatingIfNeeded: ldap_msgtype(message)) {
            case RTS_LDAP_SEARCH_ENTRY: entries.append(entry(message))
            case RTS_LDAP_SEARCH_REFERENCE: references += 1
            default: break
            }
            next = ldap_next_message(handle, message)
        }
        var code: Int32 = 0
        var matched: UnsafeMutablePointer<CChar>?
        var text: UnsafeMutablePointer<CChar>?
        let parsed = ldap_parse_result(handle, chain, &code, &matched, &text, nil, nil, 0)
        defer {
            ldap_memfree(matched)
            ldap_memfree(text)
        }
        return Answer(
            message: ldap_msgid(chain), code: ResultCode(parsed == LDAP_SUCCESS ? code : parsed),
            text: text.map { String(cString: $0) } ?? "", matchedName: matched.map { String(cString: $0) } ?? "",
            entries: entries, references: references)
    }

    private func entry(_ message: OpaquePointer) -> DirectoryEntry {
        let name = ldap_get_dn(handle, message)
        defer { ldap_memfree(name) }
        var attributes: [String: [[UInt8]]] = [:]
        var position: OpaquePointer?
        var next = ldap_first_attribute(handle, message, &position)
        while let attribute = next {
            let values = ldap_get_values_len(handle, message, attribute)
            let count = Int(ldap_count_values_len(values))
            attributes[String(cString: attribute)] = (0..<count).compactMap { index in
                values?[index].map { value in
                    Array(UnsafeRawBufferPointer(start: value.pointee.bv_val, count: Int(value.pointee.bv_len)))
                }
            }
            ldap_value_free_len(values)
            ldap_memfree(attribute)
            next = ldap_next_attribute(handle, message, position)
        }
        ber_free(position, 0)
        return DirectoryEntry(name: name.map { String(cString: $0) } ?? "", attributes: attributes)
    }
}

/// A secret or a name as libldap wants to see it. Not copied: libldap only reads.
private func lent(_ secret: UnsafeRawBufferPointer) -> berval {
    berval(
        bv_len: ber_len_t(secret.count),
        bv_val: secret.baseAddress.map { UnsafeMutablePointer(mutating: $0.assumingMemoryBound(to: CChar.self)) })
}
