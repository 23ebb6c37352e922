/// A stranger's words as one line of a terminal: what would move the cursor, begin another line, turn the direction of
/// writing or not be seen at all is written as `\u{…}`.
func forTerminal(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: \.isUnseen) else { return text }
    return text.unicodeScalars.reduce(into: "") { line, scalar in
        if scalar.isUnseen {
            line += "\\u{\(String(scalar.value, radix: 16))}"
        } else {
            line.unicodeScalars.append(scalar)
        }
    }
}

extension Unicode.Scalar {
    /// Controls, formats (bidirectional overrides among them), and the separators of lines and paragraphs.
    fileprivate var isUnseen: Bool {
        // Most texts are ASCII, and the table of categories is long.
        if value < 0x7f { return value < 0x20 }
        switch properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: return true
        default: return false
        }
    }
}
