internal import CSpawn
internal import CWorkerProtocol
internal import Glibc

/// The descriptors between the daemon and one worker process.
struct WorkerWiring {
    /// Our ends: the frames, egress requests, and what the plugin writes to its standard output and error.
    let ours: (frames: Descriptor, broker: Descriptor, output: Descriptor)
    /// The worker's ends, and how it is to lock itself down. To be closed as soon as the worker has them.
    let theirs: (frames: Descriptor, broker: Descriptor, output: Descriptor, lockdown: Descriptor)

    init(_ configuration: WorkerConfiguration) throws(SystemError) {
        let frames = try Descriptor.pair(SOCK_STREAM)
        let broker = try Descriptor.pair(SOCK_SEQPACKET)
        let output = try Descriptor.pipe()
        ours = (frames.ours, broker.ours, output.reading)
        theirs = (frames.theirs, broker.theirs, output.writing, try Self.lockdown(configuration))
    }

    /// How the worker is to lock itself down, sealed.
    private static func lockdown(_ configuration: WorkerConfiguration) throws(SystemError) -> Descriptor {
        let size = MemoryLayout<rtw_lockdown>.size
        var record = rtw_lockdown(
            size: UInt32(size), parent_pid: UInt32(getpid()), best_effort: configuration.isBestEffort ? 1 : 0,
            landlock_abi_cap: configuration.landlockABICap, uid: configuration.user?.user ?? .max,
            gid: configuration.user?.group ?? .max, file_count: UInt32(configuration.files.count),
            max_descriptors: configuration.descriptors, max_data_bytes: configuration.dataBytes,
            strict: configuration.isStrict ? 1 : 0, reserved: 0)
        return try Descriptor(checking: rsp_sealed_bytes(&record, size, "lockdown"), "memfd_create")
    }
}
