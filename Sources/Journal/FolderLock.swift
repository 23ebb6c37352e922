internal import Glibc
internal import Synchronization

/// The journal's folder, ours alone while this lives: made with mode 0700 if absent, and locked against a second
/// daemon, for two writers' sequences would tangle.
final class FolderLock: Sendable {
    /// Whether the last owner closed the journal in order, as far as the lock file tells; and if an earlier one did not,
    /// whether somebody has looked since.
    let wasClosedInOrder: Bool
    private let file: Mutex<Int32?>

    init(folder: String) throws(JournalError) {
        if mkdir(folder, 0o700) == 0 {
            try Self.sync("\(folder)/..")
        } else if errno != EEXIST {
            throw .system(call: "mkdir", path: folder, code: errno)
        }
        var status = stat()
        guard stat(folder, &status) == 0 else { throw .system(call: "stat", path: folder, code: errno) }
        try Self.checkRights(folder, status)
        let path = "\(folder)/lock"
        // flock(2) ends with the process, however that ends; the file itself stays.
        let file = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw .system(call: "open", path: path, code: errno) }
        guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            let owner = Self.owner(file)
            close(file)
            throw code == EWOULDBLOCK
                ? .locked(folder: folder, process: owner ?? 0) : .system(call: "flock", path: path, code: code)
        }
        wasClosedInOrder = Self.owner(file) == nil
        self.file = Mutex(file)
        guard Self.write(getpid(), to: file) else {
            let code = errno
            close(file)
            throw .system(call: "write", path: path, code: code)
        }
    }

    /// It is a folder, its owner runs us, and nobody else may enter it.
    static func checkRights(_ folder: String, _ status: stat) throws(JournalError) {
        guard status.st_mode & S_IFMT == S_IFDIR else {
            throw .system(call: "mkdir", path: folder, code: ENOTDIR)
        }
        guard status.st_uid == geteuid() else { throw .foreignOwner(folder: folder, owner: status.st_uid) }
        guard status.st_mode & 0o077 == 0 else {
            throw .exposed(folder: folder, mode: status.st_mode & 0o7777)
        }
    }

    deinit {
        if let file = file.withLock(\.self) { close(file) }
    }

    /// Notes that the journal is closed in order, and lets the next one have it.
    ///
    /// - Parameter isSound: nobody has to look for damage; else the next start has to, as after an unclean end.
    func release(isSound: Bool) {
        file.withLock { file in
            guard let open = file.take() else { return }
            _ = Self.write(isSound ? 0 : Self.unchecked, to: open)
            close(open)
        }
    }

    /// Makes a new name survive a power cut.
    private static func sync(_ folder: String) throws(JournalError) {
        let file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard file >= 0 else { throw .system(call: "open", path: folder, code: errno) }
        defer { close(file) }
        guard fsync(file) == 0 else { throw .system(call: "fsync", path: folder, code: errno) }
    }

    /// No process, but an unclean end that nobody has looked into.
    private static let unchecked: Int32 = -1

    /// Notes the owner; 0 = none, closed in order. Always over the same bytes: they need no room on a full disk.
    private static func write(_ process: Int32, to file: Int32) -> Bool {
        let digits = "\(process)"
        let line = digits + String(repeating: " ", count: max(0, width - digits.utf8.count)) + "\n"
        return pwrite(file, line, line.utf8.count, 0) == line.utf8.count
    }

    /// The process that wrote itself into the lock file; `nil` if it closed in order, or there was none.
    private static func owner(_ file: Int32) -> Int32? {
        var text = [UInt8](repeating: 0, count: width + 1)
        let count = pread(file, &text, text.count, 0)
        guard count > 0 else { return nil }
        let digits = text[..<count].prefix { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\n") }
        let process = Int32(String(decoding: digits, as: UTF8.self)) ?? -1
        return process == 0 ? nil : process
    }

    /// The longest process id and a sign, in digits.
    private static let width = 11
}
