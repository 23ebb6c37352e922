internal import RuntimeSyncPlugin
internal import WorkforceRequests

/// A workforce system that takes changes as HTTP requests: one per delivery, as the settings' templates put it.
///
/// The host's thread only fills templates in; everything that waits happens on the thread of ``TransferLoop``.
final class WorkforceProvider: Provider {
    private let host: PluginHost
    private let settings: WorkforceSettings
    private let loop: TransferLoop

    init(host: PluginHost, start: StartRequest) throws {
        self.host = host
        let json: JSON
        do {
            json = try JSON(parsing: start.settings)
        } catch {
            throw StartError("settings: \(error)")
        }
        var errors = StartErrors()
        let settings = errors.attempt { () throws(StartError) in
            try WorkforceSettings(json, files: Set(start.files.keys))
        }
        let identity = errors.attempt { () throws(StartError) in
            try Identity(settings?.authentication ?? .none, files: start.files)
        }
        guard let settings, let identity else { throw errors.all }
        self.settings = settings
        loop = try TransferLoop(host: host, settings: settings, identity: identity)
    }

    func deliver(_ delivery: borrowing Delivery) {
        do {
            loop.submit(try job(for: delivery))
        } catch {
            host.complete(delivery.id, Completion(.refused, detail: error.reason))
        }
    }

    /// Why a delivery is not even tried.
    private struct NotTried: Error {
        let reason: String
    }

    private func job(for delivery: borrowing Delivery) throws(NotTried) -> Job {
        func refused(_ reason: String) -> NotTried { NotTried(reason: reason) }
        guard let deliveryClass = delivery.deliveryClass else { throw refused("deliveries of this class are too new") }
        let hasSecret = delivery.withSecret { !$0.isEmpty }
        guard hasSecret || deliveryClass != .credential else { throw refused("an empty password is never sent") }
        guard let template = settings.request(for: delivery.kind) else {
            throw refused("requests: the settings name no request for \(delivery.kind)")
        }
        let carriesSecret = hasSecret && template.carriesSecret
        guard !carriesSecret || !delivery.isTemporary || template.tellsTemporary else {
            throw refused(
                "requests.\(delivery.kind): it does not hold {{temporary}}, so a temporary password would be permanent")
        }
        let request: FilledRequest
        do {
            let values = try RequestValues(delivery, for: template)
            request = try delivery.withSecret { secret throws(Unrenderable) in
                try template.filled(with: values, secret: secret)
            }
        } catch let error as Unrenderable {
            throw refused(error.reason)
        } catch {
            throw refused("the delivery's event or attributes: \(error)")
        }
        return Job(
            id: delivery.id, purpose: .delivery(deliveryClass, kind: delivery.kind),
            deadline: host.now + UInt64(delivery.deadline), account: delivery.account,
            url: settings.baseURL.text + request.path, request: request,
            secret: carriesSecret ? delivery.withSecret { SecretBuffer(copying: $0) } : nil)
    }

    func cancel(_ id: UInt64) {
        loop.cancel(id)
    }

    func check(_ id: UInt64) {
        loop.submit(
            Job(
                id: id, purpose: .check, deadline: host.now + UInt64(settings.timeout), account: nil,
                url: settings.baseURL.text + settings.checkPath,
                request: FilledRequest(
                    method: "GET", path: settings.checkPath, headers: settings.checkHeaders, body: nil), secret: nil))
    }

    func stop() {
        loop.stop()
    }
}

extension RequestValues {
    /// What `template` may ask for; event and attributes are only parsed if it does.
    fileprivate init(_ delivery: borrowing Delivery, for template: RequestTemplate) throws(JSONError) {
        self.init(
            kind: delivery.kind, attempt: delivery.attempt, idempotencyKey: delivery.idempotencyKey,
            isTemporary: delivery.isTemporary, externalID: delivery.externalID, account: delivery.account)
        if template.needsEvent { event = try JSON(parsing: delivery.event) }
        let attributes = template.needsAttributes ? delivery.attributes : []
        if !attributes.isEmpty { self.attributes = try JSON(parsing: attributes) }
    }
}
