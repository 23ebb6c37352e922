/// A JSON value in memory, for the places where a few values are wanted and speed is not.
public indirect enum JSONValue: Hashable, Sendable {
    case null
    case boolean(Bool)
    /// As it was written: `1`, `-0.5`, `1e3`.
    case number(String)
    case string(String)
    case array([JSONValue])
    /// Members in the order in which they were written; of members with the same name the last one counts.
    case object([Member])

    /// A name and its value.
    public struct Member: Hashable, Sendable {
        public var name: String
        public var value: JSONValue

        public init(_ name: String, _ value: JSONValue) {
            self.name = name
            self.value = value
        }
    }

    /// Reads a whole text.
    public init(parsing bytes: UnsafeRawBufferPointer) throws(JSONError) {
        var scanner = JSONScanner(bytes)
        self = try Self(from: &scanner)
        try scanner.end()
    }

    /// Reads a whole text.
    public init(parsing bytes: [UInt8]) throws(JSONError) {
        // withUnsafeBytes rethrows untyped, so the typed error travels as a result.
        self = try bytes.withUnsafeBytes { bytes in
            Result { () throws(JSONError) in try Self(parsing: bytes) }
        }.get()
    }

    /// Reads the next value of a scanner.
    public init(from scanner: inout JSONScanner) throws(JSONError) {
        switch try scanner.peek() {
        case .null:
            try scanner.null()
            self = .null
        case .boolean: self = .boolean(try scanner.boolean())
        case .number:
            let range = try scanner.number()
            self = .number(String(decoding: scanner.bytes[range], as: UTF8.self))
        case .string: self = .string(scanner.text(try scanner.string()))
        case .array:
            var elements: [JSONValue] = []
            var isFirst = true
            try scanner.enterArray()
            while try scanner.nextElement(&isFirst) { elements.append(try Self(from: &scanner)) }
            self = .array(elements)
        case .object:
            var members: [Member] = []
            var isFirst = true
            try scanner.enterObject()
            while let name = try scanner.nextMember(&isFirst) {
                members.append(Member(scanner.text(name), try Self(from: &scanner)))
            }
            self = .object(members)
        }
    }

    /// The member of this name; `nil` if this is no object or has none.
    public subscript(name: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.last { $0.name == name }?.value
    }

    /// The text, if this is a string.
    public var text: String? {
        guard case .string(let text) = self else { return nil }
        return text
    }

    /// The elements, if this is an array.
    public var elements: [JSONValue]? {
        guard case .array(let elements) = self else { return nil }
        return elements
    }

    /// The shortest JSON text of this value.
    public var bytes: [UInt8] {
        var json: [UInt8] = []
        write(to: &json)
        return json
    }

    private func write(to json: inout [UInt8]) {
        switch self {
        case .null: json += "null".utf8
        case .boolean(let value): json += (value ? "true" : "false").utf8
        case .number(let number): json += number.utf8
        case .string(let text): JSONEscapes.appendQuoted(text, to: &json)
        case .array(let elements):
            json.append(UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                if index > 0 { json.append(UInt8(ascii: ",")) }
                element.write(to: &json)
            }
            json.append(UInt8(ascii: "]"))
        case .object(let members):
            json.append(UInt8(ascii: "{"))
            for (index, member) in members.enumerated() {
                if index > 0 { json.append(UInt8(ascii: ",")) }
                JSONEscapes.appendQuoted(member.name, to: &json)
                json.append(UInt8(ascii: ":"))
                member.value.write(to: &json)
            }
            json.append(UInt8(ascii: "}"))
        }
    }
}
