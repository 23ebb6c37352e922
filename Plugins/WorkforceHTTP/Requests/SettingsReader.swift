internal import RuntimeSyncPlugin

/// Reads the members of one settings object; knows at the end which ones nobody asked for, and everything that is wrong.
struct SettingsReader {
    private let place: String
    private var rest: [String: JSON]
    var errors = StartErrors()

    /// - Parameter place: the key of the object, for errors; empty for the whole settings.
    init(_ json: JSON, at place: String) throws(StartError) {
        guard let members = json.object else {
            throw StartError("\(place.isEmpty ? "settings" : place): an object is accepted")
        }
        self.place = place
        rest = members
    }

    /// The full name of a key.
    func name(_ key: String) -> String {
        place.isEmpty ? key : "\(place).\(key)"
    }

    mutating func value(_ key: String) -> JSON? {
        rest.removeValue(forKey: key)
    }

    mutating func string(_ key: String) -> String? {
        guard let value = value(key) else { return nil }
        if let text = value.string { return text }
        errors.add("\(name(key)): a text is accepted")
        return nil
    }

    /// A text that is needed, as `understand` takes it at its place; `nil` if there is none or it is not understood.
    mutating func understood<T>(
        _ key: String, needed: StaticString, as understand: (String, String) throws(StartError) -> T
    ) -> T? {
        let place = name(key)
        guard rest[key] != nil else {
            errors.add("\(place): needed, such as \(needed)")
            return nil
        }
        guard let text = string(key) else { return nil }
        return errors.attempt { () throws(StartError) in try understand(text, place) }
    }

    mutating func bool(_ key: String, default standard: Bool) -> Bool {
        guard let value = value(key) else { return standard }
        if let bool = value.bool { return bool }
        errors.add("\(name(key)): true or false is accepted")
        return standard
    }

    mutating func int(_ key: String, default standard: Int, in range: ClosedRange<Int>) -> Int {
        guard let value = value(key) else { return standard }
        if let int = value.int, range.contains(int) { return int }
        errors.add("\(name(key)): a whole number from \(range.lowerBound) to \(range.upperBound) is accepted")
        return standard
    }

    mutating func statuses(_ key: String, in range: ClosedRange<Int>) -> Set<Int>? {
        guard let value = value(key) else { return nil }
        if let statuses = value.array?.map(\.int), statuses.allSatisfy({ $0.map(range.contains) ?? false }) {
            return Set(statuses.compactMap(\.self))
        }
        errors.add("\(name(key)): a list of statuses from \(range.lowerBound) to \(range.upperBound) is accepted")
        return nil
    }

    mutating func headers(_ key: String) -> [HeaderTemplate] {
        guard let value = value(key) else { return [] }
        guard let members = value.object else {
            errors.add("\(name(key)): an object of texts is accepted")
            return []
        }
        var headers: [HeaderTemplate] = []
        for (header, value) in members.sorted(by: { $0.key < $1.key }) {
            let place = "\(name(key)).\(header)"
            let template = errors.attempt { () throws(StartError) in
                guard let text = value.string else { throw StartError("\(place): a text is accepted") }
                return try HeaderTemplate(name: header, value: text, at: place)
            }
            if let template { headers.append(template) }
        }
        return headers
    }

    /// Refuses what nobody asked for.
    mutating func finish() {
        for key in rest.keys.sorted() { errors.add("\(name(key)): there is no such key") }
    }
}
