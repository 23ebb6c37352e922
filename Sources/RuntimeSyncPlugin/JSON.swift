/// A JSON value (RFC 8259), for the settings, events and attributes that a plugin is given, without Foundation.
///
/// Numbers keep the digits they were written with: nothing is rounded on its way through. A key that comes twice, a lone
/// surrogate, bytes that are not UTF-8 and more than 64 levels are errors. Never put a secret into one: a `String` cannot
/// be wiped.
public enum JSON: Sendable, Equatable {
    case null
    case bool(Bool)
    /// The digits as written, such as `1042` or `1.50e3`.
    case number(String)
    case string(String)
    case array([JSON])
    case object([String: JSON])

    /// Reads one value and nothing but white space after it.
    public init(parsing bytes: [UInt8]) throws(JSONError) {
        self = try bytes.withUnsafeBufferPointer { bytes throws(JSONError) in
            var parser = Parser(bytes: bytes)
            return try parser.document()
        }
    }

    /// Reads one value from text.
    public init(parsing text: String) throws(JSONError) {
        try self.init(parsing: Array(text.utf8))
    }

    /// The value of an object's key; `nil` if there is none or this is not an object.
    public subscript(key: String) -> JSON? {
        guard case .object(let members) = self else { return nil }
        return members[key]
    }

    /// The value at the end of `path`: keys of objects and, in arrays, indexes. `nil` if any step leads nowhere.
    public subscript(path path: some Sequence<String>) -> JSON? {
        path.reduce(self as JSON?) { value, step in
            switch value {
            case .object(let members): members[step]
            case .array(let elements): Int(step).flatMap { elements.indices.contains($0) ? elements[$0] : nil }
            default: nil
            }
        }
    }

    /// The text of a string; `nil` for anything else.
    public var string: String? {
        if case .string(let text) = self { text } else { nil }
    }

    /// The truth value; `nil` for anything else.
    public var bool: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    /// The number, if it is a whole one that fits; `nil` for anything else.
    public var int: Int? {
        if case .number(let digits) = self { Int(digits) } else { nil }
    }

    /// The elements of an array; `nil` for anything else.
    public var array: [JSON]? {
        if case .array(let elements) = self { elements } else { nil }
    }

    /// The members of an object; `nil` for anything else.
    public var object: [String: JSON]? {
        if case .object(let members) = self { members } else { nil }
    }

    /// The value as JSON without white space, keys in order: the same value always gives the same bytes.
    public var bytes: [UInt8] {
        var result: [UInt8] = []
        write(into: &result)
        return result
    }

    /// Appends what ``bytes`` returns.
    public func write(into output: inout [UInt8]) {
        switch self {
        case .null: output += "null".utf8
        case .bool(let value): output += (value ? "true" : "false").utf8
        case .number(let digits): output += digits.utf8
        case .string(let text): Self.write(text, into: &output)
        case .array(let elements):
            output.append(UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                element.write(into: &output)
            }
            output.append(UInt8(ascii: "]"))
        case .object(let members):
            output.append(UInt8(ascii: "{"))
            for (index, member) in members.sorted(by: { $0.key < $1.key }).enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                Self.write(member.key, into: &output)
                output.append(UInt8(ascii: ":"))
                member.value.write(into: &output)
            }
            output.append(UInt8(ascii: "}"))
        }
    }

    private static func write(_ text: String, into output: inout [UInt8]) {
        output.append(UInt8(ascii: "\""))
        escape(text.utf8) { output.append($0) }
        output.append(UInt8(ascii: "\""))
    }

    /// Gives the bytes of a JSON string, without its quotation marks, one by one.
    ///
    /// Escaped are what RFC 8259 section 7 wants (quotation mark, backslash, control characters) and DEL. It keeps nothing,
    /// so it may be used on a secret; run it once to count and once to write.
    public static func escape(_ utf8: some Sequence<UInt8>, to output: (UInt8) -> Void) {
        let digits: StaticString = "0123456789abcdef"
        for byte in utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                output(UInt8(ascii: "\\"))
                output(byte)
            case 0..<0x20, 0x7F:
                for literal in [UInt8(ascii: "\\"), UInt8(ascii: "u"), UInt8(ascii: "0"), UInt8(ascii: "0")] {
                    output(literal)
                }
                output(digits.utf8Start[Int(byte >> 4)])
                output(digits.utf8Start[Int(byte & 0xF)])
            default:
                output(byte)
            }
        }
    }
}

/// Why a text is not JSON.
public struct JSONError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Bytes before the place.
    public let offset: Int
    /// What was expected there.
    public let reason: String

    public var description: String { "not JSON at byte \(offset): \(reason)" }
}

