import Glibc
import Testing

@testable import Credentials

struct SecretBytesTests {
    /// 64 … 1000 bytes: freed blocks of this size stay with their thread, whose next request is not made here.
    private static let size = 800

    /// Reads memory that nobody owns any more, as an intruder would, past all that the compiler assumes.
    private static func peek(_ address: UInt, _ count: Int) throws -> [UInt8] {
        let file = open("/proc/self/mem", O_RDONLY)
        try #require(file >= 0)
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: count)
        try #require(pread(file, &bytes, count, off_t(address)) == count)
        return bytes
    }

    @Test func `the memory of a secret is zero when it has gone, and would not be without the wipe`() throws {
        let canary = [UInt8](repeating: 0xC5, count: Self.size)
        let wiped = canary.withUnsafeBytes { canary in
            SecretBytes(copying: canary).withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
        }
        // The allocator keeps its own notes in the first bytes of a freed block.
        #expect(try Self.peek(wiped + 64, Self.size - 64).allSatisfy { $0 == 0 })

        let plain = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.size, alignment: 1)
        plain.copyBytes(from: canary)
        let left = UInt(bitPattern: plain.baseAddress)
        plain.deallocate()
        #expect(try Self.peek(left + 64, Self.size - 64).contains(0xC5))
    }

    @Test func `a secret that could not be made is wiped too`() throws {
        struct Failed: Error {}
        var address: UInt = 0
        do {
            _ = try SecretBytes(capacity: Self.size) { memory in
                memory.copyBytes(from: [UInt8](repeating: 0xC5, count: Self.size))
                address = UInt(bitPattern: memory.baseAddress)
                throw Failed()
            }
        } catch is Failed {}
        #expect(try Self.peek(address + 64, Self.size - 64).allSatisfy { $0 == 0 })
    }

    @Test(arguments: [
        (#""#, ""),
        (#"hunter2"#, "hunter2"),
        (#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
        (#"\u0041\u00e9\u20AC"#, "Aé€"),
        (#"\uD83D\uDE00"#, "😀"),
        (#"\udbff\udfff"#, "\u{10FFFF}"),
        (#"\u0000"#, "\0"),
        ("é€😀", "é€😀"),
        ("\u{7F}", "\u{7F}"),
    ])
    func `a JSON string's contents become the text they stand for`(json: String, text: String) throws {
        let secret = try Self.unescape(Array(json.utf8))
        #expect(secret == Array(text.utf8))
    }

    @Test(arguments: [
        (Array(#"a\"#.utf8), JSONStringError.invalidEscape),
        (Array(#"\x41"#.utf8), .invalidEscape),
        (Array(#"\u12"#.utf8), .invalidEscape),
        (Array(#"\u12G4"#.utf8), .invalidEscape),
        (Array(#"\uD83D"#.utf8), .loneSurrogate),
        (Array(#"\uD83Dx"#.utf8), .loneSurrogate),
        (Array(#"\uD83D\n"#.utf8), .loneSurrogate),
        (Array(#"\uD83D\u0041"#.utf8), .loneSurrogate),
        (Array(#"\uDE00"#.utf8), .loneSurrogate),
        (Array(#"a"b"#.utf8), .unescapedCharacter),
        ([0x61, 0x0A], .unescapedCharacter),
        ([0x61, 0x00], .unescapedCharacter),
        ([0xC3], .invalidUTF8),
        ([0xC0, 0xAF], .invalidUTF8),
        ([0xED, 0xA0, 0x80], .invalidUTF8),
        ([0xF4, 0x90, 0x80, 0x80], .invalidUTF8),
        ([0xFF], .invalidUTF8),
    ])
    func `what is no JSON string is refused`(json: [UInt8], error: JSONStringError) {
        #expect(throws: error) { try Self.unescape(json) }
    }

    private static func unescape(_ json: [UInt8]) throws -> [UInt8] {
        try json.withUnsafeBytes { try SecretBytes(unescapingJSON: $0).array }
    }
}

extension SecretBytes {
    var array: [UInt8] { withUnsafeBytes { Array($0) } }
}
