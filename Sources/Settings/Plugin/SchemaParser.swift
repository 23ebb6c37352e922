internal import EventModel

/// Reads a manifest's JSON Schema and collects everything that is wrong with it.
struct SchemaParser: Sendable {
    /// Each a sentence that names the place in the schema.
    private(set) var problems: [String] = []

    /// The schemas with names, by the text that refers to them, and those that are being read, to notice a circle.
    private var definitions: [String: JSONValue] = [:]
    private var open: Set<String> = []

    private static let annotations: Set = ["$schema", "$comment", "title", "description", "examples"]
    private static let keywords = [
        "type", "properties", "required", "additionalProperties", "items", "minItems", "maxItems", "uniqueItems",
        "enum",
        "const", "default", "minimum", "maximum", "minLength", "maxLength", "pattern", "format", "oneOf", "anyOf",
        "not",
        "dependentRequired", "$ref", "$defs",
    ]

    /// - Parameters:
    ///   - json: the schema.
    ///   - place: where it stands in the manifest, such as `settings.properties.url`.
    ///   - isInList: whether it is the schema of a list's elements, where files and secrets would have no name.
    mutating func parse(_ json: JSONValue, at place: String, isInList: Bool = false) -> SettingsSchema {
        var schema = SettingsSchema()
        guard case .object(var members) = json else {
            problems.append("`\(place)` must be a JSON object")
            return schema
        }
        if place == "settings", case .object(let named)? = json["$defs"] {
            for member in named { definitions["#/$defs/\(member.name)"] = member.value }
            members.removeAll { $0.name == "$defs" }
        }
        let reference = json["$ref"]?.text
        if let reference {
            guard case .object(let named)? = definitions[reference], open.insert(reference).inserted else {
                problems.append("`\(place).$ref` must be `#/$defs/NAME`, and not lead back to itself")
                return schema
            }
            members = named + members.filter { $0.name != "$ref" }
        }
        defer { reference.map { _ = open.remove($0) } }
        for member in members where !Self.annotations.contains(member.name) {
            let before = problems.count
            if !read(member, into: &schema, at: place, isInList: isInList), problems.count == before {
                problems.append("`\(place).\(member.name)` is not what that keyword takes")
            }
        }
        schema.about = json["description"]?.text ?? json["title"]?.text ?? ""
        if place == "settings" { schema.types = [.object] }
        // "Everything" means everything: a schema that says nothing about mappings accepts them.
        if schema.types.isEmpty, schema.properties.isEmpty, json["additionalProperties"] == nil {
            schema.additional = .anything
        }
        finish(&schema, at: place, isInList: isInList)
        return schema
    }

    /// - Returns: `false` if the keyword's value is not what it takes.
    private mutating func read(
        _ member: JSONValue.Member, into schema: inout SettingsSchema, at place: String, isInList: Bool
    ) -> Bool {
        let value = member.value
        switch member.name {
        case "type":
            let types = (value.elements ?? [value]).map { $0.text.flatMap(SettingsSchema.ValueType.init(rawValue:)) }
            schema.types = Set(types.compactMap { $0 })
            return !types.isEmpty && !types.contains(nil)
        case "properties":
            guard case .object(let members) = value else { return false }
            schema.properties = members.map { member in
                SettingsSchema.Property(
                    name: member.name,
                    schema: parse(member.value, at: "\(place).properties.\(member.name)", isInList: isInList))
            }
        case "required": return Self.texts(value, into: &schema.required)
        case "additionalProperties":
            schema.additional = others(value, at: "\(place).additionalProperties", isInList: isInList)
        case "items": schema.items = others(value, at: "\(place).items", isInList: true)
        case "minItems": return Self.count(value, into: &schema.minItems)
        case "maxItems": return Self.count(value, into: &schema.maxItems)
        case "uniqueItems":
            guard case .boolean(let isUnique) = value else { return false }
            schema.hasUniqueItems = isUnique
        case "enum":
            schema.values = value.elements
            return value.elements?.isEmpty == false
        case "const": schema.values = [value]
        case "default": schema.defaultValue = value
        case "minimum": return Self.number(value, into: &schema.minimum)
        case "maximum": return Self.number(value, into: &schema.maximum)
        case "minLength": return Self.count(value, into: &schema.minLength)
        case "maxLength": return Self.count(value, into: &schema.maxLength)
        case "pattern":
            schema.pattern = value.text
            return value.text.map { (try? Regex($0)) != nil } ?? false
        case "format":
            schema.format = value.text.flatMap(SettingsSchema.Format.init(rawValue:))
            return schema.format != nil
        case "oneOf", "anyOf": return choice(member, into: &schema)
        case "not":
            guard case .object(let members) = value, members.count == 1, members[0].name == "required" else {
                return false
            }
            return Self.texts(members[0].value, into: &schema.excluded) && !schema.excluded.isEmpty
        case "dependentRequired":
            guard case .object(let members) = value else { return false }
            for member in members {
                var needs: [String] = []
                guard Self.texts(member.value, into: &needs) else { return false }
                schema.companions.append(SettingsSchema.Companions(key: member.name, needs: needs))
            }
        default:
            let hint = NearestName.hint(member.name, among: Self.keywords)
            problems.append("`\(place).\(member.name)` is not supported" + (hint.map { "; \($0)" } ?? ""))
        }
        return true
    }

