import CSandboxTests
import CSpawn
import CWorkerProtocol
import Glibc
import Testing

/// What a test waits for did not come.
struct Missing: Error, CustomStringConvertible {
    var description: String
}

/// Where SwiftPM put the products of this build: beside the test bundle.
let productsFolder: String = {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &buffer, buffer.count)
    precondition(count > 0, "cannot tell where this test bundle is")
    let path = String(decoding: buffer.prefix(count), as: UTF8.self)
    return path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
}()

/// A copy of the worker where every user can reach it, for a daemon that is not root: the checkout may lie in a folder
/// that only its owner may enter. Goes when the tests end.
let reachableWorker: String = {
    var template = Array("/tmp/runtime-sync-worker-XXXXXX".utf8CString)
    precondition(mkdtemp(&template) != nil, "no temporary folder")
    let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let source = open("\(productsFolder)/runtime-sync-worker", O_RDONLY | O_CLOEXEC)
    let copy = open("\(folder)/runtime-sync-worker", O_WRONLY | O_CREAT | O_CLOEXEC, 0o755)
    var chunk = [UInt8](repeating: 0, count: 1 << 20)
    while case let count = read(source, &chunk, chunk.count), count > 0 {
        precondition(write(copy, chunk, count) == count, "no room in /tmp")
    }
    fchmod(copy, 0o755)
    close(source)
    close(copy)
    chmod(folder, 0o755)
    atexit {
        unlink(reachableWorker)
        rmdir(String(reachableWorker.dropLast("/runtime-sync-worker".count)))
    }
    return "\(folder)/runtime-sync-worker"
}()

/// Answers a worker's broker requests; `nil` leaves one unanswered for now.
typealias Broker = (rtw_broker_request, _ socket: Int32?) -> [rtw_broker_answer]

/// A real worker with this test as its daemon. Ends with the object.
final class TestWorker {
    /// How the worker is to be locked down; the defaults are what a test run as root can do without a uid to spare.
    struct Lockdown {
        var landlockCap: UInt32 = 0
        var bestEffort = false
        var strict = false
        var uid: UInt32 = .max
        var maxDataBytes: UInt64 = 256 << 20
        var files: [String] = []
        var size = UInt32(MemoryLayout<rtw_lockdown>.size)
        var parent = UInt32(getpid())
        /// The stand-in takes on `uid` itself; the worker stays what it is then.
        var standInTakesUID = false
    }

    let pid: pid_t
    private let pidfd: Int32
    private var frames: Int32
    private let brokerSocket: Int32
    private let outputPipe: Int32
    private var received: [UInt8] = []
    private var closed = false
    private var status: Int32?
    /// What the plugin and the worker wrote to stdout and stderr so far.
    private(set) var output = ""
    var broker: Broker = { _, _ in [] }

