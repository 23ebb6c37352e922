internal import Glibc
internal import LDAPDecisions
internal import RuntimeSyncPlugin

/// What the inspector is asked to do.
enum Inspection: Sendable {
    case check(UInt64)
    /// Is the request's secret the password of this account?
    case verify(Request, LocatedAccount)
    case stop
}

/// Answers questions about the directory, one at a time, each on a connection of its own: could deliveries succeed, and
/// is this the account's password. It lives on a thread of its own and may wait there; deliveries do not wait for it.
struct Inspector {
    private let directory: Directory
    private let inspections: Mailbox<Inspection>
    private let orders: Mailbox<CourierOrder>
    private let opening: ConnectionOpening

    init(
        _ directory: Directory, inspections: Mailbox<Inspection>, orders: Mailbox<CourierOrder>, lifeline: Lifeline
    ) {
        self.directory = directory
        self.inspections = inspections
        self.orders = orders
        opening = ConnectionOpening(directory: directory, lifeline: lifeline)
    }

    private var host: PluginHost { directory.host }
    private var settings: LDAPSettings { directory.settings }

    func run() {
        var goesOn = true
        while goesOn {
            var bell = pollfd(fd: inspections.bell, events: Int16(POLLIN), revents: 0)
            _ = poll(&bell, 1, -1)
            let work = inspections.take()
            if work.contains(where: { if case .stop = $0 { true } else { false } }) { goesOn = false }
            for inspection in work {
                switch inspection {
                case .check(let id):
                    host.complete(id, goesOn ? check() : Completion(.retry, detail: "the plugin stops"))
                case .verify(let request, let account):
                    let completion = goesOn ? verify(request, account) : request.course.interrupted(.stopping)
                    request.wipeSecret()
                    host.complete(request.id, completion)
                case .stop: break
                }
            }
        }
    }

    // MARK: Is this the password?

    private func verify(_ request: Request, _ account: LocatedAccount) -> Completion {
        // Others may have been asked about before, of a server that answered late.
        if host.now >= request.deadline { return request.course.interrupted(.timedOut) }
        var completion = Completion(.retry, account: account.stableID?.text)
        do throws(OpenFailure) {
            let connection = try opening.secured()
            let sending = request.withSecret { connection.bind(account.name, $0) } ?? .lost
            request.wipeSecret()
            let deadline = min(request.deadline, host.now + settings.operationTimeout)
            let answer = try opening.answer(
                to: sending, on: connection, until: deadline, doing: "binding as the account")
            completion.outcome = answer.code.outcome(.verifying)
            if completion.outcome != .delivered {
                completion.detail = answer.search(hiding: request.trace).end.detail("binding as the account")
            }
        } catch {
            completion.outcome = error.completion.outcome
            completion.detail = error.completion.detail
        }
        return completion
    }

    // MARK: Could deliveries succeed?

    private func check() -> Completion {
        do throws(OpenFailure) {
            let connection = try opening.authenticated()
            let base = settings.accounts.base
            let answer = try look(at: base, on: connection)
            guard answer.code == .success, !answer.entries.isEmpty else {
                let outcome = answer.code == .success ? .misconfigured : answer.code.outcome(.opening)
                return Completion(outcome, detail: answer.search(hiding: nil).end.detail("reading base \(base)"))
            }
            var facts = [
                "connected to \(settings.server.host) port \(settings.server.port)",
                settings.server.isTLS ? "LDAPS" : settings.startTLS ? "StartTLS" : "in clear, to this machine",
                "bound as \(settings.bindDN)", "base \(base) is readable",
                "passwords by \(connection.facts.passwordByExtendedOperation ? "Password Modify" : "modify")",
                "conditional writes: \(connection.facts.knowsAssertion ? "yes" : "no")",
            ]
            if let vendor = connection.facts.vendor { facts.append("server: \(vendor)") }
            if try look(at: settings.bindDN, on: connection).entries.isEmpty {
                facts.append(
                    "warning: there is no entry \(settings.bindDN), or it may not see itself; if it is the directory's "
                        + "root account, no password policy applies to what is written")
            }
            orders.post(.reachable)
            return Completion(.delivered, detail: facts.joined(separator: "; "))
        } catch {
            return error.completion
        }
    }

    private func look(at name: String, on connection: Connection) throws(OpenFailure) -> Connection.Answer {
        let query = AccountQuery(base: name, scope: .base, filter: "(objectClass=*)")
        return try opening.answer(
            to: connection.search(query, attributes: ["1.1"]), on: connection,
            until: host.now + settings.operationTimeout, doing: "reading \(name)")
    }
}
