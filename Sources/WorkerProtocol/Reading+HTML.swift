extension Reading {
    /// With HTML's character references undone, by number (`&#39;`, `&#x27;`) and by name (`&amp;`, `&eacute;`), as
    /// those write them who escape: with the semicolon.
    static func html(_ text: [UInt8]) -> Self {
        var reading = Reading()
        var place = 0
        while place < text.count {
            if let (scalar, end) = reference(text[place...]) {
                reading.append(scalar, from: place..<end)
                place = end
            } else {
                reading.append(text[place], from: place..<place + 1)
                place += 1
            }
        }
        return reading
    }

    /// `&#1114111;`, the last character.
    private static let longestReference = 10

    private static func reference(_ text: ArraySlice<UInt8>) -> (Unicode.Scalar, end: Int)? {
        guard text.first == UInt8(ascii: "&"),
            let end = text.prefix(longestReference).firstIndex(of: UInt8(ascii: ";"))
        else { return nil }
        let name = String(decoding: text[text.startIndex + 1..<end], as: UTF8.self)
        let scalar = name.first == "#" ? numbered(name.dropFirst()) : scalars[name]
        return scalar.map { ($0, end + 1) }
    }

    private static func numbered(_ digits: Substring) -> Unicode.Scalar? {
        let isHexadecimal = digits.first == "x" || digits.first == "X"
        let number = isHexadecimal ? UInt32(digits.dropFirst(), radix: 16) : UInt32(digits)
        return number.flatMap(Unicode.Scalar.init)
    }

    /// By name: what has to be escaped in HTML, and the upper half of ISO 8859-1, which many escape with it.
    private static let scalars: [String: Unicode.Scalar] = {
        var scalars: [String: Unicode.Scalar] = ["amp": "&", "lt": "<", "gt": ">", "quot": "\"", "apos": "'"]
        for (scalar, name) in zip(UInt8(0xA0)...0xFF, latin1.split(whereSeparator: \.isWhitespace)) {
            scalars[String(name)] = Unicode.Scalar(scalar)
        }
        return scalars
    }()

    /// From U+00A0 to U+00FF.
    private static let latin1 = """
        nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr
        deg plusmn sup2 sup3 acute micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest
        Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml
        ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc Uuml Yacute THORN szlig
        agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave iacute icirc iuml
        eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute ucirc uuml yacute thorn yuml
        """
}
