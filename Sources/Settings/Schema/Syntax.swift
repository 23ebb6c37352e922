/// How a value is written: what is accepted, how it is read, and how a default is shown. Every key of the schema has one.
struct Syntax<Value: Sendable>: Sendable {
    /// What is accepted, in words that fit behind "accepts".
    let accepts: String
    /// How an environment variable holds it.
    let shape: KeyShape
    /// What stands there may be a secret, even by mistake: no issue shows it.
    var isSecret = false
    /// Reads a value; notes an issue and returns `nil` if it cannot.
    let read: @Sendable (SettingsNode, inout SettingsReader) -> Value?
    /// Writes a value as YAML, for the commented defaults.
    let write: @Sendable (Value) -> String
}

/// How a key's environment variable is read.
enum KeyShape: Hashable, Sendable {
    /// As it stands; may be empty.
    case text
    /// As it stands, and not empty: a number, a switch, a size.
    case word
    /// Texts with commas between them, or a YAML list in brackets.
    case list
    /// YAML on one line, such as `{file: /run/secret}`.
    case yaml
}

extension Syntax {
    /// A single value that is not a text; `hint` goes with one that cannot be read.
    static func word(
        _ accepts: String, _ problem: String, hint: String? = nil, parse: @escaping @Sendable (String) -> Value?,
        write: @escaping @Sendable (Value) -> String
    ) -> Self {
        Self(
            accepts: accepts, shape: .word,
            read: { node, reader in
                if let value = node.text.flatMap(parse) { return value }
                reader.refuse(node, problem, accepts: accepts, hint: hint)
                return nil
            }, write: write)
    }

    /// A single value between two bounds, both included.
    static func word(
        _ what: String, in range: ClosedRange<Value>, hint: String? = nil,
        parse: @escaping @Sendable (String) -> Value?, write: @escaping @Sendable (Value) -> String
    ) -> Self where Value: Comparable {
        let accepts = "\(what), \(write(range.lowerBound)) to \(write(range.upperBound))"
        return word(accepts, "is not \(what)", hint: hint, parse: parse, write: write)
            .checked(accepts, "is out of range") { range.contains($0) }
    }

    /// The same value, with a check on top of it.
    func checked(_ accepts: String, _ problem: String, _ isFine: @escaping @Sendable (Value) -> Bool) -> Self {
        Self(
            accepts: accepts, shape: shape, isSecret: isSecret,
            read: { node, reader in
                guard let value = read(node, &reader) else { return nil }
                guard isFine(value) else {
                    reader.refuse(node, problem, accepts: accepts)
                    return nil
                }
                return value
            }, write: write)
    }
}

extension Syntax<Bool> {
    static let flag = word("true or false", "is neither true nor false", parse: { Bool($0) }, write: { "\($0)" })
}

extension Syntax<Int> {
    static func integer(_ range: ClosedRange<Int>) -> Self {
        word("a whole number", in: range, parse: { Int($0) }, write: { "\($0)" })
    }
}

extension Syntax<Duration> {
    static func duration(_ range: ClosedRange<Duration>) -> Self {
        word(
            "a duration", in: range, hint: "durations are written 200ms, 30s, 5m, 1h or 7d", parse: DurationText.read,
            write: DurationText.write)
    }
}

extension Syntax<ByteCount> {
    static func size(_ range: ClosedRange<ByteCount>) -> Self {
        word(
            "a size", in: range, hint: "sizes are written 512B, 64KiB, 256MiB or 8GiB", parse: { ByteCount($0) },
            write: { "\($0)" })
    }
}

extension Syntax<String> {
    /// A text; an empty one only where `accepts` says so.
    static func text(_ accepts: String, mayBeEmpty: Bool = false) -> Self {
        Self(
            accepts: accepts, shape: .text,
            read: { node, reader in
                guard let text = node.text, mayBeEmpty || !text.isEmpty else {
                    reader.refuse(node, node.text == nil ? "is not a text" : "is empty", accepts: accepts)
                    return nil
                }
                return text
            }, write: YAMLScalar.write)
    }

    /// A path; relative ones start at the folder of the file that holds them. The value is absolute.
    static func path(_ accepts: String = "a path, absolute or relative to this file", mayBeEmpty: Bool = false) -> Self
    {
        let text = text(accepts, mayBeEmpty: mayBeEmpty)
        return Self(
            accepts: accepts, shape: .text,
            read: { node, reader in text.read(node, &reader).map { $0.isEmpty ? $0 : reader.absolute($0) } },
            write: YAMLScalar.write)
    }

    /// A name of ours: a lower-case letter, then lower-case letters, digits and `-`.
    static let name = text("a name of lower-case letters, digits and -, beginning with a letter, at most 63")
        .checked(
            "a name of lower-case letters, digits and -, beginning with a letter, at most 63", "is not a name",
            isName)

    @Sendable static func isName(_ text: String) -> Bool {
        guard let first = text.utf8.first, text.utf8.count <= 63 else { return false }
        return isLowerCase(first) && text.utf8.allSatisfy { isLowerCase($0) || (48...57).contains($0) || $0 == 45 }
    }

    private static func isLowerCase(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
    }
}

extension Syntax where Value: RawRepresentable & CaseIterable, Value.RawValue == String, Value.AllCases: Sendable {
    /// One of a few words.
    static var oneOf: Self {
        let words = Value.allCases.map(\.rawValue)
        let accepts = words.count < 3 ? words.joined(separator: " or ") : words.joined(separator: ", ")
        return Self(
            accepts: accepts, shape: .word,
            read: { node, reader in
                if let value = node.text.flatMap(Value.init(rawValue:)) { return value }
                reader.refuse(
                    node, "is none of these words", accepts: accepts,
                    hint: node.text.flatMap { NearestName.hint($0, among: words) })
                return nil
            }, write: \.rawValue)
    }
}

extension Syntax {
    /// A list; each element that is wrong is an issue of its own.
    static func list<Element>(of element: Syntax<Element>, _ accepts: String? = nil) -> Self
    where Value == [Element] {
        let accepts = accepts ?? "a list, each \(element.accepts)"
        return Self(
            accepts: accepts, shape: element.shape == .yaml ? .yaml : .list, isSecret: element.isSecret,
            read: { node, reader in
                guard let elements = node.elements else {
                    reader.refuse(node, "is not a list", accepts: accepts, isSecret: element.isSecret)
                    return nil
                }
                return elements.enumerated().compactMap { index, node in
                    reader.descend(index) { reader in
                        reader.remember(node.place)
                        return element.read(node, &reader)
                    }
                }
            },
            write: { "[\($0.map(element.write).joined(separator: ", "))]" })
    }
}

/// How a text is written as a YAML scalar inside brackets or behind a key.
enum YAMLScalar: Sendable {
    /// Plain if nobody could take it for something else, otherwise in double quotes.
    static func write(_ text: String) -> String {
        let isPlain =
            !["", "true", "false", "null", "~", "yes", "no", "on", "off"].contains(text.lowercased())
            && text.unicodeScalars.allSatisfy { isLetter($0) || "0123456789_-./:+@=".unicodeScalars.contains($0) }
            && !text.hasSuffix(":")
            && (text.unicodeScalars.first.map { isLetter($0) || $0 == "/" } == true
                || IPAddress(String(text.prefix { $0 != ":" })) != nil)
        guard !isPlain else { return text }
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            case "\t": quoted += "\\t"
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }

    private static func isLetter(_ scalar: UnicodeScalar) -> Bool {
        ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar)
    }
}
