internal import CRuntimeSync
internal import Glibc
internal import Workbench

/// How a request ended; the numbers of `rts_outcome`.
public enum RequestOutcome: UInt32, Sendable {
    case delivered = 0
    case retry = 1
    case refused = 2
    case misconfigured = 3
    case absent = 4
    case unknown = 5
}

/// What a plugin answered. Nothing is cut: `detail` is as long as the plugin made it.
public struct Completion: Sendable, Equatable {
    /// How the request ended; `nil` for a number that the contract does not have.
    public let outcome: RequestOutcome?
    /// Milliseconds; 0 if the plugin leaves it to the host.
    public let retryAfter: UInt32
    /// The target's own words; empty if there are none.
    public let detail: String
    /// The account's stable id at the target.
    public let account: String?
    /// For a read: a JSON object.
    public let record: String?
}

/// One line that a plugin logged.
public struct LogLine: Sendable, Equatable {
    /// 0 debug, 1 info, 2 warning, 3 error.
    public let level: UInt32
    /// The text.
    public let message: String
}

/// The daemon's end of the contract: keeps what the plugin says and wakes who waits for it.
final class Recorder: Sendable {
    struct Record: Sendable {
        var open: Set<UInt64> = []
        var completions: [UInt64: Completion] = [:]
        var strays: [UInt64] = []
        var logs: [LogLine] = []
        var metrics: [String: Int64] = [:]
    }

    private let record = Watched(Record())

    var snapshot: Record { record.value }

    func expect(_ id: UInt64) {
        record.change { $0.open.insert(id) }
    }

    /// Ends request `id`; `false` if there is no such request.
    func complete(_ id: UInt64, _ completion: Completion) -> Bool {
        record.change { record in
            guard record.open.remove(id) != nil else {
                record.strays.append(id)
                return false
            }
            record.completions[id] = completion
            return true
        }
    }

    func log(_ line: LogLine) {
        record.change { $0.logs.append(line) }
    }

    func count(_ name: String, _ delta: Int64) {
        record.change { $0.metrics[name, default: 0] += delta }
    }

    /// Waits until `look` finds something; `nil` after `limit`.
    func first<T: Sendable>(
        within limit: Duration, _ look: @escaping @Sendable (Record) -> T?
    ) async -> T? {
        await record.first(within: limit, look)
    }

    /// The table that the plugin calls. It and this recorder live as long as the process, as the contract says: a
    /// thread of the plugin may still speak after stop.
    func makeHost() -> UnsafePointer<rts_host> {
        let host = UnsafeMutablePointer<rts_host>.allocate(capacity: 1)
        host.initialize(to: rts_host())
        host.pointee.size = MemoryLayout<rts_host>.size
        host.pointee.abi_major = UInt32(RTS_ABI_MAJOR)
        host.pointee.abi_minor = UInt32(RTS_ABI_MINOR)
        host.pointee.context = Unmanaged.passRetained(self).toOpaque()
        host.pointee.complete = { context, id, completion in
            guard let raw = completion?.pointee else { return -1 }
            let completion = Completion(
                outcome: RequestOutcome(rawValue: raw.outcome), retryAfter: raw.retry_after_ms,
                detail: raw.detail.text ?? "", account: raw.account.text, record: raw.record.text)
            return Recorder.of(context).complete(id, completion) ? 0 : -1
        }
        host.pointee.log = { context, level, message in
            Recorder.of(context).log(LogLine(level: level, message: message.text ?? ""))
        }
        host.pointee.metric = { context, name, delta in Recorder.of(context).count(name.text ?? "", delta) }
        host.pointee.now = { _ in
            var time = timespec()
            clock_gettime(CLOCK_MONOTONIC, &time)
            return UInt64(time.tv_sec) * 1000 + UInt64(time.tv_nsec) / 1_000_000
        }
        host.pointee.extension = { _, _ in nil }
        return UnsafePointer(host)
    }

    private static func of(_ context: UnsafeMutableRawPointer?) -> Recorder {
        guard let context else { preconditionFailure("the plugin passed no context") }
        return Unmanaged<Recorder>.fromOpaque(context).takeUnretainedValue()
    }
}

extension rts_bytes {
    /// The text, or `nil` if the value is absent.
    fileprivate var text: String? {
        data.map { String(decoding: UnsafeBufferPointer(start: $0, count: size), as: UTF8.self) }
    }
}
