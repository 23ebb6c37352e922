/// Why a test cannot go on.
public struct Failure: Error, CustomStringConvertible {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}

/// Looks again and again until there is something to see, and fails after `limit`.
///
/// - Parameter what: what is waited for, for the failure.
public func eventually<Seen>(
    _ what: @autoclosure () -> String, within limit: Duration = .seconds(60), _ look: () async throws -> Seen?
) async throws -> Seen {
    let end = ContinuousClock.now + limit
    while true {
        if let seen = try await look() { return seen }
        guard ContinuousClock.now < end else { throw Failure("not within \(limit): \(what())") }
        try await Task.sleep(for: .milliseconds(4))
    }
}

/// Waits until a condition holds.
public func eventually(
    _ what: @autoclosure () -> String, within limit: Duration = .seconds(60), _ holds: () async throws -> Bool
) async throws {
    _ = try await eventually(what(), within: limit) { try await holds() ? true : nil }
}
