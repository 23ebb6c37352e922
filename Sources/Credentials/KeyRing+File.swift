public import EventModel
internal import Glibc

/// Why there is no key ring; never what the file holds.
public enum KeyRingError: Error, Hashable, Sendable {
    /// A system call failed; `code` is its errno.
    case system(call: String, path: String, code: Int32)
    /// It is a directory, a symbolic link, a device …
    case notARegularFile(path: String)
    /// It belongs to another user.
    case foreignOwner(path: String, owner: UInt32)
    /// Others than its owner may read or write it.
    case exposed(path: String, mode: UInt32)
    /// It does not hold what a key ring holds.
    case malformed(path: String, line: Int, expected: String)
}

extension KeyRingError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .system(let call, let path, let code):
            "key file \(path): \(call): \(String(cString: strerror(code)))"
        case .notARegularFile(let path):
            "key file \(path) is not a regular file; symbolic links are not followed"
        case .foreignOwner(let path, let owner):
            "key file \(path) belongs to user \(owner); it must belong to user \(geteuid()), who runs the daemon"
        case .exposed(let path, let mode):
            "key file \(path) has mode \(String(mode, radix: 8)); only its owner may read it: chmod 600"
        case .malformed(let path, let line, let expected):
            "key file \(path), line \(line): expected \(expected)"
        }
    }
}

extension KeyRing {
    /// Reads the ring from `path`.
    ///
    /// - Returns: `nil` if there is no such file.
    public static func existing(path: String) throws(KeyRingError) -> KeyRing? {
        try load(path)
    }

    /// Reads the ring from `path`; where there is none, makes one that is on disk before this returns. Only for an
    /// installation that has sealed nothing yet: what was sealed under a lost ring is not opened by a new one.
    ///
    /// The file is made under another name and linked to its own when it is complete, so a half-written ring is never
    /// found, and of two processes that make one, both get the first one's.
    public static func open(path: String, now: Timestamp) throws(KeyRingError) -> KeyRing {
        if let ring = try load(path) { return ring }
        try create(path, now)
        guard let ring = try load(path) else { throw .system(call: "open", path: path, code: ENOENT) }
        return ring
    }

    /// - Returns: `nil` if there is no such file.
    private static func load(_ path: String) throws(KeyRingError) -> KeyRing? {
        let file = Glibc.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard file >= 0 else {
            if errno == ENOENT { return nil }
            throw errno == ELOOP ? .notARegularFile(path: path) : .system(call: "open", path: path, code: errno)
        }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else { throw .system(call: "fstat", path: path, code: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .notARegularFile(path: path) }
        guard status.st_uid == geteuid() else { throw .foreignOwner(path: path, owner: status.st_uid) }
        guard status.st_mode & 0o077 == 0 else { throw .exposed(path: path, mode: status.st_mode & 0o7777) }
        let text = try SecretBytes(capacity: 65_536) { (memory) throws(KeyRingError) in
            let count = read(file, memory.baseAddress, memory.count)
            guard count >= 0 else { throw .system(call: "read", path: path, code: errno) }
            return count
        }
        do {
            return try text.withUnsafeBytes { (bytes) throws(FormatError) in try KeyRing(parsing: bytes) }
        } catch {
            throw .malformed(path: path, line: error.line, expected: error.expected)
        }
    }

    private static func create(_ path: String, _ now: Timestamp) throws(KeyRingError) {
        let draft = "\(path).\(getpid())"
        let file = Glibc.open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw .system(call: "create", path: draft, code: errno) }
        defer {
            close(file)
            unlink(draft)
        }
        var text = newText(at: now)
        let written = write(file, text, text.count)
        let reason = errno
        text.withUnsafeMutableBytes { $0.wipe() }
        guard written == text.count else {
            throw .system(call: "write", path: draft, code: written < 0 ? reason : ENOSPC)
        }
        guard fsync(file) == 0 else { throw .system(call: "fsync", path: draft, code: errno) }
        guard link(draft, path) == 0 || errno == EEXIST else {
            throw .system(call: "link", path: path, code: errno)
        }
        try syncFolder(of: path)
    }

    /// Makes the file's name, and not only its contents, survive a power cut.
    private static func syncFolder(of path: String) throws(KeyRingError) {
        let name = path.utf8.lastIndex(of: UInt8(ascii: "/"))
        let folder = name.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let file = Glibc.open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard file >= 0 else { throw .system(call: "open", path: folder, code: errno) }
        defer { close(file) }
        guard fsync(file) == 0 else { throw .system(call: "fsync", path: folder, code: errno) }
    }
}
