/// One key of the settings: its name, how it is written, and where its value goes. The fields of a type are the single
/// source for reading, for the environment variables, and for the documents (see ``SettingsReference``). The default
/// is what the property holds in a fresh value.
struct Field<Root: Sendable>: Sendable {
    let name: String
    let about: String
    /// It must be written: there is no default.
    let isRequired: Bool
    let read: @Sendable (SettingsNode, inout SettingsReader, inout Root) -> Void
    /// Describes the key and those below it; the default is taken from the value at hand.
    let describe: @Sendable (Root) -> KeyDescription

    /// Reads `node` as a mapping with these fields. Keys that are not written keep what `root` holds.
    static func read(_ fields: [Self], from node: SettingsNode, _ reader: inout SettingsReader, into root: inout Root) {
        reader.remember(node.place)
        guard let entries = node.entries else {
            reader.refuse(
                shapeOf: node, "is not a mapping", accepts: "the keys \(fields.map(\.name).joined(separator: ", "))")
            return
        }
        for entry in entries {
            reader.descend(entry.key) { reader in
                guard let field = fields.first(where: { $0.name == entry.key }) else {
                    // The value is not shown: under a misspelt key it may be a secret.
                    let names = fields.map(\.name)
                    reader.note(
                        SettingsIssue(
                            at: entry.place, key: reader.key, "is not a known key",
                            accepts: names.joined(separator: ", "),
                            hint: NearestName.hint(entry.key, among: names)))
                    return
                }
                reader.remember(entry.value.place)
                field.read(entry.value, &reader, &root)
            }
        }
        for field in fields where field.isRequired && !entries.contains(where: { $0.key == field.name }) {
            reader.descend(field.name) { reader in
                reader.refuse(
                    key: reader.key, "is missing", accepts: field.describe(root).accepts, hint: field.about)
            }
        }
    }
}

/// A key in words, for documents and for the environment.
struct KeyDescription: Sendable {
    let name: String
    let about: String
    let accepts: String
    let isRequired: Bool
    /// As YAML; `nil` for a section.
    let defaultText: String?
    /// Overrides the name of the environment variable that follows from the key's path; empty: it has none.
    let variable: String?
    let shape: KeyShape
    /// The keys below it, for a section, or those of an element, for a list of records.
    let children: [KeyDescription]
    let isRecordList: Bool

    /// A section has no value of its own.
    var isSection: Bool { !children.isEmpty && !isRecordList }
}

extension Field {
    /// A key with a value.
    static func key<Value>(
        _ name: String, _ property: any WritableKeyPath<Root, Value> & Sendable, _ syntax: Syntax<Value>,
        _ about: String, isRequired: Bool = false, variable: String? = nil
    ) -> Self {
        Self(
            name: name, about: about, isRequired: isRequired,
            read: { node, reader, root in
                if let value = syntax.read(node, &reader) { root[keyPath: property] = value }
            },
            describe: { root in
                KeyDescription(
                    name: name, about: about, accepts: syntax.accepts, isRequired: isRequired,
                    defaultText: syntax.write(root[keyPath: property]), variable: variable, shape: syntax.shape,
                    children: [], isRecordList: false)
            })
    }

    /// A mapping of its own.
    static func section<Section>(
        _ name: String, _ property: any WritableKeyPath<Root, Section> & Sendable, _ fields: [Field<Section>],
        _ about: String
    ) -> Self {
        Self(
            name: name, about: about, isRequired: false,
            read: { node, reader, root in
                Field<Section>.read(fields, from: node, &reader, into: &root[keyPath: property])
            },
            describe: { root in
                KeyDescription(
                    name: name, about: about, accepts: "a mapping", isRequired: false, defaultText: nil, variable: nil,
                    shape: .yaml, children: fields.map { $0.describe(root[keyPath: property]) }, isRecordList: false)
            })
    }

    /// A list of mappings.
    static func records<Record>(
        _ name: String, _ property: any WritableKeyPath<Root, [Record]> & Sendable, _ fields: [Field<Record>],
        each fresh: Record, _ about: String
    ) -> Self {
        let accepts = "a list of mappings with the keys \(fields.map(\.name).joined(separator: ", "))"
        return Self(
            name: name, about: about, isRequired: false,
            read: { node, reader, root in
                guard let elements = node.elements else {
                    reader.refuse(shapeOf: node, "is not a list", accepts: accepts)
                    return
                }
                root[keyPath: property] = elements.enumerated().map { index, element in
                    reader.descend(index) { reader in
                        var record = fresh
                        Field<Record>.read(fields, from: element, &reader, into: &record)
                        return record
                    }
                }
            },
            describe: { _ in
                KeyDescription(
                    name: name, about: about, accepts: accepts, isRequired: false, defaultText: "[]", variable: nil,
                    shape: .yaml, children: fields.map { $0.describe(fresh) }, isRecordList: true)
            })
    }
}
