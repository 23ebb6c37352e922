import CSandboxTests
import CWorkerProtocol
import Glibc
import Testing

/// What a worker gives up before it loads anything, and when it refuses to.
@Suite struct `A worker` {
    private static let floor: [rtw_layer] = [
        RTW_LAYER_LIMITS, RTW_LAYER_NO_NEW_PRIVS, RTW_LAYER_CAPABILITIES, RTW_LAYER_LANDLOCK, RTW_LAYER_SECCOMP,
    ]

    /// The lines of /proc/PID/status by their keys.
    private func status(of pid: pid_t) throws -> [Substring: String] {
        let text = try contents("/proc/\(pid)/status")
        let lines = text.split(separator: "\n").map { $0.split(separator: ":", maxSplits: 1) }
        return Dictionary(
            lines.filter { $0.count == 2 }.map { ($0[0], String($0[1].drop { $0 == "\t" || $0 == " " })) },
            uniquingKeysWith: { first, _ in first })
    }

    private func contents(_ path: String) throws -> String {
        let descriptor = try check(open(path, O_RDONLY | O_CLOEXEC), path)
        defer { close(descriptor) }
        var text = ""
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = try check(read(descriptor, &buffer, buffer.count), path)
            if count == 0 { return text }
            text += String(decoding: buffer[..<count], as: UTF8.self)
        }
    }

    private func descriptors(of pid: pid_t) throws -> [Int] {
        let folder = try #require(opendir("/proc/\(pid)/fd"))
        defer { closedir(folder) }
        var numbers: [Int] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if let number = Int(name) { numbers.append(number) }
        }
        return numbers.sorted()
    }

    @Test func `says which layers are in force`() throws {
        let ready = Ready(try TestWorker().next(RTW_READY))
        for layer in Self.floor { #expect(ready.has(layer), "layer \(layer.rawValue)") }
        #expect(ready.landlockABI >= 1)
        #expect(!ready.has(RTW_LAYER_UID))
        #expect(ready.abiMajor == 1)
    }

    @Test(arguments: 1...7 as ClosedRange<UInt32>)
    func `uses the Landlock ABI that it is capped to, or the kernel's lower one`(_ cap: UInt32) throws {
        let own = Ready(try TestWorker().next(RTW_READY)).landlockABI
        let worker = try TestWorker(TestWorker.Lockdown(landlockCap: cap))
        #expect(Ready(try worker.next(RTW_READY)).landlockABI == min(cap, own))
    }

    @Test func `is in the kernel's eyes what it says`() throws {
        let worker = try TestWorker()
        let ready = try worker.started()
        let status = try status(of: ready.pid)
        #expect(ready.pid == worker.pid)
        #expect(status["NoNewPrivs"] == "1")
        #expect(status["Seccomp"] == "2")
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] as [Substring] {
            #expect(status[set] == "0000000000000000")
        }
        if geteuid() == 0 { #expect(status["CapBnd"] == "0000000000000000") }
        let limits = try contents("/proc/\(ready.pid)/limits")
        #expect(limits.contains(#/Max core file size +0 +0 /#))
        #expect(limits.contains(#/Max file size +0 +0 /#))
        #expect(limits.contains(#/Max data size +268435456 +268435456 /#))
        #expect(limits.contains(#/Max open files +256 +256 /#))
    }

    @Test(.enabled(if: geteuid() == 0))
    func `changes its uid and groups when it is told to`() throws {
        let worker = try TestWorker(TestWorker.Lockdown(uid: 64_126))
        let inForce = try worker.started()
        #expect(inForce.has(RTW_LAYER_UID))
        let status = try status(of: inForce.pid)
        #expect(status["Uid"] == "64126\t64126\t64126\t64126")
        #expect(status["Gid"] == "64126\t64126\t64126\t64126")
        #expect(status["Groups"]?.filter { $0 != " " } == "")
        #expect(status["CapBnd"] == "0000000000000000")
    }

    @Test func `has the descriptors of the contract and no others`() throws {
        let worker = try TestWorker(TestWorker.Lockdown(files: ["one", "two"]))
        let ready = try worker.started(.start(files: ["ca_file", "token"]))
        // 5 and 6, the plugin and the record, have done their part.
        #expect(try descriptors(of: ready.pid) == [0, 1, 2, 3, 4, 7, 8])
    }

    @Test func `has an environment of four variables and one argument`() throws {
        let worker = try TestWorker()
        let ready = try worker.started()
        let environment = try contents("/proc/\(ready.pid)/environ").split(separator: "\0")
        #expect(
            environment == [
                "MALLOC_ARENA_MAX=2", "SWIFT_BACKTRACE=enable=no", "LDAPNOINIT=1", "SASL_PATH=/nonexistent",
            ])
        let arguments = try contents("/proc/\(ready.pid)/cmdline").split(separator: "\0")
        #expect(arguments == ["runtime-sync-worker", "a provider"])
    }

    @Test func `maps no Swift of its own`() throws {
        let worker = try TestWorker()
        let ready = try worker.started()
        let maps = try contents("/proc/\(ready.pid)/maps")
        #expect(maps.contains("libc.so"))
        #expect(!maps.contains("libswift"))
    }

    static let ordinaryWork = [
        "read its own thread's stat", "read another of its threads' stat", "list a library folder",
        "load a system library", "read its own maps", "open the random device", "get random bytes",
        "wait for events", "talk to itself", "set up a TCP socket", "use 96 MiB", "signal itself", "sleep",
    ]

    @Test(arguments: ordinaryWork, geteuid() == 0 ? [.max, 64_128] : [.max] as [UInt32])
    func `lets its plugin do ordinary work`(_ work: String, uid: UInt32) throws {
        let surroundings = try Surroundings()
        let worker = try TestWorker(TestWorker.Lockdown(strict: true, uid: uid))
        try worker.started()
        try worker.send(.request(id: 1, kind: "attack", external: work, event: surroundings.text))
        let done = try worker.done()
        #expect(done.outcome == Done.delivered, "\(work): \(done.detail ?? "")")
    }

    @Test func `limits its plugin's memory`() throws {
        let surroundings = try Surroundings()
        let worker = try TestWorker(TestWorker.Lockdown(maxDataBytes: 64 << 20))
        try worker.started()
        try worker.send(.request(id: 1, kind: "attack", external: "use 96 MiB", event: surroundings.text))
        #expect(try worker.done().detail == "ENOMEM")
    }

    @Test func `refuses to go on without Landlock`() throws {
        let worker = try TestWorker(TestWorker.Lockdown(landlockCap: .max))
        let (stage, why) = try worker.failure()
        #expect(stage == RTW_STAGE_LOCKDOWN.rawValue)
        #expect(why.hasPrefix("landlock"))
        #expect(try worker.end() != 0)
    }

    @Test func `goes on without Landlock where best effort is wanted, and says so`() throws {
        let worker = try TestWorker(TestWorker.Lockdown(landlockCap: .max, bestEffort: true))
        let ready = try worker.started()
        #expect(!ready.has(RTW_LAYER_LANDLOCK))
        #expect(ready.landlockABI == 0)
        #expect(ready.has(RTW_LAYER_SECCOMP))
    }

    @Test func `refuses a lockdown record of another size`() throws {
        let worker = try TestWorker(TestWorker.Lockdown(size: 40))
        #expect(try worker.failure().stage == RTW_STAGE_LOCKDOWN.rawValue)
    }

    @Test func `refuses to serve anybody but the parent that it was told of`() throws {
        let worker = try TestWorker(TestWorker.Lockdown(parent: 1))
        let (stage, why) = try worker.failure()
        #expect(stage == RTW_STAGE_LOCKDOWN.rawValue)
        #expect(why.hasPrefix("parent"))
    }

    @Test func `ends when the daemon closes its end`() throws {
        let worker = try TestWorker()
        try worker.started()
        worker.hangUp()
        #expect(try worker.end() == 0)
    }

    @Test(.enabled(if: geteuid() == 0), arguments: [.max, 64_127] as [UInt32])
    func `is killed when the daemon dies, whoever else holds its sockets`(uid: UInt32) throws {
        let worker = try TestWorker(TestWorker.Lockdown(uid: uid), standIn: true)
        let ready = try worker.started()
        #expect(ready.pid != worker.pid)
        let pidfd = try check(handle_of_process(ready.pid), "pidfd")
        defer { close(pidfd) }
        kill(worker.pid, SIGKILL)
        var entry = pollfd(fd: pidfd, events: Int16(POLLIN), revents: 0)
        #expect(poll(&entry, 1, 20_000) == 1)
        #expect(try worker.end() == SIGKILL)
    }
}
