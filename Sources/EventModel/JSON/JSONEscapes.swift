/// The escapes of JSON strings (RFC 8259, section 7), in both directions.
public enum JSONEscapes: Sendable {
    /// Gives the bytes that a string's contents stand for, one by one.
    ///
    /// - Parameters:
    ///   - contents: what stands between the quotes, already checked by ``JSONScanner``.
    ///   - emit: gets each byte of the UTF-8 text.
    public static func unescape(_ contents: UnsafeRawBufferPointer, _ emit: (UInt8) -> Void) {
        var position = 0
        while position < contents.count {
            let byte = contents[position]
            guard byte == UInt8(ascii: "\\"), position + 1 < contents.count else {
                emit(byte)
                position += 1
                continue
            }
            let escape = contents[position + 1]
            position += 2
            switch escape {
            case UInt8(ascii: "b"): emit(0x08)
            case UInt8(ascii: "f"): emit(0x0c)
            case UInt8(ascii: "n"): emit(0x0a)
            case UInt8(ascii: "r"): emit(0x0d)
            case UInt8(ascii: "t"): emit(0x09)
            case UInt8(ascii: "u"):
                var scalar = unit(contents, position)
                position += 4
                if scalar & 0xfc00 == 0xd800 {
                    scalar = 0x10000 + (scalar & 0x3ff) << 10 + (unit(contents, position + 2) & 0x3ff)
                    position += 6
                }
                if let scalar = Unicode.Scalar(scalar) { UTF8.encode(scalar)?.forEach(emit) }
            default: emit(escape)
            }
        }
    }

    /// Appends a text's JSON string, quotes included.
    public static func appendQuoted(_ text: String, to json: inout [UInt8]) {
        json.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): json += [UInt8(ascii: "\\"), byte]
            case 0x0a: json += [UInt8(ascii: "\\"), UInt8(ascii: "n")]
            case 0x0d: json += [UInt8(ascii: "\\"), UInt8(ascii: "r")]
            case 0x09: json += [UInt8(ascii: "\\"), UInt8(ascii: "t")]
            case 0..<0x20, 0x7f:
                json += Array("\\u00".utf8) + [hex(byte >> 4), hex(byte & 15)]
            default: json.append(byte)
            }
        }
        json.append(UInt8(ascii: "\""))
    }

    static func hexDigit(_ byte: UInt8) -> UInt16? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt16(byte) - 0x30
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt16(byte) - 0x57
        case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt16(byte) - 0x37
        default: nil
        }
    }

    private static func hex(_ nibble: UInt8) -> UInt8 {
        nibble < 10 ? 0x30 + nibble : 0x57 + nibble
    }

    private static func unit(_ contents: UnsafeRawBufferPointer, _ position: Int) -> UInt32 {
        guard position + 4 <= contents.count else { return 0xfffd }
        return contents[position..<position + 4].reduce(0) { $0 << 4 | UInt32(hexDigit($1) ?? 0) }
    }
}
