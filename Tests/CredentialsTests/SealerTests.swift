import Crypto
import EventModel
import Glibc
import Testing
import Workbench

@testable import Credentials

struct SealerTests {
    private let folder: Folder
    private let ring: KeyRing
    private let store = KeyStore()
    private let keys: DataKeys
    private let sealer: Sealer

    private static let subject = SubjectKey(instance: "prod", realmID: "b7d1", userID: "9a3c")
    private static let version = Version(at: noon, node: "kc-0", sequence: 4_711, receipt: 1)
    private static let context = SealContext(event: "e1", subject: subject, version: version)

    init() throws {
        folder = try Folder()
        ring = try KeyRing.open(path: "\(folder.path)/keys", now: noon)
        keys = try DataKeys(ring: ring, stored: [], persist: store.add)
        sealer = Sealer(keys: keys)
    }

    private func seal(_ text: String, in context: SealContext = context, at moment: Timestamp = noon) -> [UInt8] {
        Array(text.utf8).withUnsafeBytes { sealer.seal($0, as: .secret, in: context, at: moment) }
    }

    @Test(arguments: ["", "x", "hunter2", String(repeating: "é", count: 500)])
    func `a sealed secret opens again`(secret: String) throws {
        let sealed = seal(secret)
        #expect(try sealer.openSecret(sealed, in: Self.context).array == Array(secret.utf8))
        #expect(Sealer.keyID(of: sealed) == store.keys[0].id)
    }

