import Credentials
import EventModel
import Synchronization

let noon = Timestamp(milliseconds: 1_800_014_400_000)

/// Collects what a journal would store.
final class KeyStore: Sendable {
    private let stored = Mutex<[WrappedKey]>([])

    var keys: [WrappedKey] { stored.withLock(\.self) }

    func add(_ key: WrappedKey) {
        stored.withLock { $0.append(key) }
    }
}
