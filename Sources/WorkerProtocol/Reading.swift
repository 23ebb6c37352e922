/// One way to read bytes that may hold something encoded: what they stand for, and where each byte of that came from.
struct Reading {
    private(set) var bytes: [UInt8] = []
    private var sources: [Range<Int>] = []

    /// Where the bytes of a part came from.
    func source(of part: Range<Int>) -> Range<Int> {
        sources[part.lowerBound].lowerBound..<sources[part.upperBound - 1].upperBound
    }

    mutating func append(_ byte: UInt8, from source: Range<Int>) {
        bytes.append(byte)
        sources.append(source)
    }

    mutating func append(_ scalar: Unicode.Scalar, from source: Range<Int>) {
        for byte in UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter { append(byte, from: source) }
    }
}

extension Reading {
    /// Every reading of a text: as it is, and with each encoding undone in which systems repeat what they were sent.
    ///
    /// | encoding | |
    /// |---|---|
    /// | JSON | `\"`, `\/`, `\n`, `\u00e9` and the others of RFC 8259, section 7 |
    /// | LDAP | `\2c` for a byte, `\,` for the character (RFC 4514 and 4515); `\x2c`, as C and many logs write |
    /// | HTML | `&amp;`, `&#39;`, `&#x27;`, `&eacute;` |
    /// | URL | `%20`, and `+` for a blank |
    /// | hexadecimal | pairs of digits, in a row or with anything between them |
    /// | Base64 | both alphabets of RFC 4648, wherever in the encoded bytes |
    /// | UTF-16 | of either byte order |
    static func all(of text: [UInt8]) -> [Reading] {
        var all = [plain(text)]
        if text.contains(UInt8(ascii: "\\")) { all += [json(text), ldap(text)] }
        if text.contains(UInt8(ascii: "&")) { all.append(html(text)) }
        if text.contains(where: { $0 == UInt8(ascii: "%") || $0 == UInt8(ascii: "+") }) { all.append(url(text)) }
        all += (0..<2).map { hexadecimal(text, skipping: $0) }
        all += (0..<4).map { base64(text, skipping: $0) }
        all += (0..<2).flatMap { [utf16(text, from: $0, high: 1), utf16(text, from: $0, high: 0)] }
        return all
    }

    private static func plain(_ text: [UInt8]) -> Self {
        var reading = Reading()
        for (place, byte) in text.enumerated() { reading.append(byte, from: place..<place + 1) }
        return reading
    }

    private static func json(_ text: [UInt8]) -> Self {
        let simple: [UInt8: UInt8] = [98: 8, 102: 12, 110: 10, 114: 13, 116: 9]  // b f n r t
        var reading = Reading()
        var place = 0
        while place < text.count {
            guard text[place] == UInt8(ascii: "\\"), place + 1 < text.count else {
                reading.append(text[place], from: place..<place + 1)
                place += 1
                continue
            }
            if let unit = unit(text, place) {
                let pair = trail(after: unit, self.unit(text, place + 6))
                let length = pair == nil ? 6 : 12
                reading.append(scalar(unit, pair), from: place..<place + length)
                place += length
            } else {
                reading.append(simple[text[place + 1]] ?? text[place + 1], from: place..<place + 2)
                place += 2
            }
        }
        return reading
    }

    /// `\u` and four hexadecimal digits.
    private static func unit(_ text: [UInt8], _ place: Int) -> UInt16? {
        guard place + 6 <= text.count, text[place] == UInt8(ascii: "\\"), text[place + 1] == UInt8(ascii: "u") else {
            return nil
        }
        var unit: UInt16 = 0
        for digit in text[place + 2..<place + 6] {
            guard let value = hexadecimalValue(digit) else { return nil }
            unit = unit << 4 | UInt16(value)
        }
        return unit
    }

    /// The second half of a surrogate pair, if that is what the two units are.
    private static func trail(after lead: UInt16, _ next: UInt16?) -> UInt16? {
        UTF16.isLeadSurrogate(lead) ? next.flatMap { UTF16.isTrailSurrogate($0) ? $0 : nil } : nil
    }

    private static func scalar(_ unit: UInt16, _ trail: UInt16?) -> Unicode.Scalar {
        let units = [unit] + (trail.map { [$0] } ?? [])
        return String(decoding: units, as: UTF16.self).unicodeScalars.first ?? "\u{FFFD}"
    }