    @Test func `a secret is known by its mark in its context and hour, until the data key goes`() throws {
        func mark(
            _ text: String = "hunter2", in context: SealContext = Self.context, at moment: Timestamp = noon,
            isNew: Bool = false
        ) -> UInt64? {
            Array(text.utf8).withUnsafeBytes { sealer.mark($0, in: context, at: moment, isNew: isNew) }
        }
        #expect(mark() == nil)
        let first = try #require(mark(isNew: true))
        #expect(mark() == first && mark(at: noon + 3_599_999) == first)
        #expect(store.keys.count == 1)
        _ = seal("hunter2")
        #expect(store.keys.count == 1)
        for other in [
            mark("hunter3"), mark(in: SealContext(event: "e2", subject: Self.subject, version: Self.version)),
            mark(at: noon + 3_600_000, isNew: true),
        ] { #expect(other != nil && other != first) }
        keys.forget(DataKeys.id(of: .secret, at: noon))
        #expect(mark() == nil)
    }

    @Test func `a sealed body opens again`() throws {
        let body = Array(#"{"kind":"password.updated"}"#.utf8)
        let context = SealContext(event: "e1")
        for purpose in [SealPurpose.body, .state] {
            let sealed = body.withUnsafeBytes { sealer.seal($0, as: purpose, in: context, at: noon) }
            #expect(sealed.count == body.count + 33)
            #expect(try sealer.open(sealed, as: purpose, in: context) == body)
        }
    }

    @Test func `the size of a sealed secret does not tell the password's length`() {
        #expect(Set((0...60).map { seal(String(repeating: "x", count: $0)).count }) == [64 + 33])
        #expect(seal(String(repeating: "x", count: 61)).count == 128 + 33)
    }

    @Test func `the same secret is never sealed to the same bytes`() {
        let nonces = Set((0..<2_000).map { _ in Array(seal("hunter2")[5..<17]) })
        #expect(nonces.count == 2_000)
    }

    @Test(arguments: [
        SealContext(event: "e2", subject: subject, version: version),
        SealContext(event: "e1", subject: nil, version: version),
        SealContext(
            event: "e1", subject: SubjectKey(instance: "test", realmID: "b7d1", userID: "9a3c"), version: version),
        SealContext(
            event: "e1", subject: SubjectKey(instance: "prod", realmID: "b7d2", userID: "9a3c"), version: version),
        SealContext(
            event: "e1", subject: SubjectKey(instance: "prod", realmID: "b7d1", userID: "9a3d"), version: version),
        SealContext(event: "e1", subject: subject, version: nil),
        SealContext(
            event: "e1", subject: subject, version: Version(at: noon + 1, node: "kc-0", sequence: 4_711, receipt: 1)),
        SealContext(
            event: "e1", subject: subject, version: Version(at: noon, node: "kc-1", sequence: 4_711, receipt: 1)),
        SealContext(
            event: "e1", subject: subject, version: Version(at: noon, node: nil, sequence: 4_711, receipt: 1)),
        SealContext(
            event: "e1", subject: subject, version: Version(at: noon, node: "kc-0", sequence: 4_712, receipt: 1)),
        SealContext(
            event: "e1", subject: subject, version: Version(at: noon, node: "kc-0", sequence: nil, receipt: 1)),
        SealContext(table: "event", key: Array("e1".utf8)),
    ])
    func `a secret opens for its own event, subject and version alone`(context: SealContext) {
        let sealed = seal("hunter2")
        #expect(throws: SealError.notAuthentic) { _ = try sealer.openSecret(sealed, in: context) }
    }

    @Test func `the receipt, given after the sealing, does not count`() throws {
        let later = Version(at: noon, node: "kc-0", sequence: 4_711, receipt: 99)
        let context = SealContext(event: "e1", subject: Self.subject, version: later)
        #expect(try sealer.openSecret(seal("hunter2"), in: context).array == Array("hunter2".utf8))
    }

    @Test func `the parts of a context cannot be shifted into each other`() {
        #expect(SealContext(table: "ab", key: [0x63]) != SealContext(table: "a", key: [0x62, 0x63]))
        #expect(
            SealContext(event: "")
                != SealContext(event: "", version: Version(at: noon, node: "", sequence: nil, receipt: 0)))
    }

    @Test func `every changed byte is found out`() {
        let sealed = seal("hunter2")
        for index in sealed.indices {
            var changed = sealed
            changed[index] ^= 1
            let error = #expect(throws: SealError.self) { _ = try sealer.openSecret(changed, in: Self.context) }
            switch index {
            case 0: #expect(error == .malformed)
            case 1..<5: #expect(error == .unknownKey(id: Sealer.keyID(of: changed) ?? 0))
            default: #expect(error == .notAuthentic)
            }
        }
    }

    @Test func `every cut is found out`() {
        let sealed = seal("hunter2")
        for count in 0..<sealed.count {
            #expect(throws: SealError.self) { _ = try sealer.openSecret(Array(sealed[..<count]), in: Self.context) }
        }
    }

    @Test func `a value of one purpose does not open as another, even under the same key`() throws {
        let stored = [UInt8](repeating: 7, count: 64).withUnsafeBytes {
            sealer.seal($0, as: .body, in: Self.context, at: noon)
        }
        #expect(throws: SealError.notAuthentic) { _ = try sealer.openSecret(stored, in: Self.context) }
        #expect(throws: SealError.notAuthentic) { try sealer.open(stored, as: .state, in: Self.context) }
    }

    @Test func `the layout is the documented one, and the key's id is authenticated`() throws {
        let context = SealContext(event: "e1")
        let sealed = ([1, 2, 3] as [UInt8]).withUnsafeBytes { sealer.seal($0, as: .body, in: context, at: noon) }
        let id = try #require(store.keys.first?.id)
        let key = try #require(keys.key(id))
        #expect(sealed[0] == 1)
        #expect(Array(sealed[1..<5]) == id.bytes)
        let box = try AES.GCM.SealedBox(
            nonce: AES.GCM.Nonce(data: sealed[5..<17]), ciphertext: sealed[17..<20], tag: sealed[20...])
        let purpose: [UInt8] = [2]
        let clear = try AES.GCM.open(box, using: key, authenticating: [1] + id.bytes + purpose + context.bytes)
        #expect(Array(clear) == [1, 2, 3])
        #expect(throws: (any Error).self) {
            try AES.GCM.open(box, using: key, authenticating: [1] + (id + 4).bytes + purpose + context.bytes)
        }
    }

    @Test func `a forgotten key ends what it sealed, and nothing else`() throws {
        let old = seal("old")
        let new = seal("new", at: noon + 3_600_000)
        #expect(store.keys.map(\.id) == keys.ids)
        keys.forget(try #require(Sealer.keyID(of: old)))
        #expect(throws: SealError.unknownKey(id: Sealer.keyID(of: old) ?? 0)) {
            _ = try sealer.openSecret(old, in: Self.context)
        }
        #expect(try sealer.openSecret(new, in: Self.context).array == Array("new".utf8))
    }

