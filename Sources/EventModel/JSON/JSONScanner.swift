/// Walks over JSON text (RFC 8259) byte by byte, without copying or decoding it, and says where things are.
///
/// It is strict: UTF-8 is checked, control characters in strings, lone surrogates and trailing commas are refused, and
/// nothing may be nested deeper than ``maximumDepth``. Offsets count from the start of the text.
///
/// The bytes are borrowed: a scanner must not outlive the buffer it was made for.
public struct JSONScanner {
    /// How deep objects and arrays may be nested.
    public static let maximumDepth = 32

    /// The text.
    public let bytes: UnsafeRawBufferPointer
    /// Where the next byte is.
    public private(set) var position = 0
    private var depth = 0

    public init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    /// What kind of value comes next.
    public enum Kind: Sendable {
        case object, array, string, number, boolean, null
    }

    /// A string in the text: where its contents are, without the quotes and still escaped.
    public struct StringRange: Hashable, Sendable {
        public var range: Range<Int>
        public var hasEscapes: Bool
    }

    /// What stands next, after white space.
    public mutating func peek() throws(JSONError) -> Kind {
        skipSpace()
        guard position < bytes.count else { throw JSONError(position, "the text ends too early") }
        switch bytes[position] {
        case UInt8(ascii: "{"): return .object
        case UInt8(ascii: "["): return .array
        case UInt8(ascii: "\""): return .string
        case UInt8(ascii: "t"), UInt8(ascii: "f"): return .boolean
        case UInt8(ascii: "n"): return .null
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number
        default: throw JSONError(position, "this is not the beginning of a JSON value")
        }
    }

    /// Enters an object. Then call ``nextMember()`` until it gives `nil`.
    public mutating func enterObject() throws(JSONError) {
        try enter(UInt8(ascii: "{"), "an object")
    }

    /// The name of the object's next member, with the position at its value; `nil` at the end of the object.
    ///
    /// - Parameter isFirst: set before the first call, cleared by it.
    public mutating func nextMember(_ isFirst: inout Bool) throws(JSONError) -> StringRange? {
        guard try next(&isFirst, closing: UInt8(ascii: "}")) else { return nil }
        let name = try string()
        skipSpace()
        try take(UInt8(ascii: ":"), "a colon")
        return name
    }

    /// Enters an array. Then call ``nextElement(_:)`` until it gives `false`.
    public mutating func enterArray() throws(JSONError) {
        try enter(UInt8(ascii: "["), "an array")
    }

    /// Whether another element follows, with the position at it.
    public mutating func nextElement(_ isFirst: inout Bool) throws(JSONError) -> Bool {
        try next(&isFirst, closing: UInt8(ascii: "]"))
    }

    /// Reads a string.
    public mutating func string() throws(JSONError) -> StringRange {
        skipSpace()
        try take(UInt8(ascii: "\""), "a string")
        let start = position
        var hasEscapes = false
        while position < bytes.count {
            let byte = bytes[position]
            if byte == UInt8(ascii: "\"") {
                position += 1
                return StringRange(range: start..<position - 1, hasEscapes: hasEscapes)
            }
            if byte == UInt8(ascii: "\\") {
                hasEscapes = true
                try escape()
            } else if byte >= 0x80 {
                try multibyte()
            } else if byte < 0x20 {
                throw JSONError(position, "control characters in a string must be escaped")
            } else {
                position += 1
            }
        }
        throw JSONError(start, "the string does not end")
    }

    /// Reads `true` or `false`.
    public mutating func boolean() throws(JSONError) -> Bool {
        skipSpace()
        if takeWord("true") { return true }
        if takeWord("false") { return false }
        throw JSONError(position, "this is not the beginning of a JSON value")
    }

    /// Reads `null`.
    public mutating func null() throws(JSONError) {
        skipSpace()
        guard takeWord("null") else { throw JSONError(position, "this is not the beginning of a JSON value") }
    }

    /// Reads a number and says where it is.
    public mutating func number() throws(JSONError) -> Range<Int> {
        skipSpace()
        let start = position
        takeOptional(UInt8(ascii: "-"))
        if !takeOptional(UInt8(ascii: "0")) { try digits() }
        if takeOptional(UInt8(ascii: ".")) { try digits() }
        if takeOptional(UInt8(ascii: "e")) || takeOptional(UInt8(ascii: "E")) {
            if !takeOptional(UInt8(ascii: "+")) { takeOptional(UInt8(ascii: "-")) }
            try digits()
        }
        return start..<position
    }

    /// Reads a value of any kind and says where it is.
    @discardableResult
    public mutating func value() throws(JSONError) -> Range<Int> {
        let kind = try peek()
        let start = position
        switch kind {
        case .object:
            try enterObject()
            var isFirst = true
            while try nextMember(&isFirst) != nil { try value() }
        case .array:
            try enterArray()
            var isFirst = true
            while try nextElement(&isFirst) { try value() }
        case .string: _ = try string()
        case .number: _ = try number()
        case .boolean: _ = try boolean()
        case .null: try null()
        }
        return start..<position
    }

    /// Nothing but white space may follow.
    public mutating func end() throws(JSONError) {
        skipSpace()
        guard position == bytes.count else { throw JSONError(position, "something follows the JSON value") }
    }

