/// A value of the settings as it was written, and where it stands. What it means is for the schema to say: `no` is a
/// text where a text is wanted.
struct SettingsNode: Hashable, Sendable {
    indirect enum Content: Hashable, Sendable {
        /// A single value; `isPlain` if it stood without quotes.
        case scalar(String, isPlain: Bool)
        case list([SettingsNode])
        /// Entries in the order in which they were written.
        case mapping([Entry])
    }

    struct Entry: Hashable, Sendable {
        var key: String
        var place: SettingsPlace
        var value: SettingsNode
    }

    var content: Content
    var place: SettingsPlace

    static func empty(at place: SettingsPlace) -> Self {
        Self(content: .mapping([]), place: place)
    }

    /// Nothing was written, or YAML's word for it.
    var isNothing: Bool {
        guard case .scalar(let text, isPlain: true) = content else { return false }
        return ["", "~", "null", "Null", "NULL"].contains(text)
    }

    /// The entries of a mapping; a key with nothing behind it counts as an empty one. `nil` for anything else.
    var entries: [Entry]? {
        if case .mapping(let entries) = content { return entries }
        return isNothing ? [] : nil
    }

    /// The elements of a list; a key with nothing behind it counts as an empty one. `nil` for anything else.
    var elements: [SettingsNode]? {
        if case .list(let elements) = content { return elements }
        return isNothing ? [] : nil
    }

    /// The text of a single value, quoted or not; `nil` for nothing, a list or a mapping.
    var text: String? {
        guard case .scalar(let text, _) = content, !isNothing else { return nil }
        return text
    }

    subscript(key: String) -> SettingsNode? {
        entries?.first { $0.key == key }?.value
    }

    /// Puts `value` under a path of keys, making the mappings on the way. What stood there is gone.
    mutating func set(_ path: some Collection<String>, to value: SettingsNode) {
        guard let key = path.first else {
            self = value
            return
        }
        var entries = self.entries ?? []
        if let index = entries.firstIndex(where: { $0.key == key }) {
            entries[index].value.set(path.dropFirst(), to: value)
        } else {
            var fresh = SettingsNode.empty(at: value.place)
            fresh.set(path.dropFirst(), to: value)
            entries.append(Entry(key: key, place: value.place, value: fresh))
        }
        content = .mapping(entries)
    }

    /// What an issue shows where a mapping or list was wanted: what it is, not what it holds.
    var kind: String {
        guard case .scalar = content, !isNothing else { return shown }
        return "a single value"
    }

    /// What an issue shows of this value: quoted, on one line, at most 60 characters, and never the user information of
    /// a URL, where passwords like to hide.
    var shown: String {
        switch content {
        case .list(let elements): return "a list of \(elements.count)"
        case .mapping: return "a mapping"
        case .scalar where isNothing: return "nothing"
        case .scalar(let text, _):
            var shown = text
            if let start = text.firstRange(of: "//")?.upperBound, let at = text.lastIndex(of: "@"), start <= at {
                shown.replaceSubrange(start..<at, with: "…")
            }
            shown = String(shown.map { $0.isNewline || $0.asciiValue.map { $0 < 32 || $0 == 127 } == true ? " " : $0 })
            return shown.count > 60 ? "\"\(shown.prefix(59))…\"" : "\"\(shown)\""
        }
    }
}
