import CWorkerProtocol
import Glibc
import Testing

/// Everything the probe plugin can try, under each Landlock ABI that matters: 1 (the floor), 2 (Debian 12's own kernel), 4
/// (TCP rules), 0 (the kernel's own).
@Suite struct `An attack` {
    /// Starts a worker, lets it try `attack`, and says what must be said of it.
    private func attempt(_ attack: Attack, _ lockdown: TestWorker.Lockdown, standIn: Bool = false) throws {
        let surroundings = try Surroundings()
        let worker = try TestWorker(lockdown, standIn: standIn)
        try worker.started()
        try worker.send(.request(id: 1, kind: "attack", external: attack.name, event: surroundings.text))
        switch attack.fate {
        case .refused:
            let done = try worker.done()
            #expect(done.outcome == Done.refused, "\(attack.name) hit")
            #expect(Attack.refusals.contains(done.detail ?? ""), "\(attack.name): \(done.detail ?? "")")
        case .harmless:
            #expect(try worker.done().outcome == Done.delivered)
        case .deadly:
            // A stand-in says with its exit status how the worker ended.
            #expect(try worker.end() == (standIn ? (128 + SIGSYS) << 8 : SIGSYS))
        }
    }

    @Test(arguments: Attack.all, [1, 2, 4, 0] as [UInt32])
    func `is refused to a worker that stays root`(_ attack: Attack, landlockCap: UInt32) throws {
        try attempt(attack, TestWorker.Lockdown(landlockCap: landlockCap))
    }

    @Test(.enabled(if: geteuid() == 0), arguments: Attack.all)
    func `is refused to a worker with a uid of its own`(_ attack: Attack) throws {
        try attempt(attack, TestWorker.Lockdown(uid: 64_123))
    }

    @Test(.enabled(if: geteuid() == 0), arguments: Attack.all)
    func `is refused to a worker whose daemon is nobody in particular`(_ attack: Attack) throws {
        try attempt(attack, TestWorker.Lockdown(uid: 64_124), standIn: true)
    }

    @Test(.enabled(if: geteuid() == 0), arguments: Attack.all.filter(\.hitsOutside))
    func `hits outside the sandbox`(_ attack: Attack) throws {
        let surroundings = try Surroundings()
        var arguments: [UnsafeMutablePointer<CChar>?] = ["ProbeOutside", attack.name, surroundings.text].map {
            (text: String) in strdup(text)
        }
        arguments.append(nil)
        defer { for argument in arguments { free(argument) } }
        var pid: pid_t = 0
        try #require(posix_spawn(&pid, "\(productsFolder)/ProbeOutside", nil, nil, &arguments, nil) == 0)
        var status: Int32 = 0
        waitpid(pid, &status, 0)
        #expect(status == 0, "\(attack.name) does not hit even outside, so its refusal shows nothing")
    }

    @Test func `is told of in the log by the number of its system call`() throws {
        let surroundings = try Surroundings()
        let worker = try TestWorker()
        try worker.started()
        try worker.send(.request(id: 1, kind: "attack", external: "trace another process", event: surroundings.text))
        _ = try worker.done()
        try worker.send(Frame(RTW_STOP))
        _ = try worker.end()
        #if arch(x86_64)
            #expect(worker.output.contains(#/refused system call +101\n/#))
        #else
            #expect(worker.output.contains(#/refused system call +117\n/#))
        #endif
    }

    @Test func `kills where the settings are strict`() throws {
        let surroundings = try Surroundings()
        let worker = try TestWorker(TestWorker.Lockdown(strict: true))
        try worker.started()
        try worker.send(.request(id: 1, kind: "attack", external: "execute", event: surroundings.text))
        #expect(try worker.end() & 0x7f == SIGSYS)
    }
}