    @Test func `values open after a restart with the stored keys`() throws {
        let sealed = seal("hunter2")
        let again = Sealer(keys: try DataKeys(ring: ring, stored: store.keys, persist: { _ in }))
        #expect(try again.openSecret(sealed, in: Self.context).array == Array("hunter2".utf8))
    }

    @Test func `a secret leaves nothing in memory once it was sealed, opened and dropped`() async throws {
        let path = folder.path
        await #expect(processExitsWith: .success) { [path = path as String] in
            // The clear canary stands nowhere but in what is tested: it is put together from two halves that are not it.
            let mask = (0..<200).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 11) }
            let masked = (0..<200).map { UInt8(truncatingIfNeeded: $0 &* 91 &+ $0 >> 3) }
            let ring = try KeyRing.open(path: "\(path)/keys", now: noon)
            let sealer = Sealer(keys: try DataKeys(ring: ring, stored: [], persist: { _ in }))
            let context = SealContext(event: "e1")
            func work() throws {
                for count in [40, 200] {
                    let secret = SecretBytes(capacity: count) { memory in
                        for index in 0..<count { memory[index] = mask[index] ^ masked[index] }
                        return count
                    }
                    let sealed = secret.withUnsafeBytes { sealer.seal($0, as: .secret, in: context, at: noon) }
                    for _ in 0..<10 {
                        let opened = try sealer.openSecret(sealed, in: context)
                        #expect(opened.count == count)
                    }
                }
            }
            // The allocator writes its own notes over the beginning of what is freed, so the middle is looked for.
            func occurrences() -> [Int] {
                [20..<36, 100..<116].map { Memory.occurrences(of: Array(masked[$0]), under: Array(mask[$0])) }
            }
            try work()
            #expect(occurrences() == [0, 0])
            // Control: a copy that nobody wipes is found.
            let kept = zip(mask, masked).map { $0 ^ $1 }
            #expect(occurrences().allSatisfy { $0 > 0 })
            #expect(kept.count == 200)
        }
    }
}

/// What an intruder sees who reads our memory.
private enum Memory {
    /// How often `masked ^ mask` stands in the process's writable memory.
    static func occurrences(of masked: [UInt8], under mask: [UInt8]) -> Int {
        let size = 1 << 16
        let length = masked.count
        // What is read passes through a window, which must not be found itself.
        guard let map = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) else { return -1 }
        defer { munmap(map, size) }
        let window = map.assumingMemoryBound(to: UInt8.self)
        let own = Int(bitPattern: map)..<Int(bitPattern: map) + size
        let memory = open("/proc/self/mem", O_RDONLY)
        defer { close(memory) }
        var found = 0
        for range in writableRanges() {
            var start = range.lowerBound
            while start < range.upperBound {
                if own.contains(start) { start = own.upperBound }
                let end = min(start + size, range.upperBound, start < own.lowerBound ? own.lowerBound : .max)
                guard end > start, pread(memory, window, end - start, off_t(start)) == end - start else { break }
                for offset in 0..<max(0, end - start - length + 1) where window[offset] ^ mask[0] == masked[0] {
                    if (1..<length).allSatisfy({ window[offset + $0] ^ mask[$0] == masked[$0] }) { found += 1 }
                }
                // The windows overlap, so that nothing hides at their seams.
                start = end - start == size ? end - length : end
            }
        }
        return found
    }

    private static func writableRanges() -> [Range<Int>] {
        guard let maps = fopen("/proc/self/maps", "r") else { return [] }
        defer { fclose(maps) }
        var ranges: [Range<Int>] = []
        var line = [CChar](repeating: 0, count: 1_024)
        while fgets(&line, 1_024, maps) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            let fields = text.split(separator: " ")
            let bounds = fields[0].split(separator: "-").compactMap { Int($0, radix: 16) }
            if fields[1].hasPrefix("rw") { ranges.append(bounds[0]..<bounds[1]) }
        }
        return ranges
    }
}
