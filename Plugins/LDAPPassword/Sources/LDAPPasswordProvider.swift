internal import LDAPDecisions
internal import RuntimeSyncPlugin

/// Writes passwords and profile attributes to one LDAP directory.
///
/// Nothing here waits for the server. The host's thread only turns a delivery into a ``Request`` and hands it over:
///
/// - the ``Courier`` works on one connection, with up to `in_flight` requests outstanding;
/// - the ``Inspector`` makes a connection of its own for each check and each password to verify, so that those never
///   hold up a delivery.
final class LDAPPasswordProvider: Provider {
    private let host: PluginHost
    private let settings: LDAPSettings
    private let orders: Mailbox<CourierOrder>
    private let inspections: Mailbox<Inspection>
    private let lifelines: [Lifeline]
    private let threads: [WorkerThread]

    init(host: PluginHost, start: StartRequest) throws {
        let written: JSON
        do {
            written = try JSON(parsing: start.settings)
        } catch {
            throw StartError("settings: \(error)")
        }
        let settings = try LDAPSettings(written, files: Set(start.files.keys))
        guard let bindPassword = start.files["bind_password"] else { throw StartError("bind_password: missing") }
        let directory = Directory(
            settings: settings, bindPassword: bindPassword, authorities: start.files["ca_file"], host: host)
        guard let orders = Mailbox<CourierOrder>(), let inspections = Mailbox<Inspection>() else {
            throw StartError("no descriptors left")
        }
        let (courierLine, inspectorLine) = (Lifeline(), Lifeline())
        guard
            let courier = WorkerThread({
                var courier = Courier(directory, orders: orders, inspections: inspections, lifeline: courierLine)
                courier.run()
            }),
            let inspector = WorkerThread({
                Inspector(directory, inspections: inspections, orders: orders, lifeline: inspectorLine).run()
            })
        else { throw StartError("no threads left") }
        self.host = host
        self.settings = settings
        self.orders = orders
        self.inspections = inspections
        lifelines = [courierLine, inspectorLine]
        threads = [courier, inspector]
    }

    func deliver(_ delivery: borrowing Delivery) {
        switch delivery.deliveryClass {
        case .credential:
            if delivery.isTemporary {
                return refuse(delivery.id, "a temporary password: this plugin cannot demand a change at the next login")
            }
            submit(delivery, .password)
        case .profile:
            guard let attributes = values(in: delivery.attributes) else {
                return refuse(delivery.id, "attributes: not a JSON object of arrays of strings")
            }
            if let secret = attributes.keys.first(where: holdsPassword) {
                return refuse(delivery.id, "\(secret) holds passwords and is not written as an attribute")
            }
            submit(delivery, .profile(attributes))
        case .lifecycle, .notification, nil:
            refuse(delivery.id, "this plugin takes credential and profile deliveries only")
        }
    }

    func verifyPassword(_ delivery: borrowing Delivery) {
        submit(delivery, .verify)
    }

    func readRecord(_ delivery: borrowing Delivery) {
        let attributes = delivery.attributes
        var wanted: [String] = []
        if !attributes.isEmpty {
            guard let object = (try? JSON(parsing: attributes))?.object else {
                return refuse(delivery.id, "attributes: not a JSON object")
            }
            wanted = object.keys.sorted()
        }
        if let secret = wanted.first(where: holdsPassword) {
            return refuse(delivery.id, "\(secret) holds passwords and is not read")
        }
        submit(delivery, .read(wanted))
    }

    func check(_ id: UInt64) {
        inspections.post(.check(id))
    }

    func cancel(_ id: UInt64) {
        orders.post(.cancel(id))
    }

    func stop() {
        orders.post(.stop)
        inspections.post(.stop)
        lifelines.forEach { $0.cut() }
        threads.forEach { $0.join() }
    }

    // MARK: From delivery to request

    private func submit(_ delivery: borrowing Delivery, _ purpose: Purpose) {
        var secret: SecretBuffer?
        switch purpose {
        case .password, .verify:
            let copy = delivery.withSecret { SecretBuffer(copying: $0) }
            // A server may make up a password of its own for an empty one (RFC 3062), and takes a bind with one for
            // an anonymous bind, which succeeds (RFC 4513, section 5.1.2).
            if copy.count == 0 { return refuse(delivery.id, "an empty password is never sent") }
            secret = consume copy
        case .profile, .read:
            break
        }
        let query: AccountQuery
        do {
            query = try settings.accounts.query(for: SubjectNames(of: delivery, event: settings.accounts.needEvent))
        } catch {
            return refuse(delivery.id, error.reason)
        }
        let deadline = delivery.deadline == 0 ? UInt64.max : host.now + UInt64(delivery.deadline)
        let course = DeliveryCourse(
            purpose, query: query, rules: settings.accounts, boundTo: delivery.account,
            passwordNamesScheme: delivery.withSecret { namesScheme($0) })
        orders.post(.submit(Request(delivery.id, course, secret: secret, deadline: deadline)))
    }

    private func refuse(_ id: UInt64, _ reason: String) {
        host.complete(id, Completion(.refused, detail: reason))
    }
}

extension SubjectNames {
    /// What a delivery says about its subject. An event that is no JSON names nobody.
    ///
    /// - Parameter event: whether the event is read too.
    fileprivate init(of delivery: borrowing Delivery, event: Bool) {
        let subject = event ? (try? JSON(parsing: delivery.event))?["subject"] : nil
        self.init(
            externalID: delivery.externalID, username: subject?["username"]?.string, userID: subject?["id"]?.string,
            email: subject?["email"]?.string)
    }
}

/// A JSON object of arrays of strings; `nil` if the bytes are something else.
private func values(in bytes: [UInt8]) -> [String: [String]]? {
    guard let members = (try? JSON(parsing: bytes))?.object else { return nil }
    var values: [String: [String]] = [:]
    for (name, value) in members {
        guard let elements = value.array else { return nil }
        values[name] = elements.compactMap(\.string)
        guard values[name]?.count == elements.count else { return nil }
    }
    return values
}
