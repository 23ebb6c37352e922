internal import RuntimeSyncPlugin

/// Reads the members of one settings object, and knows at the end which ones nobody asked for.
struct SettingsReader {
    private let place: String
    private var rest: [String: JSON]

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

    mutating func string(_ key: String) throws(StartError) -> String? {
        guard let value = value(key) else { return nil }
        guard let text = value.string else { throw StartError("\(name(key)): a text is accepted") }
        return text
    }

    mutating func bool(_ key: String, default standard: Bool) throws(StartError) -> Bool {
        guard let value = value(key) else { return standard }
        guard let bool = value.bool else { throw StartError("\(name(key)): true or false is accepted") }
        return bool
    }

    mutating func int(_ key: String, default standard: Int, in range: ClosedRange<Int>) throws(StartError) -> Int {
        guard let value = value(key) else { return standard }
        guard let int = value.int, range.contains(int) else {
            throw StartError(
                "\(name(key)): a whole number from \(range.lowerBound) to \(range.upperBound) is accepted")
        }
        return int
    }

    mutating func statuses(_ key: String, in range: ClosedRange<Int>) throws(StartError) -> Set<Int>? {
        guard let value = value(key) else { return nil }
        let statuses = value.array?.map(\.int)
        guard let statuses, statuses.allSatisfy({ $0.map(range.contains) ?? false }) else {
            throw StartError(
                "\(name(key)): a list of statuses from \(range.lowerBound) to \(range.upperBound) is accepted")
        }
        return Set(statuses.compactMap(\.self))
    }

    mutating func headers(_ key: String) throws(StartError) -> [HeaderTemplate] {
        guard let value = value(key) else { return [] }
        guard let members = value.object else { throw StartError("\(name(key)): an object of texts is accepted") }
        var headers: [HeaderTemplate] = []
        for (header, value) in members.sorted(by: { $0.key < $1.key }) {
            let place = "\(name(key)).\(header)"
            guard let text = value.string else { throw StartError("\(place): a text is accepted") }
            headers.append(try HeaderTemplate(name: header, value: text, at: place))
        }
        return headers
    }

    /// Refuses what nobody asked for.
    func finish() throws(StartError) {
        guard let key = rest.keys.min() else { return }
        throw StartError("\(name(key)): there is no such key")
    }
}
