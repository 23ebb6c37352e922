internal import NIOCore
internal import Synchronization

/// One relay for each event loop.
final class RelayTable: Sendable {
    private let relays = Mutex<[ObjectIdentifier: CommitRelay]>([:])

    /// The loop's relay. Must be called on the loop.
    func relay(for loop: any EventLoop) -> CommitRelay {
        relays.withLock { relays in
            if let relay = relays[ObjectIdentifier(loop)] { return relay }
            let relay = CommitRelay(loop: loop)
            relays[ObjectIdentifier(loop)] = relay
            return relay
        }
    }
}
