import EventModel
import Testing

struct JSONTests {
    private func text(_ json: [UInt8]) throws(JSONError) -> String? {
        try JSONValue(parsing: json).text
    }

    @Test(arguments: [
        (#""""#, ""), (#""a/b\/c""#, "a/b/c"), (#""\"\\\b\f\n\r\t""#, "\"\\\u{8}\u{c}\n\r\t"),
        (#""\u0041\u00e4\u20AC""#, "Aä€"), (#""\ud83d\ude00""#, "😀"), (#""\uD83D\uDE00x""#, "😀x"), (#""\u0000""#, "\0"),
        (#""ä€😀""#, "ä€😀"),
    ])
    func `a string is read`(_ json: String, _ expected: String) throws {
        #expect(try text(Array(json.utf8)) == expected)
        #expect(try text(JSONValue.string(expected).bytes) == expected)
    }

    @Test(arguments: [
        #""\u00e""#, #""\u00eg""#, #""\ud83d""#, #""\ud83dx""#, #""\ud83d\n""#, #""\ud83d\u0041""#, #""\ude00""#,
        #""\x""#,
        #""\"#, #"""#, "\"\n\"", "\"\u{1f}\"", #""\u""#, #""\ud83d\u""#,
    ])
    func `a broken string is not`(_ json: String) {
        #expect(throws: JSONError.self) { try text(Array(json.utf8)) }
    }

    /// What RFC 3629 forbids: overlong forms, surrogates, numbers past U+10FFFF, lone and missing continuations.
    @Test(
        arguments: [
            [0x80], [0xbf], [0xc0, 0x80], [0xc1, 0xbf], [0xc3], [0xc3, 0x41], [0xc3, 0xc3], [0xe0, 0x80, 0x80],
            [0xe0, 0x9f, 0xbf], [0xe2, 0x82], [0xe2, 0x82, 0x41], [0xed, 0xa0, 0x80], [0xed, 0xbf, 0xbf],
            [0xf0, 0x80, 0x80, 0x80], [0xf0, 0x8f, 0xbf, 0xbf], [0xf0, 0x9f, 0x98], [0xf0, 0x9f, 0x98, 0x41],
            [0xf4, 0x90, 0x80, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xfe], [0xff],
        ] as [[UInt8]])
    func `bytes that are not UTF-8 are refused`(_ bytes: [UInt8]) {
        #expect(throws: JSONError.self) { try text([0x22] + bytes + [0x22]) }
        #expect(throws: JSONError.self) { try text([0x22] + bytes) }
    }

    @Test(arguments: ["0", "-0", "12", "-1.5", "1e3", "1E+3", "0.1e-2"])
    func `a number is kept as it was written`(_ json: String) throws {
        #expect(try JSONValue(parsing: Array(json.utf8)) == .number(json))
    }

    @Test(arguments: [
        "", " ", "01", "-", "1.", ".5", "1e", "+1", "tru", "nul", "True", "[1,]", "[,1]", "[1 2]", "{,}", #"{"a":1,}"#,
        #"{"a"}"#, #"{"a":}"#, #"{a:1}"#, "{1:2}", "[1", #"{"a":1"#, "]", "1 2", "NaN", "'a'",
    ])
    func `what is not JSON is refused`(_ json: String) {
        #expect(throws: JSONError.self) { try JSONValue(parsing: Array(json.utf8)) }
    }

    @Test func `nesting ends at the limit`() throws {
        func nested(_ depth: Int) -> [UInt8] {
            Array((String(repeating: "[", count: depth) + String(repeating: "]", count: depth)).utf8)
        }
        #expect(try JSONValue(parsing: nested(JSONScanner.maximumDepth)).elements?.count == 1)
        #expect(throws: JSONError.self) { try JSONValue(parsing: nested(JSONScanner.maximumDepth + 1)) }
    }

    @Test func `what is written is read back`() throws {
        let value = JSONValue.object([
            .init("a \"b\" \\ \n \u{1} \u{7f} ä", .array([.null, .boolean(true), .boolean(false), .number("1.5")])),
            .init("", .object([.init("x", .string("\u{1f}😀"))])),
        ])
        #expect(try JSONValue(parsing: value.bytes) == value)
    }

    @Test func `of members with one name the last counts`() throws {
        #expect(try JSONValue(parsing: Array(#"{"a":1,"a":2}"#.utf8))["a"] == .number("2"))
    }

    @Test func `a scanner says where things are`() throws {
        let json = Array(#" {"n\u0061me" : [1, "x"] } "#.utf8)
        try json.withUnsafeBytes { bytes in
            var scanner = JSONScanner(bytes)
            var isFirst = true
            try scanner.enterObject()
            let name = try #require(try scanner.nextMember(&isFirst))
            #expect(name.hasEscapes && scanner.text(name) == "name" && scanner.matches(name, "name"))
            #expect(Array(bytes[try scanner.value()]) == Array(#"[1, "x"]"#.utf8))
            #expect(try scanner.nextMember(&isFirst) == nil)
            try scanner.end()
        }
    }
}
