internal import Crypto
public import EventModel
internal import FoundationEssentials
internal import Synchronization

/// What a data key seals. The raw value is stored and never reused.
public enum SealPurpose: UInt8, Hashable, Sendable, CaseIterable {
    /// Passwords that wait for delivery. A new key every hour: its destruction ends what a copy of the disk still has.
    case secret = 1
    /// Event bodies, with the personal attributes in them. A new key every hour, destroyed with the last of its events.
    case body = 2
    /// What is known of subjects and bindings, for as long as they are. A new key every day.
    case state = 3

    fileprivate var hoursPerKey: Int64 {
        self == .state ? 24 : 1
    }
}

/// A data key as the journal stores it: encrypted with a key of the ring.
public struct WrappedKey: Hashable, Sendable {
    /// Stands before all that the key seals: the number of its first hour since 1970, times four, plus the purpose.
    public let id: UInt32
    public let purpose: SealPurpose
    /// The key of the ring that wraps it.
    public let ringKey: UInt32
    public let created: Timestamp
    /// Nonce, ciphertext and tag: 60 bytes.
    public let wrapped: [UInt8]

    /// - Returns: `nil` if `purpose` is one that this version does not know.
    public init?(id: UInt32, purpose: UInt8, ringKey: UInt32, created: Timestamp, wrapped: [UInt8]) {
        guard let purpose = SealPurpose(rawValue: purpose) else { return nil }
        self.init(id: id, purpose: purpose, ringKey: ringKey, created: created, wrapped: wrapped)
    }

    init(id: UInt32, purpose: SealPurpose, ringKey: UInt32, created: Timestamp, wrapped: [UInt8]) {
        self.id = id
        self.purpose = purpose
        self.ringKey = ringKey
        self.created = created
        self.wrapped = wrapped
    }

    fileprivate static func authenticated(
        _ id: UInt32, _ purpose: SealPurpose, _ ringKey: UInt32, _ created: Timestamp
    ) -> [UInt8] {
        [purpose.rawValue] + id.bytes + ringKey.bytes + created.milliseconds.bytes
    }
}

/// Why a stored data key cannot be used.
public enum DataKeyError: Error, Hashable, Sendable {
    /// It is wrapped with a key that the ring does not hold.
    case unknownRingKey(id: UInt32, ringKey: UInt32)
    /// It, or what is stored with it, was changed, or the ring's key of that id is another one.
    case notAuthentic(id: UInt32)
}

extension DataKeyError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .unknownRingKey(let id, let ringKey):
            "data key \(id) is wrapped with key \(ringKey), which the key file does not hold"
        case .notAuthentic(let id):
            "data key \(id) does not open: the key file belongs to another journal, or the journal was damaged"
        }
    }
}

/// The random 256-bit keys that seal secrets and personal data: one for each purpose and hour, so that destroying one
/// ends all that it sealed. Any thread.
public final class DataKeys: Sendable {
    private let ring: KeyRing
    private let persist: @Sendable (WrappedKey) -> Void
    private let state: Mutex<State>

    private struct State {
        var keys: [UInt32: SymmetricKey] = [:]
        /// What marks secrets, derived from the keys when it is first needed.
        var marks: [UInt32: HMAC<SHA256>] = [:]
    }

    /// - Parameters:
    ///   - stored: what the journal holds.
    ///   - persist: gets each new key before anything is sealed with it, and must hand it to the journal at once: then
    ///     no event is committed before its key. Called from the thread that seals, one at a time.
    public init(
        ring: KeyRing, stored: [WrappedKey], persist: @escaping @Sendable (WrappedKey) -> Void
    ) throws(DataKeyError) {
        var state = State()
        for wrapped in stored {
            state.keys[wrapped.id] = try Self.unwrap(wrapped, with: ring)
        }
        self.ring = ring
        self.persist = persist
        self.state = Mutex(state)
    }

    /// The ids of the keys at hand, in ascending order.
    public var ids: [UInt32] {
        state.withLock { $0.keys.keys.sorted() }
    }

    /// The id of the key that seals at a moment. Whatever is smaller, of the same purpose, belongs to the past.
    public static func id(of purpose: SealPurpose, at moment: Timestamp) -> UInt32 {
        let hour = moment.milliseconds / 3_600_000
        return UInt32(truncatingIfNeeded: (hour - hour % purpose.hoursPerKey) << 2) | UInt32(purpose.rawValue)
    }

    /// Destroys a key in memory; deleting its row from the journal is the caller's. What it sealed is lost.
    public func forget(_ id: UInt32) {
        state.withLock { state in
            state.keys[id] = nil
            state.marks[id] = nil
        }
    }

    /// An HMAC after its key, which is derived from a data key (HKDF-SHA256, RFC 5869) and goes with it.
    func marking(_ id: UInt32) -> HMAC<SHA256>? {
        state.withLock { state in
            if let known = state.marks[id] { return known }
            guard let key = state.keys[id] else { return nil }
            let marking = HMAC<SHA256>(
                key: HKDF<SHA256>.deriveKey(
                    inputKeyMaterial: key, info: Array("runtime-sync mark".utf8), outputByteCount: 32))
            state.marks[id] = marking
            return marking
        }
    }

    func key(_ id: UInt32) -> SymmetricKey? {
        state.withLock { $0.keys[id] }
    }

    func sealingKey(for purpose: SealPurpose, at moment: Timestamp) -> (id: UInt32, key: SymmetricKey) {
        let id = Self.id(of: purpose, at: moment)
        return state.withLock { state in
            if let key = state.keys[id] { return (id, key) }
            let key = SymmetricKey(size: .bits256)
            persist(wrap(key, id: id, purpose: purpose, created: moment))
            state.keys[id] = key
            return (id, key)
        }
    }

    private func wrap(_ key: SymmetricKey, id: UInt32, purpose: SealPurpose, created: Timestamp) -> WrappedKey {
        let context = WrappedKey.authenticated(id, purpose, ring.current, created)
        guard let wrapping = ring.key(ring.current),
            let box = try? key.withUnsafeBytes({ try AES.GCM.seal($0, using: wrapping, authenticating: context) }),
            let combined = box.combined
        else { fatalError("AES-GCM does not seal") }
        return WrappedKey(
            id: id, purpose: purpose, ringKey: ring.current, created: created, wrapped: Array(combined))
    }

    private static func unwrap(_ stored: WrappedKey, with ring: KeyRing) throws(DataKeyError) -> SymmetricKey {
        guard let wrapping = ring.key(stored.ringKey) else {
            throw .unknownRingKey(id: stored.id, ringKey: stored.ringKey)
        }
        let context = WrappedKey.authenticated(stored.id, stored.purpose, stored.ringKey, stored.created)
        guard stored.wrapped.count == 60, let box = try? AES.GCM.SealedBox(combined: stored.wrapped),
            var bytes = try? AES.GCM.open(box, using: wrapping, authenticating: context)
        else { throw .notAuthentic(id: stored.id) }
        defer { bytes.withUnsafeMutableBytes { $0.wipe() } }
        return SymmetricKey(data: bytes)
    }
}

extension FixedWidthInteger {
    /// The bytes in network order.
    var bytes: [UInt8] {
        withUnsafeBytes(of: bigEndian, Array.init)
    }
}
