/// When a state became true at the source, and what orders it among others of the same source.
public struct Version: Hashable, Sendable {
    /// When the state became true; for a credential, its stored creation date. Never later than its receipt.
    public var at: Timestamp
    /// The Keycloak node that says so; `nil` if it did not tell.
    public var node: String?
    /// Counts the events of one node; `nil` if it did not tell.
    public var sequence: UInt64?
    /// Our own counter of receipts: a later one has a larger number. It is the last word where the source has none.
    public var receipt: Int64

    public init(at: Timestamp, node: String?, sequence: UInt64?, receipt: Int64) {
        self.at = at
        self.node = node
        self.sequence = sequence
        self.receipt = receipt
    }
}

/// How a state stands to another of the same lane.
public enum VersionOrder: Hashable, Sendable {
    case older
    case same
    case newer
    /// Newer as far as we can tell: two nodes spoke within ``Version/tolerance``, and the later receipt wins.
    case newerApproximately
}

extension Version {
    /// Clocks of different nodes are not trusted to be closer than this; milliseconds.
    public static let tolerance: Int64 = 5_000

    /// How this state stands to `other`, the newest known one:
    ///
    /// | the two versions | decided by |
    /// |---|---|
    /// | same node, both numbered | sequence |
    /// | one or both without a node or number | receipt |
    /// | different nodes, more than 5 s apart | `at` |
    /// | different nodes, closer | receipt, and the answer is approximate |
    public func order(after other: Version) -> VersionOrder {
        guard let node, let otherNode = other.node, let sequence, let otherSequence = other.sequence else {
            return receipt == other.receipt ? .same : receipt > other.receipt ? .newer : .older
        }
        if node == otherNode {
            return sequence == otherSequence ? .same : sequence > otherSequence ? .newer : .older
        }
        let apart = at - other.at
        guard abs(apart) <= Self.tolerance else { return apart > 0 ? .newer : .older }
        return receipt == other.receipt ? .same : receipt > other.receipt ? .newerApproximately : .older
    }
}
