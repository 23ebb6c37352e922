import RuntimeSyncPlugin
import Testing

@Suite struct `JSON without Foundation` {
    @Test(arguments: [
        ("null", JSON.null), (" true ", .bool(true)), ("false", .bool(false)), ("0", .number("0")),
        ("-12.50E+3", .number("-12.50E+3")), ("18446744073709551616", .number("18446744073709551616")),
        (#""""#, .string("")), (#""a\"\\\/\b\f\n\r\tz""#, .string("a\"\\/\u{8}\u{C}\n\r\tz")),
        (#""\u00e9\ud83d\ude00\u0000""#, .string("é😀\0")), ("\"é😀\"", .string("é😀")), ("[]", .array([])),
        ("[1,[2]]", .array([.number("1"), .array([.number("2")])])), ("{}", .object([:])),
        (#"{"a":{"b":[null]}}"#, .object(["a": .object(["b": .array([.null])])])),
    ])
    func `reads`(text: String, value: JSON) throws {
        #expect(try JSON(parsing: text) == value)
    }

    @Test(arguments: [
        "", " ", "nul", "tru", "01", "1.", "-", "+1", "1e", ".5", "'a'", "\"a", "\"\\x\"", "\"\n\"", #""\ud83d""#,
        #""\ude00\ud83d""#, #""\ud83dx""#, #""\u12g4""#, #""\u12""#, "[1", "[1,]", "[1 2]", "{", "{1:2}", #"{"a"}"#,
        #"{"a":1,}"#, #"{"a":1,"a":2}"#, "1 2", "[]]", "NaN",
    ])
    func `refuses`(text: String) {
        #expect(throws: JSONError.self) { try JSON(parsing: text) }
    }

    @Test func `names the place of a mistake`() {
        let wrong = #expect(throws: JSONError.self) { try JSON(parsing: #"{"a": [x]}"#) }
        #expect(wrong?.description == "not JSON at byte 7: expected a value")
        let twice = #expect(throws: JSONError.self) { try JSON(parsing: #"{"a": 1, "a": 2}"#) }
        #expect(twice?.description == "not JSON at byte 9: expected each key once")
    }

    @Test func `refuses bytes that are not UTF-8 and too many levels`() throws {
        #expect(throws: JSONError.self) { try JSON(parsing: [0x22, 0xC3, 0x28, 0x22]) }
        #expect(throws: JSONError.self) { try JSON(parsing: [0x22, 0xED, 0xA0, 0x80, 0x22]) }
        _ = try JSON(parsing: String(repeating: "[", count: 64) + String(repeating: "]", count: 64))
        #expect(throws: JSONError.self) {
            try JSON(parsing: String(repeating: "[", count: 65) + String(repeating: "]", count: 65))
        }
    }

    @Test func `writes what it read, keys in order`() throws {
        let value = try JSON(parsing: #"{"b": [1.50, true, null], "a": "q\"\\ \u0001\u007f é😀"}"#)
        #expect(String(decoding: value.bytes, as: UTF8.self) == #"{"a":"q\"\\ \u0001\u007f é😀","b":[1.50,true,null]}"#)
        #expect(try JSON(parsing: value.bytes) == value)
    }

    @Test func `follows a path through objects and arrays`() throws {
        let value = try JSON(parsing: #"{"subject": {"attributes": {"department": ["HR", "Ops"]}}}"#)
        #expect(value[path: ["subject", "attributes", "department", "1"]] == .string("Ops"))
        #expect(value[path: ["subject", "attributes", "department", "2"]] == nil)
        #expect(value[path: ["subject", "attributes", "department", "-1"]] == nil)
        #expect(value[path: ["subject", "name", "first"]] == nil)
        #expect(value[path: [String]()] == value)
    }
}
