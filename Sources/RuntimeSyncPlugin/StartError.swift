/// Why a provider could not start: the settings are unusable. The text reaches the operator.
public struct StartError: Error, Sendable {
    /// Each: the key, what is wrong with it, and what would be accepted. One or more.
    public let reasons: [String]

    public init(_ reason: String) {
        reasons = [reason]
    }

    fileprivate init(_ reasons: [String]) {
        self.reasons = reasons
    }

    /// All of them on one line, numbered if there are several.
    public var reason: String {
        if reasons.count == 1 { return reasons[0] }
        return zip(1..., reasons).map { "(\($0)) \($1)" }.joined(separator: "; ")
    }
}

/// Collects what is wrong with settings, so that the operator is told all of it at once and not one mistake a start.
public struct StartErrors: Sendable {
    private var reasons: [String] = []

    public init() {}

    /// Whether anything was wrong so far.
    public var isEmpty: Bool { reasons.isEmpty }

    /// Everything that was wrong so far; one or more reasons.
    public var all: StartError { StartError(reasons) }

    /// Notes a mistake.
    public mutating func add(_ reason: String) {
        reasons.append(reason)
    }

    /// Notes the mistakes that another part of the settings has.
    public mutating func add(_ error: StartError) {
        reasons += error.reasons
    }

    /// Notes the mistakes that others collected.
    public mutating func add(_ others: StartErrors) {
        reasons += others.reasons
    }

    /// What `body` makes; `nil` if it throws, and its mistakes are noted.
    public mutating func attempt<T: ~Copyable>(_ body: () throws(StartError) -> T) -> T? {
        do {
            return try body()
        } catch {
            add(error)
            return nil
        }
    }

    /// Throws what was noted, if anything was.
    public func check() throws(StartError) {
        if !isEmpty { throw all }
    }
}
