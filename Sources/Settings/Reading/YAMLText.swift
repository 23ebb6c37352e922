internal import Yams

/// The one place that knows YAML: turns a text into values with their places. A text that is not YAML, or writes a key
/// twice, becomes issues with file and line; what can be read is read all the same.
struct YAMLText: Sendable {
    /// So many values are read at most. Settings have hundreds; a text of nested aliases can grow to billions.
    static let maximumValues = 100_000

    let text: String
    /// Where line and column belong: a file's path, or a variable.
    let origin: SettingsPlace

    /// Reads the text.
    ///
    /// - Returns: `nil` if it cannot be read at all, with an issue that says where.
    func read(_ issues: inout [SettingsIssue]) -> SettingsNode? {
        // Yams stops at the first key that stands twice. So that the rest is still checked, the first of the two gets a
        // name from Unicode's private use area, of the same length so that every column stays, and is found again below.
        var text = text
        var renamed: [String: String] = [:]
        while true {
            do {
                guard let root = try Parser(yaml: text, encoding: .utf8).singleRoot() else {
                    return .empty(at: place(nil))
                }
                var budget = Self.maximumValues
                guard let node = convert(root, at: "", renamed, &budget, &issues) else {
                    issues.append(SettingsIssue(at: place(nil), key: "", "has more than \(Self.maximumValues) values"))
                    return nil
                }
                return node
            } catch YamlError.duplicatedKeysInMapping(let names, let context) {
                guard let name = names.first, let stand = UnicodeScalar(0xE000 + renamed.count), renamed.count < 256,
                    let changed = Self.rename(name, at: context.mark, to: stand, in: text)
                else {
                    issues.append(SettingsIssue(at: place(context.mark), key: names.first ?? "", "stands twice"))
                    return nil
                }
                renamed[String(repeating: Character(stand), count: name.unicodeScalars.count)] = name
                text = changed
            } catch {
                issues.append(issue(error))
                return nil
            }
        }
    }

    private func convert(
        _ node: Node, at path: String, _ renamed: [String: String], _ budget: inout Int, _ issues: inout [SettingsIssue]
    ) -> SettingsNode? {
        budget -= 1
        guard budget > 0 else { return nil }
        switch node {
        case .scalar(let scalar):
            return SettingsNode(
                content: .scalar(scalar.string, isPlain: scalar.style == .plain), place: place(scalar.mark))
        case .sequence(let sequence):
            var elements: [SettingsNode] = []
            for (index, element) in sequence.enumerated() {
                let path = "\(path)[\(index)]"
                guard let converted = convert(element, at: path, renamed, &budget, &issues) else { return nil }
                elements.append(converted)
            }
            return SettingsNode(content: .list(elements), place: place(sequence.mark))
        case .mapping(let mapping):
            var entries: [SettingsNode.Entry] = []
            var standsFirst: [String: SettingsPlace] = [:]
            for (keyNode, valueNode) in mapping {
                let place = place(keyNode.mark)
                guard let key = keyNode.scalar?.string else {
                    issues.append(
                        SettingsIssue(at: place, key: path, "has a list or mapping for a key", accepts: "a text"))
                    continue
                }
                let name = renamed[key] ?? key
                let keyPath = path.isEmpty ? name : "\(path).\(name)"
                if let first = standsFirst[name] {
                    issues.append(SettingsIssue(at: place, key: keyPath, "stands twice; the first is at \(first)"))
                }
                standsFirst[name] = standsFirst[name] ?? place
                guard renamed[key] == nil else { continue }
                guard let value = convert(valueNode, at: keyPath, renamed, &budget, &issues) else { return nil }
                entries.append(SettingsNode.Entry(key: key, place: place, value: value))
            }
            return SettingsNode(content: .mapping(entries), place: place(mapping.mark))
        case .alias(let alias):
            // The parser puts the value in an alias's place, so this is for a tree made by hand only.
            return SettingsNode(content: .scalar("", isPlain: true), place: place(alias.mark))
        }
    }

    /// Replaces the key `name` at `mark`; `nil` if the text there does not spell it plainly.
    private static func rename(_ name: String, at mark: Mark, to stand: UnicodeScalar, in text: String) -> String? {
        var scalars = Array(text.unicodeScalars)
        let wanted = Array(name.unicodeScalars)
        guard !wanted.isEmpty, var index = offset(of: mark, in: scalars) else { return nil }
        if index < scalars.count, scalars[index] == "\"" || scalars[index] == "'" { index += 1 }
        guard index + wanted.count <= scalars.count, scalars[index..<index + wanted.count].elementsEqual(wanted) else {
            return nil
        }
        scalars.replaceSubrange(index..<index + wanted.count, with: repeatElement(stand, count: wanted.count))
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return String(view)
    }

    private static func offset(of mark: Mark, in scalars: [UnicodeScalar]) -> Int? {
        var line = 1
        var index = 0
        while line < mark.line {
            guard let end = scalars[index...].firstIndex(of: "\n") else { return nil }
            index = end + 1
            line += 1
        }
        return index + mark.column - 1
    }

    private func place(_ mark: Mark?) -> SettingsPlace {
        guard case .file(let path, _, _) = origin else { return origin }
        return .file(path, line: mark?.line ?? 1, column: mark?.column ?? 1)
    }

    /// The parser's own words, which name the rule and never the text. Its errors carry the whole file: they go no
    /// further than this.
    private func issue(_ error: any Error) -> SettingsIssue {
        let (problem, place): (String, SettingsPlace) =
            switch error {
            case YamlError.scanner(_, let problem, let mark, _), YamlError.parser(_, let problem, let mark, _),
                YamlError.composer(_, let problem, let mark, _):
                (problem, place(mark))
            case YamlError.reader(let problem, let offset?, _, let yaml):
                (problem, place(ofCharacter: offset, in: yaml))
            default: ("it cannot be read", place(nil))
            }
        return SettingsIssue(
            at: place, key: "", "is not YAML: \(problem)",
            hint: "indent with spaces; quote texts that hold `: ` or ` #`, or begin with a sign such as * & ! % @")
    }

    private func place(ofCharacter offset: Int, in text: String) -> SettingsPlace {
        guard case .file(let path, _, _) = origin else { return origin }
        let before = text.prefix(offset)
        let lineStart = before.lastIndex(where: \.isNewline).map { before.index(after: $0) } ?? before.startIndex
        return .file(
            path, line: before.count(where: \.isNewline) + 1, column: before[lineStart...].unicodeScalars.count + 1)
    }
}
