internal import Delivery
internal import FoundationEssentials
internal import Installations
internal import TargetServers
internal import Workbench

extension Installation {
    /// The source `kc`.
    var kc: Signer {
        do {
            return try Signer(secret)
        } catch {
            preconditionFailure("the installation made a secret that is none: \(error)")
        }
    }

    /// With a directory as the provider `ldap`.
    convenience init(_ directory: OpenLDAP, more: [String] = [], plugins: String? = nil) throws {
        try self.init(more: more, plugins: plugins)
        try add(directory)
    }

    /// Starts the daemon; returns when it takes events and its workers are ready.
    func start(environment: [String] = [], by starter: [String] = []) async throws {
        try launch(environment: environment, by: starter)
        try await listening()
        try await eventually("the workers are ready") {
            // The control socket may open a moment later than the intake.
            guard let providers = try? providers() else { return false }
            return providers.allSatisfy { $0.worker == nil || $0.report.state != "no worker" }
        }
    }

    // MARK: Talking to it

    /// The intake's port.
    var port: UInt16 {
        address.split(separator: ":").last.flatMap { UInt16($0) } ?? 0
    }

    func connect() throws -> Connection {
        try Connection(port: port)
    }

    /// Posts an event on a connection of its own.
    @discardableResult
    func post(_ event: Event, as signer: Signer? = nil) throws -> Answer {
        try post((signer ?? kc).request(event.bytes))
    }

    /// Posts whatever it is.
    func post(_ request: [UInt8]) throws -> Answer {
        let connection = try connect()
        try connection.send(request)
        return try connection.answer()
    }

    /// What the daemon answers on its control socket.
    func ask<Answer: Decodable>(_ path: String, as type: Answer.Type = Answer.self) throws -> Answer {
        let connection = try Connection(socket: control)
        try connection.send(Array("GET \(path) HTTP/1.1\r\nHost: control\r\n\r\n".utf8))
        let answer = try connection.answer()
        guard answer.status == 200 else { throw Failure("\(path): \(answer.status) \(answer.text)") }
        return try JSONDecoder().decode(type, from: Data(answer.body))
    }

    func providers() throws -> [ProviderStatus] {
        try ask("/providers")
    }

    func provider(_ name: String = "ldap") throws -> ProviderStatus {
        guard let provider = try providers().first(where: { $0.report.name == name }) else {
            throw Failure("no provider \(name)")
        }
        return provider
    }

    func counter(_ name: String, of provider: String = "ldap") throws -> Int64 {
        try self.provider(provider).report.counters[name] ?? 0
    }

    func queue() throws -> [DeliveryReport] {
        struct Part: Decodable { var deliveries: [DeliveryReport] }
        return try ["waiting", "dead"].flatMap { state -> [DeliveryReport] in
            let part: Part = try ask("/queue?state=\(state)")
            return part.deliveries
        }
    }

    /// Waits until so many events have reached a provider, and all its deliveries have ended.
    ///
    /// - Parameter name: the provider; all of them if absent.
    func settled(_ events: Int64, at name: String? = nil) async throws {
        func isSettled(_ report: ProviderReport) -> Bool {
            report.counters["made"] == events && report.waiting == 0 && report.inFlight == 0 && report.unaccounted == 0
        }
        var reports: [ProviderReport] = []
        try await eventually("\(events) deliveries have ended: \(reports)") {
            reports = try providers().map(\.report).filter { name == nil || $0.name == name }
            return reports.allSatisfy(isSettled)
        }
    }

    /// Waits for the only dead letter.
    func deadLetter() async throws -> DeliveryReport {
        try await eventually("a dead letter") { try queue().first { $0.state == "dead" } }
    }
}

/// A provider and its worker, as `providers list --json` tells.
struct ProviderStatus: Decodable {
    var report: ProviderReport
    var worker: String?
    var pid: Int32?
    var restarts: Int
    var landlockABI: UInt32?
    var layers: [String]?
}
