internal import EventModel

/// What a value of a plugin's settings may be: the part of JSON Schema (draft 2020-12) that manifests may use.
///
/// | keyword | meaning |
/// |---|---|
/// | `type` | one of `object`, `array`, `string`, `integer`, `number`, `boolean`, `null`, or a list of them |
/// | `properties`, `required`, `additionalProperties` | keys of a mapping; further ones are refused unless the last is `true` or a schema, or there is neither `type` nor `properties` |
/// | `items`, `minItems`, `maxItems`, `uniqueItems` | elements of a list |
/// | `enum`, `const` | the values that are accepted |
/// | `default` | taken if the key is not written |
/// | `minimum`, `maximum` | bounds of a number, both included |
/// | `minLength`, `maxLength` | bounds of a text, in Unicode scalars |
/// | `pattern` | a regular expression that is found somewhere in the text; `^` and `$` tie it to the ends |
/// | `format` | `uri`: scheme://host, which the plugin may connect to; `file`: an input file; `secret`: see ``SecretSource`` |
/// | `oneOf`, `anyOf` | a list of `{"required": [...]}`: exactly one of them, or at least one, is there |
/// | `not` | `{"required": [...]}`: these keys are not all there |
/// | `dependentRequired` | a key, and those that must be there with it |
/// | `$defs`, `$ref` | schemas with names, and `#/$defs/NAME`; keywords beside `$ref` are added to it |
/// | `$schema`, `$comment`, `title`, `description`, `examples` | for people |
///
/// Every other keyword is an error of the plugin: a rule that is not understood would be a rule that is not kept.
struct SettingsSchema: Hashable, Sendable {
    enum ValueType: String, Hashable, Sendable, CaseIterable {
        case object, array, string, integer, number, boolean, null
    }

    enum Format: String, Hashable, Sendable, CaseIterable {
        case uri, file, secret
    }

    struct Property: Hashable, Sendable {
        var name: String
        var schema: SettingsSchema
    }

    /// What else a mapping, or a list, may hold.
    indirect enum Others: Hashable, Sendable {
        case none
        case anything
        case each(SettingsSchema)
    }

    /// Sets of keys of which one must be there.
    struct Choice: Hashable, Sendable {
        var isExclusive: Bool
        var alternatives: [[String]]
    }

    /// A key, and those that must be there with it.
    struct Companions: Hashable, Sendable {
        var key: String
        var needs: [String]
    }

    /// Empty: any type.
    var types: Set<ValueType> = []
    var about = ""
    var format: Format?
    var defaultValue: JSONValue?
    /// From `enum` or `const`.
    var values: [JSONValue]?
    var properties: [Property] = []
    var required: [String] = []
    var additional = Others.none
    var choices: [Choice] = []
    /// Keys that exclude each other, from `not`.
    var excluded: [String] = []
    /// From `dependentRequired`.
    var companions: [Companions] = []
    var items = Others.anything
    var minItems: Int?
    var maxItems: Int?
    var hasUniqueItems = false
    var minimum: Double?
    var maximum: Double?
    var minLength: Int?
    var maxLength: Int?
    var pattern: String?

    /// Whether a value of this type is welcome.
    func allows(_ type: ValueType) -> Bool {
        types.isEmpty || types.contains(type) || (type == .integer && types.contains(.number))
    }

    /// What is accepted, in words.
    var accepts: String {
        switch format {
        case .uri: return "a URL such as ldaps://host or https://host:8443/path, without user and password"
        case .file: return "the path of a file, absolute or relative to this file"
        case .secret: return Syntax<SecretSource>.secretAccepts
        case nil: break
        }
        if let values { return values.map(\.asYAML).joined(separator: ", ") }
        guard !types.isEmpty else { return "any value" }
        return types.sorted { $0.rawValue < $1.rawValue }.map(words).joined(separator: ", or ")
    }

    private func words(_ type: ValueType) -> String {
        switch type {
        case .object: "a mapping"
        case .array: "a list\(Self.bounds(minItems, maxItems, " of ", " elements"))\(itemWords)"
        case .string where minLength == 1 && maxLength == nil: "a text that is not empty\(patternWords)"
        case .string: "a text\(Self.bounds(minLength, maxLength, " of ", " characters"))\(patternWords)"
        case .integer: "a whole number\(Self.bounds(minimum, maximum, ", ", ""))"
        case .number: "a number\(Self.bounds(minimum, maximum, ", ", ""))"
        case .boolean: "true or false"
        case .null: "null"
        }
    }

    private var itemWords: String {
        guard case .each(let schema) = items else { return "" }
        return ", each \(schema.accepts)"
    }

    private var patternWords: String {
        pattern.map { " that matches \($0)" } ?? ""
    }

    private static func bounds(_ low: Int?, _ high: Int?, _ before: String, _ after: String) -> String {
        bounds(low.map(Double.init), high.map(Double.init), before, after)
    }

    private static func bounds(_ low: Double?, _ high: Double?, _ before: String, _ after: String) -> String {
        func number(_ value: Double) -> String { Int(exactly: value).map(String.init) ?? "\(value)" }
        return switch (low, high) {
        case (let low?, let high?): "\(before)\(number(low)) to \(number(high))\(after)"
        case (let low?, nil): "\(before)at least \(number(low))\(after)"
        case (nil, let high?): "\(before)at most \(number(high))\(after)"
        case (nil, nil): ""
        }
    }

    /// The keys in words, for variables and documents.
    var keys: [KeyDescription] {
        properties.map { property in
            let schema = property.schema
            return KeyDescription(
                name: property.name, about: schema.about, accepts: schema.accepts,
                isRequired: required.contains(property.name),
                defaultText: schema.defaultValue?.asYAML ?? "", variable: nil, shape: schema.shape,
                // What has a default is written as a whole.
                children: schema.defaultValue == nil ? schema.keys : [], isRecordList: false)
        }
    }

    private var shape: KeyShape {
        if format == .secret { return .yaml }
        switch types {
        case [.string]: return .text
        case [.integer], [.number], [.boolean]: return .word
        case [.array]: return .list
        default: return values?.allSatisfy { $0.text != nil } == true ? .text : .yaml
        }
    }
}

extension JSONValue {
    /// As it would be written in a settings file.
    var asYAML: String {
        switch self {
        case .null: "null"
        case .boolean(let value): "\(value)"
        case .number(let number): number
        case .string(let text): YAMLScalar.write(text)
        case .array(let elements): "[\(elements.map(\.asYAML).joined(separator: ", "))]"
        case .object(let members):
            "{\(members.map { "\(YAMLScalar.write($0.name)): \($0.value.asYAML)" }.joined(separator: ", "))}"
        }
    }
}
