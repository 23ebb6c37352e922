internal import Glibc
internal import Synchronization

/// Lets the host's thread end whatever the plugin's thread is waiting for on its socket, a TLS handshake included.
final class Lifeline: Sendable {
    private struct State {
        var descriptor: Int32?
        var isCut = false
    }

    private let state = Mutex(State())

    /// This socket is now in use. `false` if the line was cut already.
    func attach(_ descriptor: Int32) -> Bool {
        state.withLock { state in
            state.descriptor = descriptor
            return !state.isCut
        }
    }

    /// The socket is about to be closed; its number may soon be somebody else's.
    func detach() {
        state.withLock { $0.descriptor = nil }
    }

    /// Shuts the socket down that is in use at this moment.
    func interrupt() {
        state.withLock { state in
            if let descriptor = state.descriptor { shutdown(descriptor, Int32(SHUT_RDWR)) }
        }
    }

    /// Shuts the socket down, and lets no other take its place.
    func cut() {
        state.withLock { $0.isCut = true }
        interrupt()
    }
}