private struct Parser {
    let bytes: UnsafeBufferPointer<UInt8>
    var position = 0
    var depth = 0

    mutating func document() throws(JSONError) -> JSON {
        let value = try value()
        skipSpace()
        guard position == bytes.count else { throw error("nothing more") }
        return value
    }

    private mutating func value() throws(JSONError) -> JSON {
        skipSpace()
        switch next {
        case UInt8(ascii: "{"): return try nested { parser throws(JSONError) in try parser.object() }
        case UInt8(ascii: "["): return try nested { parser throws(JSONError) in try parser.array() }
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        default: return .number(try number())
        }
    }

    private mutating func nested(
        _ body: (inout Parser) throws(JSONError) -> JSON
    ) throws(JSONError) -> JSON {
        guard depth < 64 else { throw error("at most 64 levels") }
        depth += 1
        position += 1
        let value = try body(&self)
        depth -= 1
        return value
    }

    private mutating func object() throws(JSONError) -> JSON {
        var members: [String: JSON] = [:]
        skipSpace()
        if take("}") { return .object(members) }
        repeat {
            skipSpace()
            let start = position
            guard next == UInt8(ascii: "\"") else { throw error("a key in quotation marks") }
            let key = try string()
            skipSpace()
            guard take(":") else { throw error("a colon") }
            guard members.updateValue(try value(), forKey: key) == nil else {
                throw JSONError(offset: start, reason: "expected each key once")
            }
            skipSpace()
        } while take(",")
        guard take("}") else { throw error("a comma or a closing brace") }
        return .object(members)
    }

    private mutating func array() throws(JSONError) -> JSON {
        var elements: [JSON] = []
        skipSpace()
        if take("]") { return .array(elements) }
        repeat {
            elements.append(try value())
            skipSpace()
        } while take(",")
        guard take("]") else { throw error("a comma or a closing bracket") }
        return .array(elements)
    }

    private mutating func string() throws(JSONError) -> String {
        position += 1
        var text: [UInt8] = []
        var start = position
        while let byte = next, byte != UInt8(ascii: "\"") {
            guard byte >= 0x20 else { throw error("no bare control character in a string") }
            position += 1
            guard byte == UInt8(ascii: "\\") else { continue }
            text += bytes[start..<position - 1]
            text += String(try escaped()).utf8
            start = position
        }
        text += bytes[start..<position]
        guard take("\"") else { throw error("a closing quotation mark") }
        guard let valid = String(validating: text, as: UTF8.self) else { throw error("UTF-8 in the string before") }
        return valid
    }

    private mutating func escaped() throws(JSONError) -> Unicode.Scalar {
        defer { position += 1 }
        switch next {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(bytes[position])
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): return try unicode()
        default: throw error("one of \"\\/bfnrtu")
        }
    }

    /// Reads the digits after `\u`, and the second half of a surrogate pair; stops on the last digit.
    private mutating func unicode() throws(JSONError) -> Unicode.Scalar {
        let first = try fourDigits()
        if let scalar = Unicode.Scalar(first) { return scalar }
        let start = position
        position += 1
        guard first < 0xDC00, take("\\"), next == UInt8(ascii: "u") else {
            throw JSONError(offset: start, reason: "expected a surrogate pair")
        }
        let second = try fourDigits()
        guard (0xDC00..<0xE000).contains(second),
            let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
        else { throw JSONError(offset: start, reason: "expected a surrogate pair") }
        return scalar
    }

    private mutating func fourDigits() throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            position += 1
            guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw error("four hexadecimal digits")
            }
            value = value << 4 | UInt32(digit)
        }
        return value
    }

    private mutating func number() throws(JSONError) -> String {
        let start = position
        _ = take("-")
        if !take("0") { try digits() }
        if take(".") { try digits() }
        if take("e") || take("E") {
            if !take("-") { _ = take("+") }
            try digits()
        }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    private mutating func digits() throws(JSONError) {
        let start = position
        while let byte = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { position += 1 }
        guard position > start else { throw error("a value") }
    }

    private mutating func literal(_ text: StaticString, _ value: JSON) throws(JSONError) -> JSON {
        let literal = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
        guard bytes[position...].starts(with: literal) else { throw error("a value") }
        position += literal.count
        return value
    }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    private mutating func skipSpace() {
        while let byte = next, [0x20, 0x09, 0x0A, 0x0D].contains(byte) { position += 1 }
    }

    private func error(_ expected: String) -> JSONError {
        JSONError(offset: position, reason: "expected \(expected)")
    }
}
