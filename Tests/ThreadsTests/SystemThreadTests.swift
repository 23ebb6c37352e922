import Glibc
import Synchronization
import Testing
import Threads

struct SystemThreadTests {
    @Test(.timeLimit(.minutes(1)))
    func `a thread has its name and no signals, and whoever joins it finds its work done`() throws {
        let seen = Mutex((name: "", blocked: false))
        let thread = try SystemThread("a long name of a thread") {
            var name = [UInt8](repeating: 0, count: 32)
            let file = open("/proc/thread-self/comm", O_RDONLY)
            let count = read(file, &name, name.count)
            close(file)
            var mask = sigset_t()
            pthread_sigmask(SIG_BLOCK, nil, &mask)
            let blocked = [SIGTERM, SIGINT, SIGHUP].allSatisfy { sigismember(&mask, $0) == 1 }
            seen.withLock { $0 = (String(decoding: name.prefix(max(0, count)), as: UTF8.self), blocked) }
        }
        thread.join()
        seen.withLock { #expect($0.name == "a long name of \n" && $0.blocked) }
    }

    @Test(.timeLimit(.minutes(1))) func `a detached thread lets go of its work at its end`() throws {
        final class Token: Sendable {
            let gone: Monitor<Bool>
            init(_ gone: Monitor<Bool>) { self.gone = gone }
            deinit {
                gone.withLock { $0 = true }
                gone.wake()
            }
        }
        let gone = Monitor(false)
        try SystemThread.detached("test") { [token = Token(gone)] in _ = token }
        #expect(gone.wait { isGone, _ in isGone ? .found(true) : .wait(until: nil) })
    }
}
