internal import NIOCore
internal import Synchronization

/// What the connections of an intake share.
struct IntakeShared: Sendable {
    let relays = RelayTable()
    let budget: BodyBudget
    let log: RefusalLog
    /// The users that may connect to a Unix socket; empty: any.
    let peerUIDs: Set<UInt32>
}

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
