/// The newest accepted version of one state, and what else must be remembered so that nothing older comes back.
///
/// ``Version/order(after:)`` alone would not do: it compares two versions, and two nodes whose clocks nearly agree are
/// ordered by receipt. So `A5, B1, A4`, received in this order within seconds, would end with A4, though A itself said
/// that A5 is newer; and states that arrive late, each within the tolerance of the one before, would walk back in time
/// step by step. Therefore the mark remembers the last number heard from each node, and the latest moment it ever held.
public struct HighWaterMark: Hashable, Sendable {
    /// The newest accepted version, except that its moment is the latest of all accepted ones.
    public private(set) var version: Version
    /// The last number heard from each node; whoever was heard last stands at the end.
    private(set) var nodes: [NodeNumber] = []

    /// So many nodes are remembered. An older state of a node could come back only after as many others have changed the
    /// same state of the same subject.
    public static let rememberedNodes = 8

    struct NodeNumber: Hashable, Sendable {
        var node: String
        var sequence: UInt64
    }

    /// A mark at the first version.
    public init(_ version: Version) {
        self.version = version
        note(version)
    }

    init(version: Version, nodes: [NodeNumber]) {
        self.version = version
        self.nodes = nodes
    }

    /// How a version stands to all that were heard.
    public func order(of candidate: Version) -> VersionOrder {
        if let node = candidate.node, let sequence = candidate.sequence,
            let heard = nodes.first(where: { $0.node == node }), sequence <= heard.sequence
        {
            return candidate.receipt == version.receipt ? .same : .older
        }
        return candidate.order(after: version)
    }

    /// Hears of a version, and rises to it if it is newer.
    public mutating func hear(_ candidate: Version) -> VersionOrder {
        let order = order(of: candidate)
        note(candidate)
        switch order {
        case .older, .same: break
        case .newer, .newerApproximately:
            let latest = max(version.at, candidate.at)
            version = candidate
            version.at = latest
        }
        return order
    }

    private mutating func note(_ version: Version) {
        guard let node = version.node, let sequence = version.sequence else { return }
        var number = NodeNumber(node: node, sequence: sequence)
        if let index = nodes.firstIndex(where: { $0.node == node }) {
            number.sequence = max(sequence, nodes.remove(at: index).sequence)
        } else if nodes.count == Self.rememberedNodes {
            nodes.removeFirst()
        }
        nodes.append(number)
    }
}
