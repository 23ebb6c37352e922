internal import Glibc
internal import Synchronization

/// Hands values from any thread to one thread that sleeps in `poll`.
final class Mailbox<Letter: Sendable>: Sendable {
    /// Readable while there may be letters.
    let bell: Int32
    private let ringer: Int32
    private let letters = Mutex<[Letter]>([])

    /// `nil` if the process has no descriptors left.
    init?() {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return nil }
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        bell = ends[0]
        ringer = ends[1]
    }

    deinit {
        close(bell)
        close(ringer)
    }

    func post(_ letter: Letter) {
        let wasEmpty = letters.withLock { letters in
            letters.append(letter)
            return letters.count == 1
        }
        // A full pipe rings as well.
        if wasEmpty { _ = write(ringer, [1], 1) }
    }

    /// Everything that has come; empty if nothing has.
    func take() -> [Letter] {
        var rings = [UInt8](repeating: 0, count: 64)
        while read(bell, &rings, rings.count) == rings.count {}
        return letters.withLock { letters in
            defer { letters = [] }
            return letters
        }
    }
}
