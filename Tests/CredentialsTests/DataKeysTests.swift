import Credentials
import EventModel
import Testing
import Workbench

struct DataKeysTests {
    private let folder: Folder
    private let ring: KeyRing
    private let store = KeyStore()

    init() throws {
        folder = try Folder()
        ring = try KeyRing.open(path: "\(folder.path)/keys", now: noon)
    }

    private func makeKeys(at moments: [Timestamp], _ purpose: SealPurpose = .body) throws {
        let keys = try DataKeys(ring: ring, stored: store.keys, persist: store.add)
        let sealer = Sealer(keys: keys)
        for moment in moments {
            let context = SealContext(event: "e")
            _ = [1].withUnsafeBytes { sealer.seal($0, as: purpose, in: context, at: moment) }
        }
    }

    @Test func `a new key comes with each hour and purpose, and is stored before its first use`() throws {
        try makeKeys(at: [noon, noon + 1, noon + 3_599_999, noon + 3_600_000, noon])
        #expect(store.keys.map(\.created) == [noon, noon + 3_600_000])
        try makeKeys(at: [noon], .secret)
        #expect(store.keys.map(\.purpose) == [.body, .body, .secret])
        #expect(Set(store.keys.map(\.id)).count == 3)
        #expect(store.keys.allSatisfy { $0.ringKey == 1 && $0.wrapped.count == 60 })
    }

    @Test func `what is known of subjects has a key of its day`() throws {
        let midnight = Timestamp(milliseconds: 20_000 * 86_400_000)
        try makeKeys(at: [midnight, midnight + 86_399_999, midnight + 86_400_000], .state)
        #expect(store.keys.count == 2)
    }

    @Test func `a restart in the same hour goes on with the stored key`() throws {
        try makeKeys(at: [noon])
        try makeKeys(at: [noon + 5])
        #expect(store.keys.count == 1)
        #expect(store.keys[0].id == DataKeys.id(of: .body, at: noon))
    }

    @Test func `whatever is stored with a wrapped key is bound to it`() throws {
        try makeKeys(at: [noon])
        let key = store.keys[0]
        func load(
            id: UInt32? = nil, purpose: UInt8 = 2, ringKey: UInt32 = 1, created: Timestamp = noon,
            wrapped: [UInt8]? = nil
        ) throws {
            let stored = try #require(
                WrappedKey(
                    id: id ?? key.id, purpose: purpose, ringKey: ringKey, created: created,
                    wrapped: wrapped ?? key.wrapped))
            _ = try DataKeys(ring: ring, stored: [stored], persist: { _ in })
        }
        try load()
        #expect(throws: DataKeyError.notAuthentic(id: key.id + 4)) { try load(id: key.id + 4) }
        #expect(throws: DataKeyError.notAuthentic(id: key.id)) { try load(purpose: 1) }
        #expect(throws: DataKeyError.notAuthentic(id: key.id)) { try load(created: noon + 1) }
        #expect(throws: DataKeyError.unknownRingKey(id: key.id, ringKey: 2)) { try load(ringKey: 2) }
        for index in key.wrapped.indices {
            var changed = key.wrapped
            changed[index] ^= 0x80
            #expect(throws: DataKeyError.notAuthentic(id: key.id)) { try load(wrapped: changed) }
        }
        #expect(throws: DataKeyError.notAuthentic(id: key.id)) { try load(wrapped: []) }
        #expect(WrappedKey(id: 1, purpose: 9, ringKey: 1, created: noon, wrapped: []) == nil)
    }

    @Test func `the ring's key id is bound to a wrapped key, even when two ids have the same key`() throws {
        let bytes = String(repeating: "A", count: 43)
        try folder.write(
            "twins",
            """
            runtime-sync keys 1
            hash \(bytes)
            key 1 2026-11-21T22:10:00.000Z \(bytes)
            key 2 2026-11-21T22:10:00.000Z \(bytes)
            current 1

            """)
        let ring = try KeyRing.open(path: "\(folder.path)/twins", now: noon)
        let sealer = Sealer(keys: try DataKeys(ring: ring, stored: [], persist: store.add))
        _ = [1].withUnsafeBytes { sealer.seal($0, as: .body, in: SealContext(event: "e"), at: noon) }
        let key = store.keys[0]
        let moved = try #require(
            WrappedKey(id: key.id, purpose: 2, ringKey: 2, created: key.created, wrapped: key.wrapped))
        #expect(throws: DataKeyError.notAuthentic(id: key.id)) {
            try DataKeys(ring: ring, stored: [moved], persist: { _ in })
        }
    }

    @Test func `the keys of another installation do not open`() throws {
        try makeKeys(at: [noon])
        let other = try KeyRing.open(path: "\(folder.path)/other", now: noon)
        #expect(throws: DataKeyError.notAuthentic(id: store.keys[0].id)) {
            try DataKeys(ring: other, stored: store.keys, persist: { _ in })
        }
    }

    @Test func `many threads share one key`() async throws {
        let keys = try DataKeys(ring: ring, stored: [], persist: store.add)
        let sealer = Sealer(keys: keys)
        let context = SealContext(event: "e")
        let opened = try await withThrowingTaskGroup(of: [UInt8].self) { group in
            for number in 0..<64 as Range<UInt8> {
                group.addTask {
                    let sealed = [number].withUnsafeBytes { sealer.seal($0, as: .body, in: context, at: noon) }
                    return try sealer.open(sealed, as: .body, in: context)
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        #expect(opened.sorted() == Array(0..<64))
        #expect(store.keys.count == 1)
    }
}
