internal import CSpawn
internal import Glibc
internal import Synchronization
internal import Threads

/// Makes the worker processes, waits for them and kills them, all on one thread that lives as long as the daemon.
///
/// One thread, because a worker dies with the thread that made it (`PR_SET_PDEATHSIG` in prctl(2)), and because only
/// who reaps a process knows that its number is still its own. The daemon has one spawner and never gives it up; nobody
/// else in the daemon may wait for children.
public final class Spawner: Sendable {
    /// Asks for one process. Its descriptors are closed here once the worker has them.
    struct Order: Sendable {
        var executable: String
        var provider: String
        var output: Descriptor
        var frames: Descriptor
        var broker: Descriptor
        var plugin: Descriptor
        var lockdown: Descriptor
        var files: [Descriptor]
        /// Called once, on the spawner's thread, with the process or with why there is none.
        var spawned: @Sendable (Result<WorkerProcess, SystemError>) -> Void
        /// Called once after that, on the spawner's thread, when the process has ended and is reaped.
        var exited: @Sendable (ExitStatus) -> Void
    }

    private enum Request: Sendable {
        case spawn(Order)
        case kill(WorkerProcess)
    }

    private let inbox = Mutex<[Request]>([])
    /// Rung with a byte; the thread listens at the other end.
    private let bell: Descriptor
    private let ear: Descriptor

    public init() throws {
        (ear, bell) = try Descriptor.pair(SOCK_STREAM)
        try SystemThread.detached("spawner") { [self] in run() }
    }

    func spawn(_ order: Order) {
        post(.spawn(order))
    }

    /// SIGKILL; of no effect once the process is reaped.
    func kill(_ process: WorkerProcess) {
        post(.kill(process))
    }

    private func post(_ request: Request) {
        inbox.withLock { $0.append(request) }
        // A bell whose buffer is full is ringing already.
        send(bell.number, [1], 1, Int32(MSG_DONTWAIT | MSG_NOSIGNAL))
    }

    // MARK: On the thread

    private func run() {
        var children: [Child] = []
        var serial: UInt64 = 0
        while true {
            var watched = [pollfd(fd: ear.number, events: Int16(POLLIN), revents: 0)]
            watched += children.map { pollfd(fd: $0.exit.number, events: Int16(POLLIN), revents: 0) }
            guard poll(&watched, nfds_t(watched.count), -1) >= 0 else { continue }
            // The dead first: whom we were asked to kill may be among them.
            let ended = Set(watched.dropFirst().filter { $0.revents != 0 }.map(\.fd))
            children.removeAll { child in
                guard ended.contains(child.exit.number) else { return false }
                return child.reap()
            }
            guard watched[0].revents != 0 else { continue }
            var rings = [UInt8](repeating: 0, count: 256)
            recv(ear.number, &rings, rings.count, Int32(MSG_DONTWAIT))
            let requests = inbox.withLock { inbox in
                defer { inbox = [] }
                return inbox
            }
            for request in requests {
                switch request {
                case .spawn(let order):
                    serial += 1
                    if let child = Child(order, serial: serial) { children.append(child) }
                case .kill(let process):
                    if children.contains(where: { $0.process == process }) { Glibc.kill(process.id, SIGKILL) }
                }
            }
        }
    }

    /// A process that is not reaped yet.
    private struct Child {
        let process: WorkerProcess
        /// Readable when the process has ended (pidfd_open(2)).
        let exit: Descriptor
        let exited: @Sendable (ExitStatus) -> Void

        init?(_ order: Order, serial: UInt64) {
            var id: pid_t = 0
            var exit: Int32 = -1
            let files = order.files.map(\.number)
            let error: Int32 = order.executable.withCString { executable in
                order.provider.withCString { provider in
                    files.withUnsafeBufferPointer { files in
                        var worker = rsp_worker(
                            executable: executable, provider: provider, output: order.output.number,
                            frames: order.frames.number, broker: order.broker.number, plugin: order.plugin.number,
                            lockdown: order.lockdown.number, files: files.baseAddress, file_count: files.count)
                        return rsp_spawn(&worker, &id, &exit) == 0 ? 0 : errno
                    }
                }
            }
            guard error == 0 else {
                order.spawned(.failure(SystemError(order.executable, error)))
                return nil
            }
            process = WorkerProcess(id: id, serial: serial)
            self.exit = Descriptor(owning: exit)
            exited = order.exited
            order.spawned(.success(process))
        }

        func reap() -> Bool {
            var status: Int32 = 0
            guard waitpid(process.id, &status, WNOHANG) == process.id else { return false }
            exited(ExitStatus(wait: status))
            return true
        }
    }
}

/// A worker's process.
struct WorkerProcess: Hashable, Sendable {
    /// Means this process only until it is reaped.
    let id: pid_t
    /// Means this process for ever.
    let serial: UInt64
}
