internal import Crypto
internal import EventModel
internal import FoundationEssentials

/// The installation's own keys. Whoever has them and the journal can read every waiting password; whoever lost them
/// can read none.
///
/// They stand in one small text file that only the daemon's user can read:
///
/// ```
/// runtime-sync keys 1
/// hash BASE64
/// key 1 2026-11-21T22:10:00.000Z BASE64
/// current 1
/// ```
///
/// `key` lines (id, creation, 32 bytes) wrap the data keys; new ones are wrapped with the `current` one, and the others
/// stay until nothing is wrapped with them. The `hash` key (32 bytes) makes the keyed hashes by which the journal finds
/// rows again, so it never changes.
public struct KeyRing: Sendable {
    /// The key that wraps new data keys.
    public let current: UInt32
    private let keys: [UInt32: SymmetricKey]
    private let hashKey: SymmetricKey

    /// The ids of all its keys, in ascending order.
    public var ids: [UInt32] { keys.keys.sorted() }

    func key(_ id: UInt32) -> SymmetricKey? {
        keys[id]
    }

    /// A key for one use, derived from the `hash` key (HKDF-SHA256, RFC 5869) with the use as its info.
    func derivedKey(for use: String) -> SymmetricKey {
        HKDF<SHA256>.deriveKey(
            inputKeyMaterial: hashKey, info: Array("runtime-sync \(use)".utf8), outputByteCount: 32)
    }
}

// The text of the file.
extension KeyRing {
    private static let title = "runtime-sync keys 1"
    private static let keySize = 32

    /// Where the text is wrong, and what would be right. It tells nothing of what it holds.
    struct FormatError: Error, Hashable {
        let line: Int
        let expected: String
    }

    /// The text of a new ring with one key. The caller wipes it.
    static func newText(at now: Timestamp) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(512)  // so that growing leaves no copy behind
        text += "\(title)\nhash ".utf8
        SymmetricKey(size: .bits256).withUnsafeBytes { Base64.encode($0, into: &text) }
        text += "\nkey 1 \(now) ".utf8
        SymmetricKey(size: .bits256).withUnsafeBytes { Base64.encode($0, into: &text) }
        text += "\ncurrent 1\n".utf8
        return text
    }

    init(parsing text: UnsafeRawBufferPointer) throws(FormatError) {
        var keys: [UInt32: SymmetricKey] = [:]
        var hashKey: SymmetricKey?
        var current: UInt32?
        var number = 0
        for line in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            number += 1
            if number == 1 {
                guard line.elementsEqual(Self.title.utf8) else {
                    throw FormatError(line: 1, expected: "'\(Self.title)'")
                }
                continue
            }
            if line.isEmpty { continue }
            let fields = line.split(separator: UInt8(ascii: " "))
            switch fields.first.map({ String(decoding: $0, as: UTF8.self) }) {
            case "hash" where fields.count == 2 && hashKey == nil:
                hashKey = try Self.key(fields[1], line: number)
            case "key" where fields.count == 4 && Timestamp(rfc3339: fields[2]) != nil:
                guard let id = Self.id(fields[1]), keys[id] == nil else {
                    throw FormatError(line: number, expected: "a key id (1 or more) that no other line has")
                }
                keys[id] = try Self.key(fields[3], line: number)
            case "current" where fields.count == 2 && current == nil:
                current = Self.id(fields[1])
            default:
                throw FormatError(
                    line: number, expected: "'hash BASE64' (once), 'key ID TIME BASE64' or 'current ID' (once)")
            }
        }
        guard let hashKey else { throw FormatError(line: number, expected: "a line 'hash BASE64'") }
        guard let current, keys[current] != nil else {
            throw FormatError(line: number, expected: "a line 'current ID' with the id of a key")
        }
        self.keys = keys
        self.hashKey = hashKey
        self.current = current
    }

    private static func id(_ field: Slice<UnsafeRawBufferPointer>) -> UInt32? {
        UInt32(String(decoding: field, as: UTF8.self)).flatMap { $0 > 0 ? $0 : nil }
    }

    private static func key(
        _ field: Slice<UnsafeRawBufferPointer>, line: Int
    ) throws(FormatError) -> SymmetricKey {
        guard let bytes = Base64.decode(UnsafeRawBufferPointer(rebasing: field)), bytes.count == keySize else {
            throw FormatError(line: line, expected: "\(keySize) bytes in Base64")
        }
        return bytes.withUnsafeBytes { SymmetricKey(data: $0) }
    }
}
