internal import CSpawn
internal import Glibc

/// An open file descriptor that closes itself with its last reference.
public final class Descriptor: Sendable {
    /// Borrowed: valid as long as this object.
    public let number: Int32

    /// Takes over `number`, which nobody else closes from here on.
    public init(owning number: Int32) {
        self.number = number
    }

    /// Takes over the result of a system call; -1 becomes the error that `errno` names.
    init(checking number: Int32, _ call: String) throws(SystemError) {
        guard number >= 0 else { throw SystemError(call) }
        self.number = number
    }

    /// A connected AF_UNIX pair: the daemon's end and the worker's.
    static func pair(_ type: __socket_type) throws(SystemError) -> (ours: Descriptor, theirs: Descriptor) {
        var ends: [Int32] = [-1, -1]
        guard rsp_socketpair(Int32(type.rawValue), &ends) == 0 else { throw SystemError("socketpair") }
        return (Descriptor(owning: ends[0]), Descriptor(owning: ends[1]))
    }

    /// A pipe.
    static func pipe() throws(SystemError) -> (reading: Descriptor, writing: Descriptor) {
        var ends: [Int32] = [-1, -1]
        // Without pipe2(2), which Swift does not see, a child that is made at this moment gets both ends for a moment:
        // rsp_spawn closes all that a worker is not meant to have.
        guard Glibc.pipe(&ends) == 0 else { throw SystemError("pipe") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (Descriptor(owning: ends[0]), Descriptor(owning: ends[1]))
    }

    /// The same open file under a number of its own, for an owner that closes it itself.
    func duplicate() throws(SystemError) -> Int32 {
        let copy = fcntl(number, F_DUPFD_CLOEXEC, 3)
        guard copy >= 0 else { throw SystemError("fcntl") }
        return copy
    }

    /// Lends the first 64 KiB of a file's contents, for a secret of which only a trace is kept; nothing if they cannot
    /// be read.
    func lendContents(_ body: (UnsafeRawBufferPointer) -> Void) {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 1)
        defer {
            if let start = memory.baseAddress { explicit_bzero(start, memory.count) }
            memory.deallocate()
        }
        let count = pread(number, memory.baseAddress, memory.count, 0)
        if count > 0 { body(UnsafeRawBufferPointer(rebasing: memory[..<count])) }
    }

    deinit {
        close(number)
    }
}

/// A system call that failed.
public struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
    public let call: String
    /// `errno`.
    public let number: Int32

    package init(_ call: String, _ number: Int32 = errno) {
        self.call = call
        self.number = number
    }

    public var description: String {
        "\(call): \(systemText(number))"
    }
}

/// What an `errno` value means, such as `No such file or directory`.
func systemText(_ number: Int32) -> String {
    // Not strerror(3), which may return one buffer to two threads.
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { text in
        guard let start = text.baseAddress, strerror_r(number, start, text.count) == 0 else { return "error \(number)" }
        return String(cString: start)
    }
}
