/// Finds what somebody meant who wrote `jurnal`.
enum NearestName: Sendable {
    /// The candidate with the fewest slips of the pen between it and `name`: a letter too many, too few, another one, or
    /// two that changed places. Capital letters, `-` and `_` do not count as slips.
    ///
    /// - Returns: `nil` if none is near: more than one slip for every three letters.
    static func of(_ name: String, among candidates: some Sequence<String>) -> String? {
        let wanted = folded(name)
        let best = candidates.map { (candidate: $0, slips: slips(wanted, folded($0))) }
            .min { ($0.slips, $0.candidate) < ($1.slips, $1.candidate) }
        guard let best, best.slips <= max(1, wanted.count / 3) else { return nil }
        return best.candidate
    }

    /// The hint that goes with an unknown name.
    static func hint(_ name: String, among candidates: some Sequence<String>) -> String? {
        of(name, among: candidates).map { "did you mean `\($0)`?" }
    }

    private static func folded(_ name: String) -> [Character] {
        name.lowercased().map { $0 == "-" ? "_" : $0 }
    }

    /// The distance of Damerau and Levenshtein in its restricted form (optimal string alignment).
    private static func slips(_ one: [Character], _ other: [Character]) -> Int {
        var beforeLast: [Int] = []
        var last = Array(0...other.count)
        for (i, letter) in one.enumerated() {
            var row = [i + 1]
            for (j, otherLetter) in other.enumerated() {
                var slips = min(row[j] + 1, last[j + 1] + 1, last[j] + (letter == otherLetter ? 0 : 1))
                if i > 0, j > 0, letter == other[j - 1], one[i - 1] == otherLetter {
                    slips = min(slips, beforeLast[j - 1] + 1)
                }
                row.append(slips)
            }
            beforeLast = last
            last = row
        }
        return last[other.count]
    }
}
