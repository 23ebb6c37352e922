internal import Glibc
internal import RuntimeSyncPlugin

/// Interrupts a wait that has no timeout of its own.
///
/// libldap's TLS handshake is one: with GnuTLS it spins on a socket that does not block, and on one that does it waits
/// for ever. So it gets one that does, and at the deadline the socket is shut down under it.
struct Alarm {
    private let off: Mailbox<Void>
    private let thread: WorkerThread

    /// Calls `ring` at the deadline, on a thread of its own, unless it is turned off before.
    ///
    /// - Parameter deadline: on the host's clock, in milliseconds.
    init?(at deadline: UInt64, host: PluginHost, ring: @escaping @Sendable () -> Void) {
        guard let off = Mailbox<Void>() else { return nil }
        let thread = WorkerThread {
            if !Socket.wait(off.bell, for: POLLIN, until: deadline, host: host) { ring() }
        }
        guard let thread else { return nil }
        self.off = off
        self.thread = thread
    }

    /// No ringing any more. Once only.
    func turnOff() {
        off.post(())
        thread.join()
    }
}