    private mutating func others(_ value: JSONValue, at place: String, isInList: Bool) -> SettingsSchema.Others {
        guard case .boolean(let isAllowed) = value else { return .each(parse(value, at: place, isInList: isInList)) }
        return isAllowed ? .anything : .none
    }

    private func choice(_ member: JSONValue.Member, into schema: inout SettingsSchema) -> Bool {
        var alternatives: [[String]] = []
        for element in member.value.elements ?? [] {
            var names: [String] = []
            guard case .object(let members) = element, members.count == 1, members[0].name == "required",
                Self.texts(members[0].value, into: &names), !names.isEmpty
            else { return false }
            alternatives.append(names)
        }
        schema.choices.append(
            SettingsSchema.Choice(isExclusive: member.name == "oneOf", alternatives: alternatives))
        return !alternatives.isEmpty
    }

    /// Checks what needs the whole schema.
    private mutating func finish(_ schema: inout SettingsSchema, at place: String, isInList: Bool) {
        let names = Set(schema.properties.map(\.name))
        for name
            in (schema.required + schema.choices.flatMap { $0.alternatives.joined() } + schema.excluded
            + schema.companions.flatMap { [$0.key] + $0.needs })
        where !names.contains(name) && schema.additional == .none {
            problems.append("`\(place)` speaks of `\(name)`, which is none of its properties")
        }
        switch schema.format {
        case .file, .secret:
            if isInList {
                problems.append("`\(place).format`: a file or secret inside a list would have no name")
            }
            if schema.format == .secret, schema.defaultValue != nil {
                problems.append("`\(place).default`: a secret has no default")
            }
            fallthrough
        case .uri:
            guard schema.types.isEmpty || schema.types == [.string] else {
                problems.append("`\(place).format` goes with the type string")
                return
            }
            schema.types = [.string]
        case nil: break
        }
        if let value = schema.defaultValue, schema.format != .file, schema.format != .secret {
            var reader = SettingsReader(folder: "/", file: "")
            var check = SchemaCheck(surroundings: nil)
            _ = check.value(
                SettingsNode(value, at: .file("", line: 0, column: 0)), schema, &reader)
            if !reader.issues.isEmpty { problems.append("`\(place).default` is not what the schema itself accepts") }
        }
    }

    private static func texts(_ value: JSONValue, into texts: inout [String]) -> Bool {
        guard let elements = value.elements else { return false }
        texts = elements.compactMap(\.text)
        return texts.count == elements.count
    }

    private static func count(_ value: JSONValue, into count: inout Int?) -> Bool {
        guard case .number(let text) = value, let number = Int(text), number >= 0 else { return false }
        count = number
        return true
    }

    private static func number(_ value: JSONValue, into number: inout Double?) -> Bool {
        guard case .number(let text) = value, let value = Double(text), value.isFinite else { return false }
        number = value
        return true
    }
}

extension SettingsNode {
    /// A default of a schema, as if it had been written at `place`.
    init(_ value: JSONValue, at place: SettingsPlace) {
        let content: Content =
            switch value {
            case .null: .scalar("null", isPlain: true)
            case .boolean(let value): .scalar("\(value)", isPlain: true)
            case .number(let number): .scalar(number, isPlain: true)
            case .string(let text): .scalar(text, isPlain: false)
            case .array(let elements): .list(elements.map { Self($0, at: place) })
            case .object(let members):
                .mapping(members.map { Entry(key: $0.name, place: place, value: Self($0.value, at: place)) })
            }
        self.init(content: content, place: place)
    }
}
