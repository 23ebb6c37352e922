import NIOCore
import Testing
import WorkerProtocol

@testable import Supervision

@Suite struct WorkerStateTests {
    private var state = WorkerState(timing: WorkerTiming(), required: .floor)
    private var now = NIODeadline.uptimeNanoseconds(0)

    private static let ready = WorkerReady(
        pid: 7, landlockABI: 6, layers: .floor, pluginABIMajor: 1, pluginABIMinor: 0)

    // MARK: A good life

    @Test mutating func `a worker is spawned, started when it is ready, and told when it has started`() {
        #expect(state.start(now) == [.spawn])
        #expect(state.phase == .spawning)
        #expect(state.spawned() == [])
        #expect(state.received(.ready(Self.ready), now) == [.sendStart])
        #expect(!state.mayComplete)
        #expect(state.received(.started(refusal: nil), now) == [.tellReady(Self.ready)])
        #expect(state.phase == .running)
        #expect(state.mayComplete)
        #expect(state.generation == 1)
    }

    @Test mutating func `a worker that runs is not started again`() {
        run()
        #expect(state.start(now) == [])
    }

    @Test mutating func `an asked worker ends in order, and nothing follows`() {
        run()
        #expect(state.stop(now, patience: .seconds(3)) == [.sendStop])
        #expect(state.mayComplete)
        #expect(state.socketEnded(now) == [])
        #expect(state.exited(.exited(code: 0), now) == [.tellLost(generation: 1, .stopped), .tellIdle])
        #expect(state.phase == .idle)
        #expect(state.due == nil)
    }

    @Test mutating func `the loss is told when both socket and process have ended, in either order`() {
        run()
        #expect(state.exited(.killed(signal: 11), now) == [])
        #expect(state.mayComplete, "what it completed before is still in the socket")
        #expect(state.socketEnded(now) == [.tellLost(generation: 1, .killed(signal: 11))])
        tickWhenDue(expecting: [.spawn])
        state.runOn(now)
        #expect(state.socketEnded(now) == [])
        #expect(state.mayComplete)
        #expect(state.exited(.exited(code: 70), now) == [.tellLost(generation: 2, .exited(code: 70))])
    }

    // MARK: Deadlines

