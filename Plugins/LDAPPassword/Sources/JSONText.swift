internal import FoundationEssentials

/// A JSON object, attribute to array of strings.
func json(_ values: [String: [String]]) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return (try? encoder.encode(values)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
}
