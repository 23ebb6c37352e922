internal import Glibc
internal import Threads

/// Writes lines to a descriptor that somebody may have stopped reading: whoever has a line never waits.
///
/// A line goes out at once where that cannot wait, so that what was said before a crash is there. Else it waits here, and a
/// thread that is made for it writes; of what does not fit any more only the number of lines is told. Any thread.
final class LogWriter: Sendable {
    /// The process's own.
    static let stderr = LogWriter(STDERR_FILENO)

    private struct State {
        /// Whole lines, in their order; of the first one, maybe only the rest.
        var waiting: [UInt8] = []
        var lost = 0
        /// The thread has lines in hand, or there are some for it.
        var isBehind = false
        var hasThread = false
        var lossLine: @Sendable (_ count: Int) -> [UInt8] = { Array("\($0) lines lost\n".utf8) }
    }

    /// A pipe that is ready takes so many bytes at once (pipe(7), `PIPE_BUF`).
    private static let atOnce = 4_096

    private let descriptor: Int32
    private let capacity: Int
    private let state = Monitor(State())

    /// - Parameter capacity: bytes that may wait; default 4 MiB.
    init(_ descriptor: Int32, capacity: Int = 4 << 20) {
        self.descriptor = descriptor
        self.capacity = capacity
    }

    /// How the number of lost lines is told.
    func tellLoss(_ line: @escaping @Sendable (_ count: Int) -> [UInt8]) {
        state.withLock { $0.lossLine = line }
    }

    /// Writes one line, with the line feed at its end.
    func write(_ line: [UInt8]) {
        let needsThread = state.withLock { state in
            let written = !state.isBehind && line.count <= Self.atOnce && isReady() ? put(line[...]) ?? 0 : 0
            guard written < line.count else { return false }
            state.isBehind = true
            if state.waiting.count + line.count <= capacity {
                state.waiting += line[written...]
            } else {
                state.lost += 1
            }
            defer { state.hasThread = true }
            return !state.hasThread
        }
        state.wake()
        // Without a thread the lines wait for the next one that makes it.
        if needsThread, (try? SystemThread.detached("log", writeAll)) == nil { state.withLock { $0.hasThread = false } }
    }

    /// Waits until nothing waits any more, but not longer than so many milliseconds.
    func flush(within milliseconds: Int64 = 1_000) {
        let end = monotonicNow() + milliseconds * 1_000_000
        while state.withLock(\.isBehind), monotonicNow() < end { usleep(1_000) }
    }

    private func isReady() -> Bool {
        var question = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        return poll(&question, 1, 0) == 1 && question.revents == Int16(POLLOUT)
    }

    /// - Returns: how many bytes were written; `nil` with `errno` if none.
    private func put(_ bytes: ArraySlice<UInt8>) -> Int? {
        let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        return count < 0 ? nil : count
    }

    private func writeAll() {
        while true {
            var rest: ArraySlice<UInt8> = state.wait { state, _ in
                guard !state.waiting.isEmpty || state.lost > 0 else {
                    state.isBehind = false
                    return .wait(until: nil)
                }
                var lines: [UInt8] = []
                swap(&lines, &state.waiting)
                if state.lost > 0 { lines += state.lossLine(state.lost) }
                state.lost = 0
                return .found(lines[...])
            }
            while !rest.isEmpty {
                if let count = put(rest) {
                    rest = rest.dropFirst(count)
                } else if errno == EAGAIN {
                    var question = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    poll(&question, 1, -1)
                } else if errno != EINTR {
                    // Nobody reads it, or the disk is full: the next lines may have more luck.
                    rest = []
                }
            }
        }
    }
}
