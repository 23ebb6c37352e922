/// Why the text between two quotes is not a JSON string. It never tells the text.
public enum JSONStringError: Error, Hashable, Sendable {
    /// Bytes that are not UTF-8.
    case invalidUTF8
    /// A control character or a quote that had to be escaped.
    case unescapedCharacter
    /// A backslash before something that RFC 8259, section 7, does not list, or before the end.
    case invalidEscape
    /// Half of a surrogate pair, which is no character.
    case loneSurrogate
}

extension SecretBytes {
    /// Reads what stands between the quotes of a JSON string (RFC 8259, section 7): escapes become UTF-8.
    public init(unescapingJSON contents: UnsafeRawBufferPointer) throws(JSONStringError) {
        // No escape is shorter than what it stands for, so the contents' size is enough.
        try self.init(capacity: contents.count) { (memory) throws(JSONStringError) in
            var reader = JSONStringReader(contents)
            var count = 0
            while let scalar = try reader.next() {
                for byte in scalar.utf8 {
                    memory[count] = byte
                    count += 1
                }
            }
            return count
        }
    }
}

/// Takes one character after the other, escaped or not, from the contents of a JSON string.
private struct JSONStringReader {
    private var bytes: UnsafeRawBufferPointer.Iterator
    private var decoder = UTF8()

    init(_ contents: UnsafeRawBufferPointer) {
        bytes = contents.makeIterator()
    }

    /// The next character, or `nil` at the end.
    mutating func next() throws(JSONStringError) -> Unicode.Scalar? {
        guard let scalar = try raw() else { return nil }
        guard scalar.value >= 0x20, scalar != "\"" else { throw .unescapedCharacter }
        return scalar == "\\" ? try escaped() : scalar
    }

    private mutating func raw() throws(JSONStringError) -> Unicode.Scalar? {
        switch decoder.decode(&bytes) {
        case .scalarValue(let scalar): scalar
        case .emptyInput: nil
        case .error: throw .invalidUTF8
        }
    }

    private mutating func escaped() throws(JSONStringError) -> Unicode.Scalar {
        switch try raw() {
        case "\"": "\""
        case "\\": "\\"
        case "/": "/"
        case "b": "\u{8}"
        case "f": "\u{c}"
        case "n": "\n"
        case "r": "\r"
        case "t": "\t"
        case "u": try fromUTF16()
        default: throw .invalidEscape
        }
    }

    private mutating func fromUTF16() throws(JSONStringError) -> Unicode.Scalar {
        let unit = try fourHexDigits()
        if let scalar = Unicode.Scalar(unit) { return scalar }
        guard UTF16.isLeadSurrogate(unit), try raw() == "\\", try raw() == "u" else { throw .loneSurrogate }
        let trail = try fourHexDigits()
        guard UTF16.isTrailSurrogate(trail) else { throw .loneSurrogate }
        // Twenty bits over the basic plane: the lead's ten, then the trail's ten (RFC 2781, section 2.2).
        let value = 0x1_0000 + UInt32(unit & 0x3FF) << 10 + UInt32(trail & 0x3FF)
        guard let scalar = Unicode.Scalar(value) else { throw .loneSurrogate }
        return scalar
    }

    private mutating func fourHexDigits() throws(JSONStringError) -> UInt16 {
        var unit: UInt16 = 0
        for _ in 0..<4 {
            guard let digit = try raw()?.hexDigitValue else { throw .invalidEscape }
            unit = unit << 4 | digit
        }
        return unit
    }
}

extension Unicode.Scalar {
    fileprivate var hexDigitValue: UInt16? {
        switch self {
        case "0"..."9": UInt16(value - 0x30)
        case "A"..."F": UInt16(value - 0x41 + 10)
        case "a"..."f": UInt16(value - 0x61 + 10)
        default: nil
        }
    }
}