    private static func ldap(_ text: [UInt8]) -> Self {
        var reading = Reading()
        var place = 0
        while place < text.count {
            guard text[place] == UInt8(ascii: "\\"), place + 1 < text.count else {
                reading.append(text[place], from: place..<place + 1)
                place += 1
                continue
            }
            let digits = text[place + 1] == UInt8(ascii: "x") ? place + 2 : place + 1
            if let byte = byte(text, digits) {
                reading.append(byte, from: place..<digits + 2)
                place = digits + 2
            } else {
                reading.append(text[place + 1], from: place..<place + 2)
                place += 2
            }
        }
        return reading
    }

    private static func url(_ text: [UInt8]) -> Self {
        var reading = Reading()
        var place = 0
        while place < text.count {
            if text[place] == UInt8(ascii: "%"), let byte = byte(text, place + 1) {
                reading.append(byte, from: place..<place + 3)
                place += 3
            } else {
                let byte = text[place] == UInt8(ascii: "+") ? UInt8(ascii: " ") : text[place]
                reading.append(byte, from: place..<place + 1)
                place += 1
            }
        }
        return reading
    }

    private static func hexadecimal(_ text: [UInt8], skipping skipped: Int) -> Self {
        var reading = Reading()
        for run in runs(text, of: hexadecimalValue, skipping: skipped) {
            for pair in stride(from: 0, to: run.count - 1, by: 2) {
                let byte = run[pair].value << 4 | run[pair + 1].value
                reading.append(byte, from: run[pair].place..<run[pair + 1].place + 1)
            }
        }
        return reading
    }

    private static func base64(_ text: [UInt8], skipping skipped: Int) -> Self {
        var reading = Reading()
        for run in runs(text, of: base64Value, skipping: skipped) {
            for byte in 0..<run.count * 6 / 8 {
                let (first, last) = (byte * 8 / 6, (byte * 8 + 7) / 6)
                let bits = UInt16(run[first].value) << 6 | UInt16(run[last].value)
                let excess = UInt16(12 - 8 - byte * 8 % 6)
                reading.append(
                    UInt8(truncatingIfNeeded: bits >> excess), from: run[first].place..<run[last].place + 1)
            }
        }
        return reading
    }

    /// - Parameter high: which byte of a pair is the more significant one.
    private static func utf16(_ text: [UInt8], from start: Int, high: Int) -> Self {
        func unit(_ place: Int) -> UInt16? {
            guard place + 1 < text.count else { return nil }
            return UInt16(text[place + high]) << 8 | UInt16(text[place + 1 - high])
        }
        var reading = Reading()
        var place = start
        while let first = unit(place) {
            let pair = trail(after: first, unit(place + 2))
            let length = pair == nil ? 2 : 4
            reading.append(scalar(first, pair), from: place..<place + length)
            place += length
        }
        return reading
    }

    private typealias Digit = (value: UInt8, place: Int)

    /// The stretches of digits, each without its first few.
    private static func runs(_ text: [UInt8], of value: (UInt8) -> UInt8?, skipping skipped: Int) -> [[Digit]] {
        var runs: [[Digit]] = []
        var run: [Digit] = []
        for (place, byte) in text.enumerated() {
            if let value = value(byte) {
                run.append((value, place))
            } else if !run.isEmpty {
                runs.append(Array(run.dropFirst(skipped)))
                run = []
            }
        }
        runs.append(Array(run.dropFirst(skipped)))
        return runs.filter { !$0.isEmpty }
    }

    /// Two hexadecimal digits.
    private static func byte(_ text: [UInt8], _ place: Int) -> UInt8? {
        guard place + 1 < text.count, let high = hexadecimalValue(text[place]),
            let low = hexadecimalValue(text[place + 1])
        else { return nil }
        return high << 4 | low
    }

    private static func hexadecimalValue(_ digit: UInt8) -> UInt8? {
        switch digit {
        case 48...57: digit - 48
        case 65...70: digit - 65 + 10
        case 97...102: digit - 97 + 10
        default: nil
        }
    }

    private static func base64Value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case 65...90: digit - 65
        case 97...122: digit - 97 + 26
        case 48...57: digit - 48 + 52
        case UInt8(ascii: "+"), UInt8(ascii: "-"): 62
        case UInt8(ascii: "/"), UInt8(ascii: "_"): 63
        default: nil
        }
    }
}
