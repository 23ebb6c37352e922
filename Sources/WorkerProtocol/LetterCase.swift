/// Gives the bytes of a text with every letter in one case, and where in the text each came from: two texts that differ
/// in nothing but the case of their letters give the same bytes.
///
/// Letter by letter, as Unicode's simple case folding does it; what is one letter in one case and several in the other
/// (`ß` and `SS`) stays apart. What is not UTF-8 is given as it is. It keeps nothing, so it may be used on a secret.
func forEachFolded<Text: RandomAccessCollection>(
    _ text: Text, _ body: (UInt8, Range<Int>) -> Void
) where Text.Element == UInt8, Text.Index == Int {
    var place = text.startIndex
    while place < text.endIndex {
        // Most of what is said is ASCII, and that needs no decoding.
        if text[place] < 0x80 {
            let isCapital = (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(text[place])
            body(isCapital ? text[place] | 0x20 : text[place], place..<place + 1)
            place += 1
            continue
        }
        var bytes = text[place...].prefix(4).makeIterator()
        var parser = Unicode.UTF8.ForwardParser()
        switch parser.parseScalar(from: &bytes) {
        case .valid(let encoded):
            let letter = folded(UTF8.decode(encoded))
            for byte in UTF8.encode(letter) ?? encoded { body(byte, place..<place + encoded.count) }
            place += encoded.count
        case .error, .emptyInput:
            body(text[place], place..<place + 1)
            place += 1
        }
    }
}

/// By way of the capital, because some letters share one: `σ` and `ς`, `s` and `ſ`.
private func folded(_ letter: Unicode.Scalar) -> Unicode.Scalar {
    let capital = single(letter.properties.uppercaseMapping) ?? letter
    return single(capital.properties.lowercaseMapping) ?? capital
}

private func single(_ letters: String) -> Unicode.Scalar? {
    let scalars = letters.unicodeScalars
    return scalars.count == 1 ? scalars.first : nil
}