    @Test mutating func `a worker that is not ready in time is killed, wherever it hangs`() {
        for step in 0...2 {
            var state = WorkerState(timing: WorkerTiming(), required: .floor)
            _ = state.start(now)
            if step > 0 { _ = state.spawned() }
            if step > 1 { _ = state.received(.ready(Self.ready), now) }
            #expect(state.due == now + .seconds(10))
            #expect(state.tick(now + .milliseconds(9_999)) == [])
            #expect(state.tick(now + .seconds(10)) == (step > 0 ? [.kill] : []))
            #expect(state.phase == .ending(.startTimeout))
            if step == 0 { #expect(state.spawned() == [.kill]) }
            _ = state.exited(.killed(signal: 9), now)
            #expect(state.socketEnded(now) == [.tellLost(generation: 1, .startTimeout)])
        }
    }

    @Test mutating func `an idle worker is asked every 10 s and has 5 s to answer`() {
        run()
        for _ in 0..<3 {
            tickWhenDue(expecting: [.sendPing], after: .seconds(10))
            now = now + .milliseconds(4_999)
            #expect(state.received(.pong, now) == [])
            // The deadline of the answer comes, finds that all is well, and moves on.
            #expect(state.tick(now + .milliseconds(1)) == [])
            #expect(state.due == now + .seconds(10))
        }
        tickWhenDue(expecting: [.sendPing], after: .seconds(10))
        tickWhenDue(expecting: [.kill], after: .seconds(5))
        #expect(state.phase == .ending(.unresponsive))
    }

    @Test mutating func `a worker that is not trusted any more is killed, for a reason that can be read`() {
        run()
        #expect(state.giveUp("it made up answers") == [.kill])
        #expect(state.phase == .ending(.givenUp("it made up answers")))
        #expect(state.giveUp("once more") == [])
        #expect("\(WorkerLoss.givenUp("it made up answers"))" == "killed: it made up answers")
    }

    @Test mutating func `a worker that completes requests is not asked`() {
        run()
        let start = now
        state.progressed(start + .seconds(9))
        #expect(state.tick(start + .seconds(10)) == [])
        #expect(state.due == start + .seconds(19))
        #expect(state.tick(start + .seconds(19)) == [.sendPing])
        state.progressed(start + .seconds(23))
        #expect(state.tick(start + .seconds(24)) == [])
        #expect(state.due == start + .seconds(33))
    }

    @Test mutating func `a worker that does not stop in time is killed`() {
        run()
        _ = state.stop(now, patience: .seconds(3))
        tickWhenDue(expecting: [.kill], after: .seconds(3))
        #expect(state.exited(.killed(signal: 9), now) == [])
        #expect(state.socketEnded(now) == [.tellLost(generation: 1, .stopTimeout), .tellIdle])
    }

    @Test mutating func `a worker that closes its socket and lives on is killed`() {
        run()
        #expect(state.socketEnded(now) == [])
        tickWhenDue(expecting: [.kill], after: .seconds(1))
        #expect(state.exited(.killed(signal: 9), now) == [.tellLost(generation: 1, .hungUp)])
    }

    // MARK: Losses

    @Test(arguments: [(1, 100), (2, 200), (3, 400), (4, 800), (8, 12_800), (9, 25_600), (10, 30_000), (1_000, 30_000)])
    func `the pause before a restart doubles up to 30 s`(losses: Int, milliseconds: Int64) {
        #expect(WorkerTiming().restart(afterLosing: losses) == .milliseconds(milliseconds))
    }

    @Test mutating func `restarts come after growing pauses, and after the first again once a worker was healthy`() {
        _ = state.start(now)
        for pause: Int64 in [100, 200, 400] {
            state.runOn(now)
            lose()
            #expect(state.phase == .waiting)
            tickWhenDue(expecting: [.spawn], after: .milliseconds(pause))
        }
        state.runOn(now)
        now = now + .seconds(59)
        lose()
        tickWhenDue(expecting: [.spawn], after: .milliseconds(800))
        state.runOn(now)
        now = now + .seconds(60)
        lose()
        tickWhenDue(expecting: [.spawn], after: .milliseconds(100))
        #expect(state.generation == 6)
    }

    @Test mutating func `a plugin that does not want to start is told with its words, and tried again`() {
        _ = state.start(now)
        _ = state.spawned()
        _ = state.received(.ready(Self.ready), now)
        #expect(state.received(.started(refusal: "no base"), now) == [.kill])
        #expect(state.socketEnded(now) == [])
        #expect(state.exited(.killed(signal: 9), now) == [.tellLost(generation: 1, .refused("no base"))])
        tickWhenDue(expecting: [.spawn], after: .milliseconds(100))
    }

    @Test mutating func `a worker that gives up is told with its words`() {
        _ = state.start(now)
        _ = state.spawned()
        #expect(state.received(.failed(.load, "no such symbol"), now) == [.kill])
        _ = state.exited(.exited(code: 70), now)
        #expect(state.socketEnded(now) == [.tellLost(generation: 1, .failed(.load, "no such symbol"))])
    }

    @Test mutating func `the last words of a worker count, even if its end was seen before they were read`() {
        _ = state.start(now)
        _ = state.spawned()
        #expect(state.exited(.exited(code: 78), now) == [])
        #expect(state.received(.ready(Self.ready), now) == [])
        #expect(state.received(.failed(.load, "no such symbol"), now) == [])
        #expect(state.violated("and nonsense") == [])
        #expect(state.socketEnded(now) == [.tellLost(generation: 1, .failed(.load, "no such symbol"))])
    }

    @Test mutating func `a worker without its sandbox does not serve`() {
        var ready = Self.ready
        ready.layers.remove(.landlock)
        ready.layers.remove(.seccomp)
        _ = state.start(now)
        _ = state.spawned()
        #expect(state.received(.ready(ready), now) == [.kill])
        #expect(state.phase == .ending(.unprotected(missing: [.landlock, .seccomp])))
        #expect(state.ready == ready)
        #expect(
            WorkerLoss.unprotected(missing: [.landlock, .seccomp]).description
                == "killed: not in force: landlock, seccomp; `sandbox: best-effort` goes on without")
    }

    @Test mutating func `with best effort a worker serves without its sandbox`() {
        state = WorkerState(timing: WorkerTiming(), required: [])
        var ready = Self.ready
        ready.layers = []
        _ = state.start(now)
        _ = state.spawned()
        #expect(state.received(.ready(ready), now) == [.sendStart])
    }