    /// - Parameters:
    ///   - plugin: name of a library product, or an absolute path.
    ///   - standIn: starts the worker by way of `StandInDaemon`; `pid` is then the stand-in's.
    init(plugin: String = "Probe", _ lockdown: Lockdown = Lockdown(), standIn: Bool = false) throws {
        var pair: [Int32] = [-1, -1]
        try check(rsp_socketpair(Int32(SOCK_STREAM.rawValue), &pair), "frames pair")
        let frames = pair
        var limit = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(frames[0], SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        try check(rsp_socketpair(Int32(SOCK_SEQPACKET.rawValue), &pair), "broker pair")
        let broker = pair
        try check(pipe(&pair), "pipe")
        let output = pair
        for end in output { try check(fcntl(end, F_SETFD, FD_CLOEXEC), "pipe") }

        let path = plugin.hasPrefix("/") ? plugin : "\(productsFolder)/lib\(plugin).so"
        let source = try check(open(path, O_RDONLY | O_CLOEXEC), path)
        let library = try check(rsp_sealed_copy(source, 256 << 20, "plugin"), path)
        var record = rtw_lockdown()
        record.size = lockdown.size
        record.parent_pid = lockdown.parent
        record.best_effort = lockdown.bestEffort ? 1 : 0
        record.landlock_abi_cap = lockdown.landlockCap
        record.uid = lockdown.uid
        record.gid = lockdown.uid
        record.file_count = UInt32(lockdown.files.count)
        record.max_descriptors = 256
        record.max_data_bytes = lockdown.maxDataBytes
        record.reserved = lockdown.standInTakesUID ? 1 : 0
        record.strict = lockdown.strict ? 1 : 0
        let sealedRecord = try check(rsp_sealed_bytes(&record, Int(record.size), "lockdown"), "lockdown record")
        let files = try lockdown.files.map { text in
            try check(rsp_sealed_bytes(Array(text.utf8), text.utf8.count, "file"), "file")
        }
        defer {
            for descriptor in [frames[1], broker[1], output[1], source, library, sealedRecord] + files {
                close(descriptor)
            }
        }

        let real = lockdown.standInTakesUID ? reachableWorker : "\(productsFolder)/runtime-sync-worker"
        var pid: pid_t = 0
        var pidfd: Int32 = -1
        try (standIn ? "\(productsFolder)/StandInDaemon" : real).withCString { executable in
            try (standIn ? real : "a provider").withCString { provider in
                try files.withUnsafeBufferPointer { files in
                    var worker = rsp_worker(
                        executable: executable, provider: provider, output: output[1], frames: frames[1],
                        broker: broker[1], plugin: library, lockdown: sealedRecord, files: files.baseAddress,
                        file_count: files.count)
                    try check(spawn_on_lasting_thread(&worker, &pid, &pidfd), real)
                }
            }
        }
        self.pid = pid
        self.pidfd = pidfd
        self.frames = frames[0]
        self.brokerSocket = broker[0]
        self.outputPipe = output[0]
    }

    deinit {
        if status == nil {
            kill(pid, SIGKILL)
            var ignored: Int32 = 0
            waitpid(pid, &ignored, 0)
        }
        for descriptor in [pidfd, frames, brokerSocket, outputPipe] where descriptor >= 0 { close(descriptor) }
    }

    /// Closes the daemon's end of the frames, as its death would.
    func hangUp() {
        close(frames)
        frames = -1
        closed = true
    }

    func send(_ frames: Frame...) throws {
        try send(bytes: frames.flatMap(\.bytes))
    }

    func send(bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(frames, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            sent += try check(count, "send")
        }
    }

    /// The next frame, or `nil` when the worker has closed its end. Serves the broker meanwhile.
    func next() throws -> Frame? {
        while true {
            if let frame = Frame(takenFrom: &received) { return frame }
            if closed { return nil }
            try pump(for: "a frame")
        }
    }

    /// The next frame of `type`, skipping others.
    func next(_ type: rtw_type) throws -> Frame {
        while let frame = try next() {
            if frame.is(type) { return frame }
        }
        throw Missing(description: "the worker ended without a frame of type \(type.rawValue): \(output)")
    }

    /// The answer to the request that was sent last.
    func done() throws -> Done {
        guard let done = Done(try next(RTW_DONE)) else { throw Missing(description: "not a DONE frame") }
        return done
    }

    /// READY, then START and STARTED.
    @discardableResult
    func started(_ start: Frame = .start()) throws -> Ready {
        let ready = Ready(try next(RTW_READY))
        try send(start)
        var answer = try next(RTW_STARTED).fields
        guard answer.number(UInt32.self) == 1 else {
            throw Missing(description: "refused to start: \(answer.text() ?? "")")
        }
        return ready
    }

    /// Why the worker failed: its stage and words.
    func failure() throws -> (stage: UInt32, why: String) {
        var fields = try next(RTW_FAILED).fields
        return (fields.number(), fields.text() ?? "")
    }

    /// The wait status, once the worker has ended and all it wrote is in `output`.
    func end() throws -> Int32 {
        if let status { return status }
        while !closed { try pump(for: "the worker's end") }
        var entry = pollfd(fd: pidfd, events: Int16(POLLIN), revents: 0)
        guard poll(&entry, 1, patience) == 1 else { throw Missing(description: "the worker does not end") }
        while readOutput() {}
        var status: Int32 = 0
        waitpid(pid, &status, 0)
        self.status = status
        return status
    }

    private let patience: Int32 = 60_000

    private func pump(for what: String) throws {
        var entries = [frames, brokerSocket, outputPipe].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        guard poll(&entries, nfds_t(entries.count), patience) > 0 else {
            throw Missing(description: "\(what) did not come within \(patience) ms; the worker wrote: \(output)")
        }
        if entries[2].revents & Int16(POLLIN) != 0 { _ = readOutput() }
        if entries[1].revents & Int16(POLLIN) != 0 { serveBroker() }
        guard entries[0].revents != 0 else { return }
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(frames, &buffer, buffer.count, 0)
        if count > 0 {
            received += buffer[..<count]
        } else {
            closed = true
        }
    }

    private func readOutput() -> Bool {
        var entry = pollfd(fd: outputPipe, events: Int16(POLLIN), revents: 0)
        guard poll(&entry, 1, 0) == 1, entry.revents & Int16(POLLIN) != 0 else { return false }
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = read(outputPipe, &buffer, buffer.count)
        guard count > 0 else { return false }
        output += String(decoding: buffer[..<count], as: UTF8.self)
        return true
    }

    private func serveBroker() {
        var request = rtw_broker_request()
        var socket: Int32 = -1
        guard rsp_broker_receive(brokerSocket, &request, &socket) > 0 else { return }
        for var answer in broker(request, socket < 0 ? nil : socket) {
            rsp_broker_answer(brokerSocket, &answer)
        }
        if socket >= 0 { close(socket) }
    }
}

/// What a READY frame says.
struct Ready: Sendable {
    var pid: pid_t
    var landlockABI: UInt32
    var layers: UInt32
    var abiMajor: UInt32
    var abiMinor: UInt32

    init(_ frame: Frame) {
        var fields = frame.fields
        pid = pid_t(bitPattern: fields.number(UInt32.self))
        landlockABI = fields.number()
        layers = fields.number()
        abiMajor = fields.number()
        abiMinor = fields.number()
    }

    func has(_ layer: rtw_layer) -> Bool {
        layers & layer.rawValue != 0
    }
}

@discardableResult
func check<Result: SignedInteger>(_ result: Result, _ what: String) throws -> Result {
    guard result >= 0 else { throw Missing(description: "\(what): \(String(cString: strerror(errno)))") }
    return result
}