    /// The text of a string that ``string()`` found, unescaped.
    public func text(_ string: StringRange) -> String {
        let raw = UnsafeRawBufferPointer(rebasing: bytes[string.range])
        guard string.hasEscapes else { return String(decoding: raw, as: UTF8.self) }
        var utf8: [UInt8] = []
        utf8.reserveCapacity(raw.count)
        JSONEscapes.unescape(raw) { utf8.append($0) }
        return String(decoding: utf8, as: UTF8.self)
    }

    /// Whether a string that ``string()`` found is this text.
    public func matches(_ string: StringRange, _ expected: StaticString) -> Bool {
        guard !string.hasEscapes else { return text(string) == expected.description }
        return string.range.count == expected.utf8CodeUnitCount
            && expected.withUTF8Buffer { expected in
                bytes[string.range].elementsEqual(expected)
            }
    }
}

extension JSONScanner {
    private mutating func skipSpace() {
        while position < bytes.count {
            let byte = bytes[position]
            guard byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 else { return }
            position += 1
        }
    }

    private mutating func enter(_ opening: UInt8, _ name: StaticString) throws(JSONError) {
        skipSpace()
        try take(opening, name)
        depth += 1
        guard depth <= Self.maximumDepth else {
            throw JSONError(position, "nested deeper than \(Self.maximumDepth) levels")
        }
    }

    private mutating func next(_ isFirst: inout Bool, closing: UInt8) throws(JSONError) -> Bool {
        skipSpace()
        if takeOptional(closing) {
            depth -= 1
            return false
        }
        if !isFirst {
            try take(UInt8(ascii: ","), "a comma")
            skipSpace()
        }
        isFirst = false
        return true
    }

    private mutating func take(_ byte: UInt8, _ name: StaticString) throws(JSONError) {
        guard position < bytes.count else { throw JSONError(position, "the text ends where \(name) was expected") }
        guard bytes[position] == byte else { throw JSONError(position, "expected \(name)") }
        position += 1
    }

    @discardableResult
    private mutating func takeOptional(_ byte: UInt8) -> Bool {
        guard position < bytes.count, bytes[position] == byte else { return false }
        position += 1
        return true
    }

    private mutating func takeWord(_ word: StaticString) -> Bool {
        let end = position + word.utf8CodeUnitCount
        guard end <= bytes.count, word.withUTF8Buffer({ bytes[position..<end].elementsEqual($0) }) else { return false }
        position = end
        return true
    }

    private mutating func digits() throws(JSONError) {
        let start = position
        while position < bytes.count, bytes[position] >= 0x30, bytes[position] <= 0x39 { position += 1 }
        guard position > start else { throw JSONError(position, "expected a digit") }
    }

    /// Passes over an escape, or a pair of them where one is half of a surrogate pair.
    private mutating func escape() throws(JSONError) {
        let start = position
        guard position + 1 < bytes.count else { throw JSONError(start, "the string does not end") }
        switch bytes[position + 1] {
        case UInt8(ascii: "u"):
            let unit = try escapedUnit()
            if unit & 0xfc00 == 0xd800 {
                guard position + 1 < bytes.count, bytes[position] == UInt8(ascii: "\\"),
                    bytes[position + 1] == UInt8(ascii: "u"), try escapedUnit() & 0xfc00 == 0xdc00
                else { throw JSONError(start, "half of a surrogate pair") }
            } else if unit & 0xfc00 == 0xdc00 {
                throw JSONError(start, "half of a surrogate pair")
            }
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            position += 2
        default: throw JSONError(start, "unknown escape")
        }
    }

    private mutating func escapedUnit() throws(JSONError) -> UInt16 {
        guard position + 6 <= bytes.count else { throw JSONError(position, "the string does not end") }
        var unit: UInt16 = 0
        for byte in bytes[position + 2..<position + 6] {
            guard let digit = JSONEscapes.hexDigit(byte) else { throw JSONError(position, "expected four hex digits") }
            unit = unit << 4 | digit
        }
        position += 6
        return unit
    }

    /// Passes over one character of two to four bytes (RFC 3629: no overlong forms, no surrogates, up to U+10FFFF).
    private mutating func multibyte() throws(JSONError) {
        let lead = bytes[position]
        let (count, second): (Int, ClosedRange<UInt8>)
        switch lead {
        case 0xc2...0xdf: (count, second) = (2, 0x80...0xbf)
        case 0xe0: (count, second) = (3, 0xa0...0xbf)
        case 0xed: (count, second) = (3, 0x80...0x9f)
        case 0xe1...0xef: (count, second) = (3, 0x80...0xbf)
        case 0xf0: (count, second) = (4, 0x90...0xbf)
        case 0xf1...0xf3: (count, second) = (4, 0x80...0xbf)
        case 0xf4: (count, second) = (4, 0x80...0x8f)
        default: throw JSONError(position, "not UTF-8")
        }
        guard position + count <= bytes.count, second.contains(bytes[position + 1]),
            bytes[position + 2..<max(position + 2, position + count)].allSatisfy({ 0x80...0xbf ~= $0 })
        else { throw JSONError(position, "not UTF-8") }
        position += count
    }
}

@available(*, unavailable, message: "a scanner borrows its bytes")
extension JSONScanner: Sendable {}

/// Why a text is not JSON, and where. Never quotes the text: it may hold a password.
public struct JSONError: Error, Hashable, Sendable {
    /// Offset in bytes from the start of the text.
    public let offset: Int
    public let reason: String

    init(_ offset: Int, _ reason: String) {
        self.offset = offset
        self.reason = reason
    }
}
