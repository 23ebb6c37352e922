import GRDB
import Glibc
import Journal
import Testing
import Workbench

struct OpeningTests {
    private let folder: Folder

    init() throws {
        folder = try Folder()
    }

    @Test func `a second opener is refused and told who has it`() throws {
        let journal = try Journal(folder: folder.path)
        #expect(throws: JournalError.locked(folder: folder.path, process: getpid())) {
            try Journal(folder: folder.path)
        }
        try journal.close()
    }

    @Test func `folder and files are for their owner alone, whatever the umask`() throws {
        let inner = "\(folder.path)/journal"
        let before = umask(0)
        defer { umask(before) }
        let journal = try Journal(folder: inner)
        journal.start(Listener())
        try journal.commit { $0.fannedOutThrough = 1 }
        #expect(mode(inner) == 0o700)
        for name in ["journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm", "lock"] {
            #expect(mode("\(inner)/\(name)") == 0o600, "\(name)")
        }
        try journal.close()
        for name in ["journal.sqlite", "lock"] { unlink("\(inner)/\(name)") }
        rmdir(inner)
    }

    @Test func `a folder that others may enter is refused`() throws {
        chmod(folder.path, 0o750)
        #expect(throws: JournalError.exposed(folder: folder.path, mode: 0o750)) { try Journal(folder: folder.path) }
    }

    @Test(.enabled(if: geteuid() == 0, "only root can give a folder away"))
    func `a folder of another user is refused`() throws {
        chown(folder.path, 12_345, 0)
        #expect(throws: JournalError.foreignOwner(folder: folder.path, owner: 12_345)) {
            try Journal(folder: folder.path)
        }
    }

    @Test func `what is no database is named as damaged`() throws {
        try write(
            Array("this is a letter to the reader, and no database at all\n".utf8)
                + [UInt8](repeating: 65, count: 5_000))
        let error = #expect(throws: JournalError.self) { try Journal(folder: folder.path) }
        guard case .corrupt = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func `a damaged page is found`() throws {
        let journal = try Journal(folder: folder.path)
        journal.start(Listener())
        try journal.submit(
            (0..<500).map { .sample("e\($0)", body: [UInt8](repeating: 1, count: 500)) }, group: nil, token: 0)
        try journal.close()
        var bytes = contents(of: "\(folder.path)/journal.sqlite")
        // In the middle of `events`; neither the schema nor the newest row.
        let page = bytes.count / 4_096 / 2 * 4_096
        bytes.replaceSubrange(page..<page + 4_096, with: [UInt8](repeating: 0xEE, count: 4_096))
        try write(bytes)
        let again = try Journal(folder: folder.path)
        let damage = try again.findDamage()
        #expect(!damage.isEmpty && damage.allSatisfy { $0.table == "events" }, "\(damage)")
        try again.close()
        #expect(throws: JournalError.closed) { try again.findDamage() }
    }

    @Test func `another program's database, and a newer one of ours, are left alone`() throws {
        try sqlite("CREATE TABLE t(x)")
        #expect(throws: JournalError.foreign(path: "\(folder.path)/journal.sqlite")) {
            try Journal(folder: folder.path)
        }
        unlink("\(folder.path)/journal.sqlite")
        try Journal(folder: folder.path).close()
        try sqlite("INSERT INTO grdb_migrations VALUES('99')")
        #expect(throws: JournalError.newer(path: "\(folder.path)/journal.sqlite")) { try Journal(folder: folder.path) }
    }

    @Test func `a journal that was not closed says so`() async throws {
        let path = folder.path
        await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String] in
            _ = try Journal(folder: path)
            kill(getpid(), SIGKILL)
        }
        let journal = try Journal(folder: path)
        #expect(!journal.wasClosedInOrder)
        try journal.close()
    }

    @Test func `the lock needs no more room at a later start, whatever the end before it was`() async throws {
        let path = folder.path
        func size() -> Int64 {
            var status = stat()
            return stat("\(path)/lock", &status) == 0 ? Int64(status.st_size) : -1
        }
        let journal = try Journal(folder: path)
        #expect(journal.wasClosedInOrder)
        let first = size()
        try journal.close()
        #expect(first > 0 && size() == first)
        let again = try Journal(folder: path)
        #expect(again.wasClosedInOrder && size() == first)
        try again.close()
        await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String] in
            _ = try Journal(folder: path)
            kill(getpid(), SIGKILL)
        }
        #expect(size() == first)
        let last = try Journal(folder: path)
        #expect(!last.wasClosedInOrder && size() == first)
        try last.close()
        #expect(size() == first)
    }

    private func sqlite(_ sql: String) throws {
        let queue = try DatabaseQueue(path: "\(folder.path)/journal.sqlite")
        try queue.write { try $0.execute(sql: sql) }
        try queue.close()
    }

    private func mode(_ path: String) -> mode_t {
        var status = stat()
        stat(path, &status)
        return status.st_mode & 0o7777
    }

    private func write(_ bytes: [UInt8]) throws {
        let file = open("\(folder.path)/journal.sqlite", O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        try #require(file >= 0)
        defer { close(file) }
        try #require(Glibc.write(file, bytes, bytes.count) == bytes.count)
    }
}
