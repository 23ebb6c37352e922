internal import Synchronization

/// The memory that bodies may take while they are received, for all connections together: nobody has shown a signature
/// by then, so a crowd must not be able to take more. Any thread.
final class BodyBudget: Sendable {
    private let limit: Int
    private let taken = Atomic(0)

    /// - Parameter limit: bytes.
    init(limit: Int) {
        self.limit = limit
    }

    /// Whether so many bytes were still there; then they are taken.
    func take(_ bytes: Int) -> Bool {
        let total = taken.add(bytes, ordering: .relaxed).newValue
        guard total > limit else { return true }
        give(bytes)
        return false
    }

    func give(_ bytes: Int) {
        taken.subtract(bytes, ordering: .relaxed)
    }
}
