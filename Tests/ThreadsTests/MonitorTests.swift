import Threads
import Testing

struct MonitorTests {
    @Test(.timeLimit(.minutes(1))) func `one thread waits for what others put in`() throws {
        let monitor = Monitor<[Int]>([])
        let threads = try (0..<4).map { number in
            try SystemThread("test") {
                for value in 0..<1_000 {
                    let wasEmpty = monitor.withLock { values in
                        values.append(number * 1_000 + value)
                        return values.count == 1
                    }
                    if wasEmpty { monitor.wake() }
                }
            }
        }
        var taken: [Int] = []
        while taken.count < 4_000 {
            taken += monitor.wait { values, _ -> Look<[Int]> in
                if values.isEmpty { return .wait(until: nil) }
                defer { values = [] }
                return .found(values)
            }
        }
        for thread in threads { thread.join() }
        #expect(taken.sorted() == Array(0..<4_000))
        // What one thread put in comes in its order.
        for number in 0..<4 {
            #expect(taken.filter { $0 / 1_000 == number } == Array(number * 1_000..<(number + 1) * 1_000))
        }
    }

    @Test(.timeLimit(.minutes(1))) func `a moment that has come is told, and not before it was waited for`() {
        let moments = [monotonicNow() - 1, 0, monotonicNow() + 1_000_000]
        for moment in moments {
            var looks: [Bool] = []
            Monitor(()).wait { _, isLate in
                looks.append(isLate)
                return isLate ? .found(()) : .wait(until: moment)
            }
            #expect(looks.first == false && looks.last == true)
            #expect(monotonicNow() >= moment)
        }
    }

    @Test(.timeLimit(.minutes(1))) func `an error leaves the lock open`() {
        struct Failure: Error {}
        let monitor = Monitor(1)
        #expect(throws: Failure.self) {
            try monitor.withLock { value throws(Failure) in
                value = 2
                throw Failure()
            }
        }
        #expect(monitor.withLock(\.self) == 2)
    }
}