    @Test mutating func `a process that cannot be made is tried again later`() {
        _ = state.start(now)
        #expect(
            state.spawnFailed(now, "no such file") == [.tellLost(generation: 1, .notSpawned("no such file"))])
        tickWhenDue(expecting: [.spawn], after: .milliseconds(100))
    }

    @Test mutating func `frames at the wrong time are violations`() {
        let wrong: [(Int, WorkerFrame)] = [
            (0, .started(refusal: nil)), (0, .pong), (1, .ready(Self.ready)), (2, .ready(Self.ready)),
            (2, .started(refusal: nil)),
        ]
        for (step, frame) in wrong {
            var state = WorkerState(timing: WorkerTiming(), required: .floor)
            _ = state.start(now)
            _ = state.spawned()
            if step > 0 { _ = state.received(.ready(Self.ready), now) }
            if step > 1 { _ = state.received(.started(refusal: nil), now) }
            #expect(state.received(frame, now) == [.kill], "\(frame)")
            guard case .ending(.violation) = state.phase else {
                Issue.record("\(frame) in \(state.phase)")
                continue
            }
        }
    }

    @Test mutating func `after a violation nothing that the worker says counts`() {
        run()
        #expect(state.violated("nonsense") == [.kill])
        #expect(state.violated("more nonsense") == [])
        #expect(state.received(.failed(.protocol, "me?"), now) == [])
        _ = state.socketEnded(now)
        #expect(state.exited(.killed(signal: 9), now) == [.tellLost(generation: 1, .violation("nonsense"))])
    }

    // MARK: Stopping and starting at odd moments

    @Test mutating func `a stop at any moment ends in idle`() {
        #expect(state.stop(now, patience: .seconds(1)) == [.tellIdle])

        _ = state.start(now)
        #expect(state.stop(now, patience: .seconds(1)) == [])
        #expect(state.spawned() == [.kill])
        #expect(state.exited(.killed(signal: 9), now) == [])
        #expect(state.socketEnded(now) == [.tellLost(generation: 1, .stopped), .tellIdle])

        _ = state.start(now)
        _ = state.stop(now, patience: .seconds(1))
        #expect(state.spawnFailed(now, "?") == [.tellLost(generation: 2, .stopped), .tellIdle])

        run()
        lose()
        #expect(state.phase == .waiting)
        #expect(state.stop(now, patience: .seconds(1)) == [.tellIdle])
        #expect(state.tick(now + .hours(1)) == [])
    }

    @Test mutating func `a worker that is wanted again before it has stopped comes back at once`() {
        run()
        _ = state.stop(now, patience: .seconds(3))
        #expect(state.start(now) == [])
        _ = state.socketEnded(now)
        #expect(state.exited(.exited(code: 0), now) == [.tellLost(generation: 1, .stopped), .spawn])
        #expect(state.generation == 2)
    }

    @Test mutating func `a worker that dies while it is asked to stop says how`() {
        run()
        _ = state.stop(now, patience: .seconds(3))
        _ = state.socketEnded(now)
        #expect(state.exited(.killed(signal: 6), now) == [.tellLost(generation: 1, .killed(signal: 6)), .tellIdle])
    }

    // MARK: Steps

    private mutating func run() {
        _ = state.start(now)
        state.runOn(now)
    }

    private mutating func lose() {
        _ = state.socketEnded(now)
        _ = state.exited(.killed(signal: 11), now)
    }

    /// Moves the clock to the state's deadline, and not a nanosecond before it.
    private mutating func tickWhenDue(
        expecting actions: [WorkerState.Action], after wait: TimeAmount? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        guard let due = state.due else {
            Issue.record("nothing is due", sourceLocation: sourceLocation)
            return
        }
        if let wait { #expect(due == now + wait, sourceLocation: sourceLocation) }
        #expect(state.tick(due - .nanoseconds(1)) == [], sourceLocation: sourceLocation)
        now = due
        #expect(state.tick(now) == actions, sourceLocation: sourceLocation)
    }
}

extension WorkerState {
    /// From spawning to running.
    fileprivate mutating func runOn(_ now: NIODeadline) {
        _ = spawned()
        let ready = WorkerReady(pid: 7, landlockABI: 6, layers: .floor, pluginABIMajor: 1, pluginABIMinor: 0)
        _ = received(.ready(ready), now)
        _ = received(.started(refusal: nil), now)
    }
}
