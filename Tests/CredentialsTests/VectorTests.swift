import Crypto
import Testing
import Workbench

@testable import Credentials

/// What the library computes is what the standards say, called as we call it.
struct VectorTests {
    // NIST SP 800-38D, as in the GCM specification's appendix B, test case 16: AES-256 with associated data.
    @Test func `AES-256-GCM opens NIST's test case 16`() throws {
        let key = SymmetricKey(data: bytes("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"))
        let nonce = try AES.GCM.Nonce(data: bytes("cafebabefacedbaddecaf888"))
        let clear = bytes(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                + "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39")
        let box = try AES.GCM.seal(
            clear, using: key, nonce: nonce, authenticating: bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2"))
        #expect(
            Array(box.ciphertext)
                == bytes(
                    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
                        + "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"))
        #expect(Array(box.tag) == bytes("76fc6ece0f4e1768cddf8853bb2d551b"))
    }

    // RFC 5869, appendix A.3: SHA-256 without salt and info is how the ring derives, but for the info.
    @Test func `HKDF without salt is RFC 5869's`() {
        let derived = HKDF<SHA256>.deriveKey(
            inputKeyMaterial: SymmetricKey(data: [UInt8](repeating: 0x0b, count: 22)), info: [UInt8](),
            outputByteCount: 42)
        #expect(
            derived.withUnsafeBytes { Array($0) }
                == bytes("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"))
    }

    // Computed by an independent implementation (Python's hmac and hashlib) from a hash key of 32 zero bytes.
    @Test func `a keyed hash is the first half of an HMAC under a derived key`() throws {
        let folder = try Folder()
        let zeros = String(repeating: "A", count: 43)
        try folder.write(
            "keys",
            """
            runtime-sync keys 1
            hash \(zeros)
            key 1 2026-11-21T22:10:00.000Z \(zeros)
            current 1

            """)
        let ring = try KeyRing.open(path: "\(folder.path)/keys", now: noon)
        let expected = [
            KeyedHash.Use.body: "92932bd6665b3681d66c0ca44be9c668", .eventID: "07c7f043fec7f0b7e83c3e9cb4ab9521",
        ]
        for (use, hex) in expected {
            let hash = KeyedHash(use, ring: ring)("hello")
            #expect(withUnsafeBytes(of: hash) { Array($0) } == bytes(hex))
        }
        #expect(Set(KeyedHash.Use.allCases.map { KeyedHash($0, ring: ring)("hello") }).count == 5)
    }

    private func bytes(_ hex: String) -> [UInt8] {
        let digits = Array(hex)
        return stride(from: 0, to: digits.count, by: 2).compactMap { UInt8(String(digits[$0...$0 + 1]), radix: 16) }
    }
}
