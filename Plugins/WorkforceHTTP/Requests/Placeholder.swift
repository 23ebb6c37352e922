package import RuntimeSyncPlugin

/// One `{{name}}` of a template: which value of a delivery goes there.
///
/// | name | value |
/// |---|---|
/// | `externalId` | what the subject's external-id attribute says |
/// | `account` | the account's stable id, as the target reported it (see `account_field`); before that the external id |
/// | `username` | `event.subject.username` |
/// | `kind`, `attempt`, `idempotencyKey`, `temporary` | of the delivery; `attempt` is a number, `temporary` true or false |
/// | `event`, `event.subject.attributes.x.0` | the event, or what a path of keys and indexes leads to in it |
/// | `attributes`, `attributes.x.0` | the state to write, likewise |
/// | `secret` | the password; in a body only |
///
/// A name that ends in `?` may have no value: it becomes `null` or nothing. Without it the delivery is refused.
package struct Placeholder: Sendable, Equatable {
    package enum Source: Sendable, Equatable {
        case externalID, account, username, kind, attempt, idempotencyKey, temporary, secret
        case event([String])
        case attributes([String])
    }

    package let source: Source
    package let isOptional: Bool
    /// The name as written, without braces.
    package let name: String

    init(_ source: Source, name: String) {
        self.source = source
        self.name = name
        isOptional = false
    }

    /// Reads what stands between the braces; `nil` if there is no such value.
    package init?(_ written: some StringProtocol) {
        name = String(written)
        isOptional = written.hasSuffix("?")
        let steps = (isOptional ? written.dropLast() : written[...])
            .split(separator: ".", omittingEmptySubsequences: false).map { String($0) }
        guard let first = steps.first, !steps.contains("") else { return nil }
        let path = Array(steps.dropFirst())
        let plain: [String: Source] = [
            "externalId": .externalID, "account": .account, "username": .username, "kind": .kind,
            "attempt": .attempt, "idempotencyKey": .idempotencyKey, "temporary": .temporary, "secret": .secret,
        ]
        switch first {
        case "event": source = .event(path)
        case "attributes": source = .attributes(path)
        default:
            guard path.isEmpty, let found = plain[first] else { return nil }
            source = found
        }
    }

    /// Whether the value is found in the event, which is only parsed if somebody asks.
    package var needsEvent: Bool {
        switch source {
        case .event, .username: true
        default: false
        }
    }

    /// Whether the value is found in the attributes.
    package var needsAttributes: Bool {
        if case .attributes = source { true } else { false }
    }
}

/// What a delivery has for placeholders. Its secret is not among it: that never becomes a `String`.
package struct RequestValues: Sendable {
    package var kind: String
    package var attempt: UInt32
    package var idempotencyKey: String
    package var isTemporary: Bool
    package var externalID: String?
    package var account: String?
    package var event: JSON?
    package var attributes: JSON?

    package init(
        kind: String, attempt: UInt32 = 1, idempotencyKey: String, isTemporary: Bool = false,
        externalID: String? = nil, account: String? = nil, event: JSON? = nil, attributes: JSON? = nil
    ) {
        self.kind = kind
        self.attempt = attempt
        self.idempotencyKey = idempotencyKey
        self.isTemporary = isTemporary
        self.externalID = externalID
        self.account = account
        self.event = event
        self.attributes = attributes
    }

    /// The placeholder's value. `nil` if there is none; `null` and, for ids, an empty text count as none.
    func value(of placeholder: Placeholder) -> JSON? {
        switch placeholder.source {
        case .externalID: id(externalID)
        case .account: id(account) ?? id(externalID)
        case .username: present(event?[path: ["subject", "username"]])
        case .kind: .string(kind)
        case .attempt: .number("\(attempt)")
        case .idempotencyKey: id(idempotencyKey)
        case .temporary: .bool(isTemporary)
        case .secret: nil
        case .event(let path): present(event?[path: path])
        case .attributes(let path): present(attributes?[path: path])
        }
    }

    /// The placeholder's value as text for the middle of a string, a path or a header; `nil` if it is optional and absent.
    func text(of placeholder: Placeholder) throws(Unrenderable) -> String? {
        switch value(of: placeholder) {
        case .string(let text): return text
        case .number(let digits): return digits
        case .bool(let value): return value ? "true" : "false"
        case .array, .object:
            throw Unrenderable("{{\(placeholder.name)}} is not a single value; add a key or an index to it")
        case .null, nil:
            guard placeholder.isOptional else { throw Unrenderable(missing: placeholder) }
            return nil
        }
    }

    private func id(_ text: String?) -> JSON? {
        guard let text, !text.isEmpty else { return nil }
        return .string(text)
    }

    private func present(_ value: JSON?) -> JSON? {
        value == .null ? nil : value
    }
}

/// Why a template cannot be filled in for this delivery. Names the placeholder, never its value.
package struct Unrenderable: Error, Sendable, Equatable {
    package let reason: String

    init(_ reason: String) {
        self.reason = reason
    }

    init(missing placeholder: Placeholder) {
        reason = "there is no value for {{\(placeholder.name)}}"
    }
}
