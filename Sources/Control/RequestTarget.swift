/// What a command's request line asks for: a path, and a query behind the question mark.
struct RequestTarget {
    /// The values behind the question mark; the first of each name.
    let query: [String: String]
    private let parts: [Substring]

    init(_ uri: String) {
        let halves = uri.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        parts = halves[0].split(separator: "/")
        let pairs = halves.dropFirst().first?.split(separator: "&").map { pair in
            let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (PercentEncoding.decode(sides[0]), PercentEncoding.decode(sides.dropFirst().first ?? ""))
        }
        query = Dictionary(pairs ?? []) { first, _ in first }
    }

    /// The values of the route's `:name` parts; `nil` if it is another path.
    func parameters(of route: String) -> [String: String]? {
        let names = route.split(separator: "/")
        guard names.count == parts.count else { return nil }
        var parameters: [String: String] = [:]
        for (name, part) in zip(names, parts) {
            if name.first == ":" {
                parameters[String(name.dropFirst())] = PercentEncoding.decode(part)
            } else if name != part {
                return nil
            }
        }
        return parameters
    }
}
