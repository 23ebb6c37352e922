/// The name that an entry keeps for ever, whatever it is called and wherever it is moved.
package struct StableID: Hashable, Sendable {
    /// The attribute as the settings spell it.
    package let attribute: String
    /// What the host is told, and what a binding holds.
    package let text: String
    /// A filter that only this entry matches.
    package let filter: String

    /// The first of `attributes` that `entry` has; `nil` if it has none.
    package init?(of entry: DirectoryEntry, from attributes: [String]) {
        for attribute in attributes {
            guard let value = entry[attribute].first, !value.isEmpty else { continue }
            self.attribute = attribute
            let bytes = value.map { "\\" + hex($0) }.joined()
            if attribute.lowercased() == "objectguid", value.count == 16 {
                text = Self.guid(value)
                filter = "(\(attribute)=\(bytes))"
            } else if let written = String(validating: value, as: UTF8.self) {
                text = written
                filter = "(\(attribute)=\(escaped(written)))"
            } else {
                text = value.map(hex).joined()
                filter = "(\(attribute)=\(bytes))"
            }
            return
        }
        return nil
    }

    /// The id that a binding holds, of an attribute whose values are text or `objectGUID`; `nil` of any other, because
    /// ``text`` may stand for bytes there.
    package init?(bound text: String, attribute: String) {
        switch attribute.lowercased() {
        case "entryuuid", "nsuniqueid":
            filter = "(\(attribute)=\(escaped(text)))"
        case "objectguid":
            guard let bytes = Self.bytes(ofGUID: text) else { return nil }
            filter = "(\(attribute)=\(bytes.map { "\\" + hex($0) }.joined()))"
        default:
            return nil
        }
        self.attribute = attribute
        self.text = text
    }

    /// The usual way to write an `objectGUID`: its first three groups are stored least significant byte first
    /// (MS-DTYP, section 2.3.4.2).
    private static func guid(_ bytes: [UInt8]) -> String {
        guidOrder.map { $0 < 0 ? "-" : hex(bytes[$0]) }.joined()
    }

    private static func bytes(ofGUID text: String) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: 16)
        var rest = Substring(text)
        for place in guidOrder {
            if place < 0 {
                guard rest.popFirst() == "-" else { return nil }
            } else {
                guard let byte = UInt8(rest.prefix(2), radix: 16) else { return nil }
                bytes[place] = byte
                rest = rest.dropFirst(2)
            }
        }
        return rest.isEmpty && guid(bytes) == text ? bytes : nil
    }

    /// Which byte stands where; -1 is a hyphen.
    private static let guidOrder = [3, 2, 1, 0, -1, 5, 4, -1, 7, 6, -1, 8, 9, -1, 10, 11, 12, 13, 14, 15]
}

/// An entry that the server returned.
package struct DirectoryEntry: Equatable, Sendable {
    package let name: String
    private let attributes: [String: [[UInt8]]]

    /// - Parameter attributes: values by attribute type, in any spelling.
    package init(name: String, attributes: [String: [[UInt8]]]) {
        self.name = name
        self.attributes = attributes.reduce(into: [:]) { $0[$1.key.lowercased(), default: []] += $1.value }
    }

    /// The values of an attribute, in any spelling; empty if it has none or none may be seen.
    package subscript(_ attribute: String) -> [[UInt8]] {
        attributes[attribute.lowercased()] ?? []
    }
}

/// An account that was found: where it is now, and who it is.
package struct LocatedAccount: Equatable, Sendable {
    package let name: String
    package let stableID: StableID?

    package init(name: String, stableID: StableID?) {
        self.name = name
        self.stableID = stableID
    }
}
