internal import EventModel

/// Checks a plugin's settings against its schema and sorts them: what the plugin reads as JSON, which files and secrets
/// it gets as descriptors, and which hosts it may connect to.
struct SchemaCheck: Sendable {
    /// `nil`: files are not looked at.
    let surroundings: Surroundings?
    private(set) var files: [ProviderFile] = []
    private(set) var hosts: [HostPort] = []

    init(surroundings: Surroundings?) {
        self.surroundings = surroundings
    }

    /// Checks one value.
    ///
    /// - Returns: the value as JSON; `nil` if it was refused, and for files and secrets, which go another way.
    mutating func value(
        _ node: SettingsNode, _ schema: SettingsSchema, _ reader: inout SettingsReader
    ) -> JSONValue? {
        switch schema.format {
        case .secret:
            secret(node, &reader)
            return nil
        case .file:
            file(node, schema, &reader)
            return nil
        case .uri:
            guard let value = plainValue(node, schema, &reader), let text = value.text else { return nil }
            return url(text, node, schema, &reader) ? value : nil
        case nil: return plainValue(node, schema, &reader)
        }
    }

    private mutating func plainValue(
        _ node: SettingsNode, _ schema: SettingsSchema, _ reader: inout SettingsReader
    ) -> JSONValue? {
        let value: JSONValue?
        switch node.content {
        case .mapping(let entries) where schema.allows(.object):
            value = object(entries, node, schema, &reader)
        case .list(let elements) where schema.allows(.array):
            value = array(elements, node, schema, &reader)
        case .scalar where node.isNothing && schema.types.contains(.object) && !schema.allows(.null):
            value = object([], node, schema, &reader)
        case .scalar(let text, let isPlain):
            value = scalar(text, isPlain: isPlain, schema)
            if value == nil { reader.refuse(node, "is not what the plugin takes", accepts: schema.accepts) }
        default:
            reader.refuse(node, "is not what the plugin takes", accepts: schema.accepts)
            return nil
        }
        guard let value else { return nil }
        if let values = schema.values, !values.contains(where: { $0.isSame(as: value) }) {
            let words = values.compactMap(\.text)
            reader.refuse(
                node, "is none of the values that the plugin takes", accepts: schema.accepts,
                hint: value.text.flatMap { NearestName.hint($0, among: words) })
            return nil
        }
        guard Self.isInBounds(value, schema) else {
            reader.refuse(node, "is not what the plugin takes", accepts: schema.accepts)
            return nil
        }
        return value
    }

    // MARK: Mappings and lists

    private mutating func object(
        _ entries: [SettingsNode.Entry], _ node: SettingsNode, _ schema: SettingsSchema, _ reader: inout SettingsReader
    ) -> JSONValue? {
        var members: [JSONValue.Member] = []
        for entry in entries {
            let property = schema.properties.first { $0.name == entry.key }?.schema
            let value: JSONValue?? = reader.descend(entry.key) { reader in
                if let property { return self.value(entry.value, property, &reader) }
                switch schema.additional {
                case .anything: return self.value(entry.value, SettingsSchema.anything, &reader)
                case .each(let schema): return self.value(entry.value, schema, &reader)
                case .none:
                    // The value is not shown: under a misspelt key it may be a secret.
                    let names = schema.properties.map(\.name)
                    reader.note(
                        SettingsIssue(
                            at: entry.place, key: reader.key, "is not a key that the plugin knows",
                            accepts: names.isEmpty ? "no keys" : names.joined(separator: ", "),
                            hint: NearestName.hint(entry.key, among: names)))
                    return nil
                }
            }
            if case .some(.some(let value)) = value { members.append(JSONValue.Member(entry.key, value)) }
        }
        let written = Set(entries.map(\.key))
        for property in schema.properties where !written.contains(property.name) {
            reader.descend(property.name) { reader in
                if let defaultValue = property.schema.defaultValue {
                    let node = SettingsNode(defaultValue, at: node.place)
                    if let value = value(node, property.schema, &reader) {
                        members.append(JSONValue.Member(property.name, value))
                    }
                } else if schema.required.contains(property.name) {
                    reader.note(
                        SettingsIssue(
                            at: node.place, key: reader.key, "is missing", accepts: property.schema.accepts,
                            hint: property.schema.about.isEmpty ? nil : property.schema.about))
                }
            }
        }
        for choice in schema.choices { check(choice, written, node, &reader) }
        if !schema.excluded.isEmpty, schema.excluded.allSatisfy(written.contains) {
            reader.note(
                SettingsIssue(
                    at: node.place, key: reader.key, "has keys that exclude each other",
                    accepts: "not all of \(schema.excluded.joined(separator: ", "))"))
        }
        for companions in schema.companions where written.contains(companions.key) {
            for name in companions.needs where !written.contains(name) {
                reader.descend(name) { reader in
                    reader.note(
                        SettingsIssue(
                            at: node.place, key: reader.key, "is missing: it goes with \(companions.key)",
                            accepts: schema.properties.first { $0.name == name }?.schema.accepts))
                }
            }
        }
        return .object(members)
    }

    private func check(
        _ choice: SettingsSchema.Choice, _ written: Set<String>, _ node: SettingsNode, _ reader: inout SettingsReader
    ) {
        let kept = choice.alternatives.count { $0.allSatisfy(written.contains) }
        guard kept == 0 || (choice.isExclusive && kept > 1) else { return }
        let names = choice.alternatives.map { $0.joined(separator: " with ") }.joined(separator: ", ")
        reader.note(
            SettingsIssue(
                at: node.place, key: reader.key,
                kept == 0 ? "lacks one of several keys" : "has keys that exclude each other",
                accepts: "\(choice.isExclusive ? "exactly" : "at least") one of \(names)"))
    }

