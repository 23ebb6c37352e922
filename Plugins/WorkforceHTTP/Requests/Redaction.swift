internal import RuntimeSyncPlugin

/// Whether a target's answer repeats the password that it was sent.
///
/// Targets quote what they got: as it is, in JSON (`\"`, `\u00e9`), in HTML (`&amp;`, `&#39;`) or in a URL (`%20`, `+`). The answer
/// is searched as it is and with each of these undone. The undone copies are wiped.
package enum Redaction: Sendable {
    package static func does(_ answer: UnsafeRawBufferPointer, repeat secret: UnsafeRawBufferPointer) -> Bool {
        guard !secret.isEmpty else { return false }
        if contains(answer, secret) { return true }
        return [unescapedJSON, unescapedURL, unescapedHTML].contains { undo in
            var length = 0
            let copy = SecretBuffer(count: answer.count) { length = undo(answer, $0) }
            return copy.withUnsafeBytes { contains(UnsafeRawBufferPointer(rebasing: $0[..<length]), secret) }
        }
    }

    private static func contains(_ text: UnsafeRawBufferPointer, _ part: UnsafeRawBufferPointer) -> Bool {
        guard text.count >= part.count else { return false }
        return (0...(text.count - part.count)).contains { start in
            text[start] == part[0] && text[start..<start + part.count].elementsEqual(part)
        }
    }

    // Each of these writes to memory of the same size, because every escape is at least as long as what it stands for,
    // and returns how much it wrote.

    private typealias Undo = (UnsafeRawBufferPointer, UnsafeMutableRawBufferPointer) -> Int

    private static func unescapedJSON(_ text: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer) -> Int {
        undo(text, output) { text in
            guard text[0] == UInt8(ascii: "\\"), text.count > 1 else { return nil }
            let simple: [Unicode.Scalar: Unicode.Scalar] = [
                "b": "\u{8}", "f": "\u{C}", "n": "\n", "r": "\r", "t": "\t",
            ]
            let next = Unicode.Scalar(text[1])
            guard next == "u" else { return (2, simple[next] ?? next) }
            guard let first = number(text.dropFirst(2).prefix(4), radix: 16, digits: 4) else { return nil }
            if let scalar = Unicode.Scalar(first) { return (6, scalar) }
            let pair = text.dropFirst(6).prefix(6)
            guard first < 0xDC00, pair.starts(with: "\\u".utf8),
                let second = number(pair.dropFirst(2), radix: 16, digits: 4), (0xDC00..<0xE000).contains(second)
            else { return nil }
            return Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00)).map { (12, $0) }
        }
    }

    private static func unescapedHTML(_ text: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer) -> Int {
        undo(text, output) { text in
            guard text[0] == UInt8(ascii: "&"), let end = text.prefix(10).firstIndex(of: UInt8(ascii: ";")) else {
                return nil
            }
            let name = text[1..<end]
            if name.first == UInt8(ascii: "#") {
                let isHexadecimal = name.dropFirst().first.map { $0 | 0x20 == UInt8(ascii: "x") } ?? false
                return number(name.dropFirst(isHexadecimal ? 2 : 1), radix: isHexadecimal ? 16 : 10)
                    .flatMap { Unicode.Scalar($0) }.map { (end + 1, $0) }
            }
            let named: [(StaticString, Unicode.Scalar)] = [
                ("amp", "&"), ("lt", "<"), ("gt", ">"), ("quot", "\""), ("apos", "'"),
            ]
            return named.first { entity, _ in
                name.elementsEqual(UnsafeBufferPointer(start: entity.utf8Start, count: entity.utf8CodeUnitCount))
            }.map { (end + 1, $0.1) }
        }
    }

    private static func unescapedURL(_ text: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer) -> Int {
        var position = 0
        var written = 0
        while position < text.count {
            var byte = text[position]
            if byte == UInt8(ascii: "+") {
                byte = UInt8(ascii: " ")
            } else if byte == UInt8(ascii: "%"),
                let value = number(text.dropFirst(position + 1).prefix(2), radix: 16, digits: 2)
            {
                byte = UInt8(value)
                position += 2
            }
            output[written] = byte
            position += 1
            written += 1
        }
        return written
    }

    /// Copies the text, with every escape that `read` finds at a place replaced by what it stands for.
    private static func undo(
        _ text: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer,
        _ read: (UnsafeRawBufferPointer) -> (length: Int, scalar: Unicode.Scalar)?
    ) -> Int {
        var position = 0
        var written = 0
        while position < text.count {
            if let (length, scalar) = read(UnsafeRawBufferPointer(rebasing: text[position...])) {
                for byte in UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter {
                    output[written] = byte
                    written += 1
                }
                position += length
            } else {
                output[written] = text[position]
                written += 1
                position += 1
            }
        }
        return written
    }

    private static func number(_ digits: Slice<UnsafeRawBufferPointer>, radix: UInt32, digits wanted: Int? = nil)
        -> UInt32?
    {
        guard !digits.isEmpty, digits.count <= 8, wanted == nil || digits.count == wanted else { return nil }
        var value: UInt32 = 0
        for digit in digits {
            guard let digit = Character(Unicode.Scalar(digit)).hexDigitValue, digit < radix else { return nil }
            let (product, overflow) = value.multipliedReportingOverflow(by: radix)
            guard !overflow else { return nil }
            value = product + UInt32(digit)
        }
        return value
    }
}
