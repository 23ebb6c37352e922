internal import CWorkerProtocol
public import NIOCore
internal import Synchronization

/// Takes the passwords that a worker was sent out of what its plugin says.
///
/// It keeps none of them: a ``RollingHash`` of each, at a point that no other redactor has, is enough to find it again.
/// It remembers each until its request has ended, and the latest beyond that, for a plugin may speak of a password after it
/// has completed the request. A password is found as it is and in each way of ``Reading``; what a plugin hides otherwise, or
/// tells in pieces, is not. Any thread.
public final class Redactor: Sendable {
    /// What stands in the place of a password.
    public static let mark = "[redacted]"
    /// A shorter password is found everywhere by chance: cut out, it would show where it was. If such a one stands in
    /// the words, none of them are told.
    private static let shortestCut = 4
    /// An escape takes at most so many bytes for one: `&#x000027;`.
    private static let widestEscape = 10
    /// So far beyond its limit a text is looked at.
    private static let furthestLook = 64 << 10

    private struct Known: Hashable {
        var count: Int
        var hash: UInt64
    }

    private struct State {
        /// How often each is known, by the number of its bytes and its hash.
        var counts: [Int: [UInt64: Int]] = [:]
        /// By the request's id.
        var outstanding: [UInt64: Known] = [:]
        /// Of requests that have ended: a ring, once it is full.
        var latest: [Known] = []
        var next = 0
    }

    private let hash = RollingHash()
    private let capacity: Int
    private let state = Mutex(State())

    /// - Parameter capacity: so many passwords are remembered beyond the end of their requests, the latest; 1 or more.
    public init(capacity: Int) {
        self.capacity = capacity
    }

    /// Remembers the secrets of requests that are about to be sent, until ``ended(_:)`` and a while longer.
    ///
    /// - Parameter frames: lent: any number of whole frames, as they were written here.
    public func remember(secretsOf frames: ByteBuffer) {
        forEachSecret(of: frames) { id, secret in
            let known = Known(count: secret.count, hash: hash(secret))
            state.withLock { state in
                end(id, &state)
                state.outstanding[id] = known
                state.counts[known.count, default: [:]][known.hash, default: 0] += 1
            }
        }
    }

    /// The request has ended, and the words of its completion were read.
    public func ended(_ id: UInt64) {
        state.withLock { end(id, &$0) }
    }

    /// No request that was sent will be completed any more.
    public func allEnded() {
        state.withLock { state in
            for id in state.outstanding.keys.sorted() { end(id, &state) }
        }
    }

    private func end(_ id: UInt64, _ state: inout State) {
        guard let known = state.outstanding.removeValue(forKey: id) else { return }
        guard state.latest.count == capacity else { return state.latest.append(known) }
        Self.forget(state.latest[state.next], &state)
        state.latest[state.next] = known
        state.next = (state.next + 1) % capacity
    }

    /// Remembers a secret of the provider itself, for as long as this lives.
    public func keep(_ secret: UnsafeRawBufferPointer) {
        guard !secret.isEmpty else { return }
        let hash = hash(secret)
        state.withLock { $0.counts[secret.count, default: [:]][hash, default: 0] += 1 }
    }

    /// What a plugin said, fit for logs and lists: without passwords, cut to `limit` bytes at the end of a character, and
    /// mended by ``wordsForPeople(_:)``.
    public func words(_ bytes: some Collection<UInt8>, atMost limit: Int) -> String {
        let known = state.withLock(\.counts)
        // A password that begins before the cut would otherwise lose its end there and not be known again.
        let look = min(Self.widestEscape * (known.keys.max() ?? 0), Self.furthestLook)
        let text = Array(bytes.prefix(limit + 1 + look))
        // What lies beyond was only looked at: it does not move up when a mark takes less room than its password.
        var shown = Self.cut(text, to: limit)
        if let shortest = known.keys.min(), text.count >= shortest {
            for secret in secrets(in: text, known).reversed() where secret.lowerBound < shown.endIndex {
                guard secret.count >= Self.shortestCut else { return Self.mark }
                shown.replaceSubrange(secret.clamped(to: shown.indices), with: Self.mark.utf8)
            }
        }
        return wordsForPeople(Self.cut(Array(shown), to: limit))
    }

    /// Whether a text repeats a password; a very short one, which is found everywhere by chance, is not looked for.
    public func finds(in text: some Collection<UInt8>) -> Bool {
        let known = state.withLock(\.counts).filter { $0.key >= Self.shortestCut }
        return !secrets(in: Array(text), known).isEmpty
    }

    /// Where secrets stand, in order; those that touch or overlap are one.
    private func secrets(in text: [UInt8], _ known: [Int: [UInt64: Int]]) -> [Range<Int>] {
        var found: [Range<Int>] = []
        for (index, reading) in Reading.all(of: text).enumerated() {
            for (count, hashes) in known where count <= reading.bytes.count {
                // In an encoding, a few bytes are found by chance even where nothing is encoded.
                guard index == 0 || count >= Self.shortestCut else { continue }
                for start in hash.places(count: count, in: reading.bytes, where: { hashes[$0] != nil }) {
                    found.append(reading.source(of: start..<start + count))
                }
            }
        }
        return found.sorted { $0.lowerBound < $1.lowerBound }.reduce(into: []) { merged, range in
            if let last = merged.last, last.upperBound >= range.lowerBound {
                merged[merged.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
    }

    private static func forget(_ known: Known, _ state: inout State) {
        guard let uses = state.counts[known.count]?[known.hash] else { return }
        state.counts[known.count]?[known.hash] = uses > 1 ? uses - 1 : nil
        if state.counts[known.count]?.isEmpty == true { state.counts[known.count] = nil }
    }

    private static func cut(_ text: [UInt8], to limit: Int) -> ArraySlice<UInt8> {
        guard text.count > limit else { return text[...] }
        // Not in the middle of a character, which has at most three bytes after its first.
        let end = limit - text[...limit].suffix(4).reversed().prefix { $0 & 0xc0 == 0x80 }.count
        return text[..<end]
    }

    /// The layout stands in worker_protocol.h: a request's secret is the last of its seven fields.
    private func forEachSecret(of frames: ByteBuffer, _ body: (UInt64, UnsafeRawBufferPointer) -> Void) {
        frames.withUnsafeReadableBytes { bytes in
            var rest = bytes[...]
            func number(at place: Int) -> Int {
                Int(UnsafeRawBufferPointer(rebasing: rest[place...]).loadUnaligned(as: UInt32.self))
            }
            let headerSize = MemoryLayout<rtw_frame>.size
            let requests = [RTW_DELIVER, RTW_VERIFY, RTW_READ].map { UInt8($0.rawValue) }
            while rest.count >= headerSize {
                let end = rest.startIndex + headerSize + number(at: rest.startIndex)
                if requests.contains(rest[rest.startIndex + 4]) {
                    var field = rest.startIndex + headerSize + 4 * 4
                    for _ in 0..<6 { field += 4 + (number(at: field) == Int(RTW_ABSENT) ? 0 : number(at: field)) }
                    let size = number(at: field)
                    if size != Int(RTW_ABSENT), size > 0 {
                        let id = UnsafeRawBufferPointer(rebasing: rest).loadUnaligned(
                            fromByteOffset: 8, as: UInt64.self)
                        body(id, UnsafeRawBufferPointer(rebasing: rest[field + 4..<field + 4 + size]))
                    }
                }
                rest = rest[end...]
            }
        }
    }
}
