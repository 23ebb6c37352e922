internal import Glibc
internal import Threads

/// Writes lines to a descriptor that somebody may have stopped reading: whoever has a line never waits.
///
/// A line goes out at once where that cannot wait, so that what was said before a crash is there: into a file, or into a
/// pipe or terminal that has room. Else it waits here, and a thread that is made for it writes; of what does not fit any
/// more only the number of lines is told. Any thread.
final class LogWriter: Sendable {
    /// The process's own.
    static let stderr = LogWriter(STDERR_FILENO)

    private struct State {
        /// Whole lines, in their order; of the first one, maybe only the rest.
        var waiting: [UInt8] = []
        /// Bytes that the thread is writing.
        var inHand = 0
        var lost = 0
        var hasThread = false
        var lossLine: @Sendable (_ count: Int) -> [UInt8] = { Array("\($0) lines lost\n".utf8) }

        var isBehind: Bool { inHand > 0 || !waiting.isEmpty || lost > 0 }
    }

    private let descriptor: Int32
    /// Takes what it can and never waits; `nil` where there is no such thing, as for a socket.
    private let prompt: Int32?
    private let capacity: Int
    private let state = Monitor(State())

    /// - Parameters:
    ///   - descriptor: open for as long as this lives.
    ///   - capacity: bytes that may wait; default 4 MiB.
    init(_ descriptor: Int32, capacity: Int = 4 << 20) {
        self.descriptor = descriptor
        self.capacity = capacity
        var status = stat()
        let isFile = fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
        // Whether it waits belongs to what is open, which others may share: so it is opened once more.
        let flags = O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC
        let again = isFile ? descriptor : open("/proc/self/fd/\(descriptor)", flags)
        prompt = again >= 0 ? again : nil
    }

    deinit {
        if let prompt, prompt != descriptor { close(prompt) }
    }

    /// How the number of lost lines is told.
    func tellLoss(_ line: @escaping @Sendable (_ count: Int) -> [UInt8]) {
        state.withLock { $0.lossLine = line }
    }

    /// Writes one line, with the line feed at its end.
    func write(_ line: [UInt8]) {
        let needsThread = state.withLock { state in
            var rest = line[...]
            if !state.isBehind, let prompt, let count = Self.put(rest, into: prompt) { rest = rest.dropFirst(count) }
            guard !rest.isEmpty else { return false }
            if state.inHand + state.waiting.count + rest.count <= capacity {
                state.waiting += rest
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

    /// - Returns: how many bytes were written; `nil` with `errno` if none.
    private static func put(_ bytes: ArraySlice<UInt8>, into descriptor: Int32) -> Int? {
        let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        return count < 0 ? nil : count
    }

    private func writeAll() {
        while true {
            var rest: ArraySlice<UInt8> = state.wait { state, _ in
                guard !state.waiting.isEmpty || state.lost > 0 else { return .wait(until: nil) }
                var lines: [UInt8] = []
                swap(&lines, &state.waiting)
                if state.lost > 0 { lines += state.lossLine(state.lost) }
                state.lost = 0
                state.inHand = lines.count
                return .found(lines[...])
            }
            while !rest.isEmpty {
                if let count = Self.put(rest, into: descriptor) {
                    rest = rest.dropFirst(count)
                } else if errno == EAGAIN {
                    var question = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    poll(&question, 1, -1)
                } else if errno != EINTR {
                    // Nobody reads it, or the disk is full: the next lines may have more luck.
                    rest = []
                }
            }
            state.withLock { $0.inHand = 0 }
        }
    }
}
