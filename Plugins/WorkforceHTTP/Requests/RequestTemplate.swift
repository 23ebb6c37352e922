package import RuntimeSyncPlugin

/// How one kind of event is put as a request to the target.
package struct RequestTemplate: Sendable, Equatable {
    package let method: String
    package let path: PathTemplate
    package let headers: [HeaderTemplate]
    package let body: BodyTemplate?
    /// Whether a placeholder looks into the event; it is not parsed otherwise.
    package let needsEvent: Bool
    /// Whether a placeholder looks into the attributes.
    package let needsAttributes: Bool
    /// A password's request that only tells of the change: it was written down that it carries no password.
    package let onlyAnnounces: Bool
    /// Whether the target is told that a password is temporary, and so can demand a change.
    package let tellsTemporary: Bool

    package static let methods = ["POST", "PUT", "PATCH", "DELETE"]

    /// - Parameters:
    ///   - json: `{"method": …, "path": …, "headers": {…}, "body": …, "announce_only": …}`; method and path are needed.
    ///   - place: the settings key it stands at, for the error.
    ///   - common: headers of every request; one of this template with the same name stands in its place.
    /// - Throws: ``StartError`` with everything that is wrong.
    package init(_ json: JSON, at place: String, common: [HeaderTemplate] = []) throws(StartError) {
        var reader = try SettingsReader(json, at: place)
        let method = reader.string("method")
        if method.map(Self.methods.contains) != true, reader.errors.isEmpty {
            reader.errors.add("\(place).method: accepted are \(Self.methods.joined(separator: ", "))")
        }
        let path = reader.understood("path", needed: "/users/{{externalId}}") { text, place throws(StartError) in
            try PathTemplate(text, at: place)
        }
        let own = reader.headers("headers")
        let names = Set(own.map { $0.name.lowercased() })
        headers = common.filter { !names.contains($0.name.lowercased()) } + own + [.idempotencyKey]
        body =
            switch reader.value("body") {
            case nil, .null?: nil
            case let body?:
                reader.errors.attempt { () throws(StartError) in try BodyTemplate(body, at: "\(place).body") }
            }
        onlyAnnounces = reader.bool("announce_only", default: false)
        reader.finish()
        guard reader.errors.isEmpty, let method, let path else { throw reader.errors.all }
        self.method = method
        self.path = path
        let placeholders = path.placeholders + headers.flatMap(\.placeholders) + (body?.placeholders ?? [])
        needsEvent = placeholders.contains(where: \.needsEvent)
        needsAttributes = placeholders.contains(where: \.needsAttributes)
        tellsTemporary = placeholders.contains { $0.source == .temporary }
    }

    /// Whether a request made of this carries the password, if there is one.
    package var carriesSecret: Bool {
        body?.placeholders.contains { $0.source == .secret } ?? false
    }

    /// A password counts as delivered once this request has succeeded, so it must have been in it.
    ///
    /// - Parameter place: the settings key it stands at, for the error.
    func requirePassword(at place: String) throws(StartError) {
        if carriesSecret, onlyAnnounces {
            throw StartError("\(place).announce_only: true is accepted only for a body without {{secret}}")
        }
        guard carriesSecret || onlyAnnounces else {
            throw StartError(
                "\(place).body: needs {{secret}}, or every password would count as delivered without having been sent; "
                    + "announce_only: true is accepted for a target that is only to hear of the change")
        }
    }

    /// Fills everything in.
    ///
    /// - Parameters:
    ///   - values: what the delivery has.
    ///   - secret: the password's bytes, UTF-8; empty if there is none.
    package func filled(
        with values: RequestValues, secret: UnsafeRawBufferPointer
    ) throws(Unrenderable) -> FilledRequest {
        var lines: [HeaderLine] = []
        for header in headers {
            guard let value = try header.filled(with: values) else { continue }
            lines.append(HeaderLine(name: header.name, value: value))
        }
        if body != nil, !lines.contains(where: { $0.name.lowercased() == "content-type" }) {
            lines.append(HeaderLine(name: "Content-Type", value: "application/json"))
        }
        let path = try path.filled(with: values)
        guard let body else { return FilledRequest(method: method, path: path, headers: lines, body: nil) }
        return FilledRequest(
            method: method, path: path, headers: lines, body: try body.filled(with: values, secret: secret))
    }
}

/// A header as it is sent.
package struct HeaderLine: Sendable, Equatable {
    package let name: String
    package let value: String

    package init(name: String, value: String) {
        self.name = name
        self.value = value
    }
}

/// A request as it is sent, below `base_url`.
package struct FilledRequest: ~Copyable, Sendable {
    package let method: String
    package let path: String
    package let headers: [HeaderLine]
    package let body: SecretBuffer?

    package init(method: String, path: String, headers: [HeaderLine], body: consuming SecretBuffer?) {
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
    }
}

extension RequestTemplate {
    /// What is sent for the kinds that the settings do not mention. Kept the same as the manifest's defaults by a test.
    package static let defaults = """
        {
          "password.updated": {
            "method": "PUT", "path": "/users/{{externalId}}/password",
            "body": {"password": "{{secret}}", "temporary": "{{temporary}}"}
          },
          "profile.updated": {
            "method": "PATCH", "path": "/users/{{externalId}}", "body": {"attributes": "{{attributes}}"}
          },
          "user.created": {
            "method": "PUT", "path": "/users/{{externalId}}",
            "body": {"username": "{{username}}", "enabled": true, "attributes": "{{attributes?}}"}
          },
          "user.renamed": {
            "method": "PATCH", "path": "/users/{{externalId}}", "body": {"username": "{{username}}"}
          },
          "user.disabled": {"method": "PATCH", "path": "/users/{{externalId}}", "body": {"enabled": false}},
          "user.deleted": {"method": "DELETE", "path": "/users/{{externalId}}", "body": null},
          "login.succeeded": {"method": "POST", "path": "/events", "body": "{{event}}"},
          "login.failed": {"method": "POST", "path": "/events", "body": "{{event}}"},
          "logout": {"method": "POST", "path": "/events", "body": "{{event}}"},
          "event": {"method": "POST", "path": "/events", "body": "{{event}}"},
          "default": {"method": "POST", "path": "/events", "body": "{{event}}"}
        }
        """
}
