import Credentials
import Glibc
import Testing
import Workbench

struct KeyRingTests {
    private let folder: Folder
    private var path: String { "\(folder.path)/keys" }

    init() throws {
        folder = try Folder()
    }

    @Test func `a ring is made once, for its owner alone, and found again`() throws {
        let before = umask(0)
        defer { umask(before) }
        let made = try KeyRing.open(path: path, now: noon)
        #expect(made.ids == [1])
        #expect(made.current == 1)
        #expect(folder.names == ["keys"])
        var status = stat()
        stat(path, &status)
        #expect(status.st_mode & 0o7777 == 0o600)
        let text = try Folder.read(path)
        let found = try KeyRing.open(path: path, now: noon)
        #expect(try Folder.read(path) == text)
        #expect(KeyedHash(.subject, ring: made)("x") == KeyedHash(.subject, ring: found)("x"))
    }

    @Test func `two rings have nothing in common`() throws {
        let one = try KeyRing.open(path: path, now: noon)
        let other = try KeyRing.open(path: "\(folder.path)/others", now: noon)
        #expect(KeyedHash(.subject, ring: one)("x") != KeyedHash(.subject, ring: other)("x"))
        let texts = try ["keys", "others"].map { name in
            Set(
                try Folder.read("\(folder.path)/\(name)").split(whereSeparator: \.isWhitespace).filter {
                    $0.count == 44
                })
        }
        #expect(texts[0].count == 2)
        #expect(texts[0].isDisjoint(with: texts[1]))
    }

    @Test func `several keys, of which one is current`() throws {
        let key = String(repeating: "A", count: 43)
        try folder.write(
            "keys",
            """
            runtime-sync keys 1
            hash \(key)
            key 1 2026-11-21T22:10:00.000Z \(key)
            key 7 2027-11-21T22:10:00.000Z \(key)
            current 7

            """)
        let ring = try KeyRing.open(path: path, now: noon)
        #expect(ring.ids == [1, 7])
        #expect(ring.current == 7)
    }

    @Test(arguments: [0o640, 0o604, 0o620, 0o610] as [mode_t])
    func `a ring that others may read or write is refused`(mode: mode_t) throws {
        _ = try KeyRing.open(path: path, now: noon)
        chmod(path, mode)
        #expect(throws: KeyRingError.exposed(path: path, mode: mode)) { try KeyRing.open(path: path, now: noon) }
    }

    @Test(.enabled(if: geteuid() == 0, "only root can give a file away"))
    func `a ring of another user is refused`() throws {
        _ = try KeyRing.open(path: path, now: noon)
        chown(path, 12_345, 0)
        #expect(throws: KeyRingError.foreignOwner(path: path, owner: 12_345)) {
            try KeyRing.open(path: path, now: noon)
        }
    }

    @Test func `a symbolic link, a directory or a pipe is no ring`() throws {
        _ = try KeyRing.open(path: "\(folder.path)/real", now: noon)
        symlink("real", path)
        #expect(throws: KeyRingError.notARegularFile(path: path)) { try KeyRing.open(path: path, now: noon) }
        unlink(path)
        mkfifo(path, 0o600)
        #expect(throws: KeyRingError.notARegularFile(path: path)) { try KeyRing.open(path: path, now: noon) }
        #expect(throws: KeyRingError.notARegularFile(path: folder.path)) {
            try KeyRing.open(path: folder.path, now: noon)
        }
    }

    @Test func `a ring that cannot be made says where and why`() throws {
        let nowhere = "\(folder.path)/missing/keys"
        let error = #expect(throws: KeyRingError.self) { try KeyRing.open(path: nowhere, now: noon) }
        #expect("\(try #require(error))".contains(nowhere))
    }

    @Test(arguments: [
        ("", 1), ("runtime-sync keys 2\n", 1), ("runtime-sync keys 1\n   \n", 2),
        ("runtime-sync keys 1\nhash SECRETSECRET\n", 2),
        ("runtime-sync keys 1\nkey 0 2026-11-21T22:10:00Z SECRETSECRET\n", 2),
        ("runtime-sync keys 1\nkey 1 yesterday SECRETSECRET\n", 2),
        ("runtime-sync keys 1\ncurrent 1\n", 3),
        ("runtime-sync keys 1\nhash \(String(repeating: "A", count: 43))\ncurrent 1\n", 4),
    ])
    func `a malformed ring is refused with its line and without its contents`(text: String, line: Int) throws {
        try folder.write("keys", text)
        let error = #expect(throws: KeyRingError.self) { try KeyRing.open(path: path, now: noon) }
        guard case .malformed(path, line, let expected) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(!expected.isEmpty)
        #expect(!"\(try #require(error))".contains("SECRET"))
    }
}
