internal import CRuntimeSync

/// How a request ended; see `rts_outcome` in `runtime_sync.h`.
public enum Outcome: UInt32, Sendable {
    case delivered = 0
    case retry = 1
    case refused = 2
    case misconfigured = 3
    case absent = 4
    case unknown = 5
}

/// How loud a log line is.
public enum LogLevel: UInt32, Sendable {
    case debug = 0
    case info = 1
    case warning = 2
    case error = 3
}

/// The answer to a request.
public struct Completion: Sendable, Equatable {
    /// How it ended.
    public var outcome: Outcome
    /// Not to be tried again before; milliseconds; 0 leaves it to the host. Only with ``Outcome/retry``.
    public var retryAfter: UInt32
    /// The target's own words. Never a secret.
    public var detail: String
    /// The account's stable id at the target, if it is known.
    public var account: String?
    /// For a read: a JSON object, attribute to array of strings.
    public var record: String?

    public init(
        _ outcome: Outcome, detail: String = "", account: String? = nil, retryAfter: UInt32 = 0, record: String? = nil
    ) {
        self.outcome = outcome
        self.retryAfter = retryAfter
        self.detail = detail
        self.account = account
        self.record = record
    }
}

/// The daemon, as a plugin sees it. Lives as long as the process; every call may be made from any thread.
public struct PluginHost: @unchecked Sendable {  // the table is immutable and its functions are [any thread]
    private let host: UnsafePointer<rts_host>

    init(_ host: UnsafePointer<rts_host>) {
        self.host = host
    }

    /// Ends request `id`.
    ///
    /// - Returns: `false` if there is no such request: it ended, or was cancelled and given up.
    @discardableResult
    public func complete(_ id: UInt64, _ completion: Completion) -> Bool {
        guard let complete = host.pointee.complete else { return false }
        var answer = rts_completion()
        answer.size = MemoryLayout<rts_completion>.size
        answer.outcome = completion.outcome.rawValue
        answer.retry_after_ms = completion.retryAfter
        return lend(completion.detail) { detail in
            lend(completion.account) { account in
                lend(completion.record) { record in
                    answer.detail = detail
                    answer.account = account
                    answer.record = record
                    return complete(host.pointee.context, id, &answer) == 0
                }
            }
        }
    }

    /// Does something that ends many requests; what it tells the host crosses to the daemon at once, when it is done. Not
    /// for a body that waits for anything.
    public func together<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        guard let table = host.pointee.extension?(host.pointee.context, RTS_BATCH) else { return try body() }
        let batch = table.assumingMemoryBound(to: rts_batch.self).pointee
        batch.begin?(host.pointee.context)
        defer { batch.end?(host.pointee.context) }
        return try body()
    }

    /// Writes one line to the daemon's log. Never a secret.
    public func log(_ level: LogLevel, _ message: String) {
        lend(message) { host.pointee.log?(host.pointee.context, level.rawValue, $0) }
    }

    /// Adds to a counter that the daemon publishes for this provider. `name` is of `[a-z0-9_]+`.
    public func count(_ name: String, _ delta: Int64 = 1) {
        lend(name) { host.pointee.metric?(host.pointee.context, $0, delta) }
    }

    /// Milliseconds of a clock that never goes back.
    public var now: UInt64 {
        host.pointee.now?(host.pointee.context) ?? 0
    }
}

private func lend<R>(_ text: String?, _ body: (rts_bytes) -> R) -> R {
    guard var text else { return body(rts_bytes(data: nil, size: 0)) }
    return text.withUTF8 { utf8 in
        // An empty string may have no storage at all, but absent and empty are two things to the host.
        var nothing: UInt8 = 0
        return withUnsafePointer(to: &nothing) { body(rts_bytes(data: utf8.baseAddress ?? $0, size: utf8.count)) }
    }
}
