package import RuntimeSyncPlugin

/// The names that a template may use: what is known of the subject of a delivery.
package struct SubjectNames: Equatable, Sendable {
    package var externalID: String?
    package var username: String?
    package var userID: String?
    package var email: String?

    package init(externalID: String? = nil, username: String? = nil, userID: String? = nil, email: String? = nil) {
        self.externalID = externalID
        self.username = username
        self.userID = userID
        self.email = email
    }
}

/// A DN or filter with places for a subject's names, such as `(employeeNumber={{externalId}})`.
///
/// The names come from outside and may hold anything; each is escaped byte by byte, so that it can only ever be a
/// value: it never closes a parenthesis, begins another RDN or matches as a wildcard.
package struct Template: Sendable {
    package enum Variable: String, CaseIterable, Sendable {
        case externalID = "externalId"
        case username
        case userID = "userId"
        case email
    }

    private enum Part: Sendable {
        case literal(String)
        case value(Variable)
    }

    private let parts: [Part]

    /// Whether a name is needed that only the event tells.
    package var needsEvent: Bool {
        parts.contains { part in
            switch part {
            case .value(.username), .value(.userID), .value(.email): true
            case .value(.externalID), .literal: false
            }
        }
    }

    /// What stands after the last variable.
    var tail: String {
        if case .literal(let text) = parts.last { text } else { "" }
    }

    /// - Throws: ``StartError`` if a `{{` has no `}}`, a variable is unknown, or none is there: such a template would
    ///   lead every subject to the same account.
    package init(_ text: String, key: String) throws(StartError) {
        var parts: [Part] = []
        var rest = Substring(text)
        while let open = rest.firstPair("{") {
            let name = rest[rest.index(open, offsetBy: 2)...]
            guard let close = name.firstPair("}"),
                let variable = Variable(rawValue: String(name[..<close]).filter { $0 != " " })
            else {
                let known = Variable.allCases.map { "{{\($0.rawValue)}}" }.joined(separator: ", ")
                throw StartError("\(key): \"\(text)\" has a variable that is none of \(known)")
            }
            parts += [.literal(String(rest[..<open])), .value(variable)]
            rest = name[name.index(close, offsetBy: 2)...]
        }
        guard !parts.isEmpty else {
            throw StartError("\(key): \"\(text)\" has no variable, so that every subject would have the same account")
        }
        self.parts = parts + [.literal(String(rest))]
    }

    /// The template with the subject's names in it, escaped.
    ///
    /// - Throws: ``MissingValue`` if a name that it needs is absent or empty.
    package func filled(with names: SubjectNames) throws(MissingValue) -> String {
        var text = ""
        for part in parts {
            switch part {
            case .literal(let literal): text += literal
            case .value(let variable):
                guard let value = names[variable], !value.isEmpty else { throw MissingValue(variable: variable) }
                text += escaped(value)
            }
        }
        return text
    }
}

/// A name that a template needs and the subject does not have.
package struct MissingValue: Error, Equatable {
    package let variable: Template.Variable
}

extension SubjectNames {
    fileprivate subscript(_ variable: Template.Variable) -> String? {
        switch variable {
        case .externalID: externalID
        case .username: username
        case .userID: userID
        case .email: email
        }
    }
}

/// `value` as it may stand in a DN (RFC 4514, section 2.4) and in a filter (RFC 4515, section 3) alike.
///
/// Both know `\XX` for any byte, and both read it as that byte of the value and nothing else. So everything but plain
/// letters, digits and `- . _ @` is written that way, instead of listing what is special where.
package func escaped(_ value: String) -> String {
    if value.utf8.allSatisfy(isPlain) { return value }
    var text = ""
    for byte in value.utf8 {
        if isPlain(byte) { text.unicodeScalars.append(Unicode.Scalar(byte)) } else { text += "\\" + hex(byte) }
    }
    return text
}

private func isPlain(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "@"):
        true
    default: false
    }
}

/// Two lower-case hexadecimal digits.
func hex(_ byte: UInt8) -> String {
    (byte < 16 ? "0" : "") + String(byte, radix: 16)
}

extension Substring {
    /// Where `character` first stands twice in a row.
    fileprivate func firstPair(_ character: Character) -> Index? {
        indices.dropLast().first { self[$0] == character && self[index(after: $0)] == character }
    }
}