    private mutating func array(
        _ elements: [SettingsNode], _ node: SettingsNode, _ schema: SettingsSchema, _ reader: inout SettingsReader
    ) -> JSONValue? {
        var values: [JSONValue] = []
        for (index, element) in elements.enumerated() {
            let value: JSONValue? = reader.descend(index) { reader in
                switch schema.items {
                case .anything: return self.value(element, SettingsSchema.anything, &reader)
                case .each(let schema): return self.value(element, schema, &reader)
                case .none:
                    reader.refuse(element, "is not what the plugin takes", accepts: "an empty list")
                    return nil
                }
            }
            if let value { values.append(value) }
        }
        guard values.count == elements.count else { return nil }
        if schema.hasUniqueItems,
            let index = values.indices.first(where: { index in
                values[..<index].contains { $0.isSame(as: values[index]) }
            })
        {
            reader.descend(index) { $0.refuse(elements[index], "stands twice in the list", accepts: nil) }
            return nil
        }
        return .array(values)
    }

    // MARK: Single values

    /// The value that a scalar stands for among the types that are welcome; a text in quotes is a text.
    private func scalar(_ text: String, isPlain: Bool, _ schema: SettingsSchema) -> JSONValue? {
        if isPlain {
            if SettingsNode(content: .scalar(text, isPlain: true), place: .variable("")).isNothing {
                return schema.allows(.null) ? .null : nil
            }
            if schema.allows(.boolean), let flag = Bool(text) { return .boolean(flag) }
            if schema.allows(.integer), Int64(text) != nil, let number = Self.number(text) { return number }
            if schema.allows(.number), let number = Self.number(text) { return number }
        }
        return schema.allows(.string) ? .string(text) : nil
    }

    private static func number(_ text: String) -> JSONValue? {
        guard case .number(let number)? = try? JSONValue(parsing: Array(text.utf8)), Double(number)?.isFinite == true
        else { return nil }
        return .number(number)
    }

    private static func isInBounds(_ value: JSONValue, _ schema: SettingsSchema) -> Bool {
        switch value {
        case .number(let text):
            guard let number = Double(text) else { return false }
            return number >= schema.minimum ?? -.infinity && number <= schema.maximum ?? .infinity
        case .string(let text):
            let length = text.unicodeScalars.count
            guard length >= schema.minLength ?? 0, length <= schema.maxLength ?? .max else { return false }
            guard let pattern = schema.pattern else { return true }
            // It was tried when the manifest was read; one that does not compile accepts nothing.
            guard let expression = try? Regex(pattern) else { return false }
            return text.firstMatch(of: expression) != nil
        case .array(let elements):
            return elements.count >= schema.minItems ?? 0 && elements.count <= schema.maxItems ?? .max
        case .null, .boolean, .object: return true
        }
    }

    // MARK: What goes another way

    private mutating func secret(_ node: SettingsNode, _ reader: inout SettingsReader) {
        guard let source = Syntax.secret.read(node, &reader) else { return }
        files.append(ProviderFile(key: Self.pluginKey(reader), source: .secret(source)))
        guard let surroundings else { return }
        do {
            try source.withBytes(in: surroundings) { _ in }
        } catch let error as SecretError {
            reader.note(
                SettingsIssue(
                    at: node.place, key: reader.key, "cannot be used: \(error)", accepts: "a secret", hint: error.hint))
        } catch {
            // withBytes throws nothing else here.
            reader.note(SettingsIssue(at: node.place, key: reader.key, "cannot be used"))
        }
    }

    private mutating func file(_ node: SettingsNode, _ schema: SettingsSchema, _ reader: inout SettingsReader) {
        guard let text = node.text, !text.isEmpty else {
            reader.refuse(node, "is not a path", accepts: schema.accepts)
            return
        }
        let path = reader.absolute(text)
        files.append(ProviderFile(key: Self.pluginKey(reader), source: .path(path)))
        switch surroundings?.status(path) {
        case .failure(let failure):
            reader.refuse(node, "cannot be used: \(failure.reason)", accepts: schema.accepts)
        case .success(let status) where !status.isRegularFile:
            reader.refuse(node, "is not a regular file", accepts: schema.accepts)
        case .success, nil: break
        }
    }

    private mutating func url(
        _ text: String, _ node: SettingsNode, _ schema: SettingsSchema, _ reader: inout SettingsReader
    ) -> Bool {
        switch TargetURL.endpoint(of: text) {
        case .success(let host):
            if !hosts.contains(host) { hosts.append(host) }
            return true
        case .failure(let problem):
            reader.refuse(node, problem.reason, accepts: schema.accepts)
            return false
        }
    }

    /// The plugin's own name of the key: `tls.key` of `settings.tls.key`.
    private static func pluginKey(_ reader: SettingsReader) -> String {
        SettingsReader.key(reader.path.dropFirst())
    }
}

extension SettingsSchema {
    /// Accepts everything.
    fileprivate static let anything: Self = {
        var schema = Self()
        schema.additional = .anything
        return schema
    }()
}

extension JSONValue {
    /// Equal as JSON Schema sees it: `1` and `1.0` are the same number.
    fileprivate func isSame(as other: JSONValue) -> Bool {
        if case .number(let one) = self, case .number(let two) = other { return Double(one) == Double(two) }
        return self == other
    }
}
