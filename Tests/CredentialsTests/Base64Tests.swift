import Testing

@testable import Credentials

struct Base64Tests {
    // RFC 4648, section 10.
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ])
    func `the vectors of RFC 4648`(clear: String, text: String) throws {
        #expect(Self.encode(Array(clear.utf8)) == text)
        #expect(Self.decode(text) == Array(clear.utf8))
        #expect(Self.decode(String(text.prefix { $0 != "=" })) == Array(clear.utf8))
    }

    @Test func `every byte survives`() {
        let bytes = (0...255).map(UInt8.init)
        #expect(Self.decode(Self.encode(bytes)) == bytes)
    }

    @Test(arguments: ["Z", "Zg=", "Z===", "====", "Zm9v=", "Zh==", "Zm9=", "Zm-_", "Zm 9v", "Zm9v\n"])
    func `what is not Base64 is refused`(text: String) {
        #expect(Self.decode(text) == nil)
    }

    private static func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        bytes.withUnsafeBytes { Base64.encode($0, into: &text) }
        return String(decoding: text, as: UTF8.self)
    }

    private static func decode(_ text: String) -> [UInt8]? {
        Array(text.utf8).withUnsafeBytes { Base64.decode($0)?.array }
    }
}
