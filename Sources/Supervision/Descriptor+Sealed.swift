internal import CSpawn
internal import Glibc

// What a worker gets to read: copies in memory that nobody can change any more.
extension Descriptor {
    /// A file that a plugin gets has at most so many bytes.
    public static let maximumFileBytes: UInt64 = 16 << 20

    /// Copies a file into sealed memory.
    ///
    /// - Parameter name: shows in /proc, for people.
    public static func sealedCopy(ofFile path: String, name: String) throws -> Descriptor {
        let file = try Descriptor(checking: open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), "open \(path)")
        return try Descriptor(checking: rsp_sealed_copy(file.number, maximumFileBytes, name), "copy \(path)")
    }

    /// Copies bytes into sealed memory. The caller keeps, and wipes, its own.
    public static func sealed(_ bytes: UnsafeRawBufferPointer, name: String) throws -> Descriptor {
        try Descriptor(checking: rsp_sealed_bytes(bytes.baseAddress, bytes.count, name), "copy \(name)")
    }
}
