internal import Glibc

extension Journal {
    /// Looks for what would keep a journal from being opened in `folder`. Nothing is made, locked or changed, so another
    /// process may have it open. Of the database, the header alone is read.
    ///
    /// - Returns: `nil` if nothing is in the way as far as this tells. A folder that is not there is none.
    public static func obstacle(in folder: String) -> JournalError? {
        var status = stat()
        guard stat(folder, &status) == 0 else {
            guard errno == ENOENT else { return .system(call: "stat", path: folder, code: errno) }
            // It will be made, but no folder above it.
            guard access(parent(of: folder), W_OK | X_OK) == 0 else {
                return .system(call: "mkdir", path: folder, code: errno)
            }
            return nil
        }
        do {
            try FolderLock.checkRights(folder, status)
            try DatabaseHeader.check("\(folder)/journal.sqlite")
            return nil
        } catch {
            return error
        }
    }

    /// Whether a journal was begun in `folder`: there is at least the head of a database.
    public static func exists(in folder: String) -> Bool {
        var status = stat()
        return stat("\(folder)/journal.sqlite", &status) == 0 && status.st_size >= DatabaseHeader.size
    }

    /// Of a path without a slash at its end.
    private static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}

/// The first hundred bytes of a database (SQLite's file format, section 1.3).
private enum DatabaseHeader {
    private static let magic = Array("SQLite format 3\0".utf8)
    static let size = 100
    private static let applicationIDOffset = 68

    /// A file that is not there or is empty is one that is still to be made.
    static func check(_ path: String) throws(JournalError) {
        let file = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard file >= 0 else {
            if errno == ENOENT { return }
            throw .system(call: "open", path: path, code: errno)
        }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: size)
        let count = pread(file, &bytes, size, 0)
        guard count >= 0 else { throw .system(call: "read", path: path, code: errno) }
        guard count > 0 else { return }
        guard count == size, bytes.starts(with: magic) else {
            throw .corrupt(path: path, reason: "file is not a database")
        }
        // The newest header may still stand in the write-ahead log, and whoever has the journal open has checked it.
        var log = stat()
        guard stat("\(path)-wal", &log) != 0 || log.st_size == 0 else { return }
        let id = bytes[applicationIDOffset..<applicationIDOffset + 4].reduce(0) { $0 << 8 | Int($1) }
        guard id == Schema.applicationID else { throw .foreign(path: path) }
    }
}
