import CWorkerProtocol
import EventModel
import NIOCore
import Testing
import WorkerProtocol

@Suite struct RedactorTests {
    /// What JSON, HTML, LDAP and URLs escape, letters of two to four bytes, a blank.
    private static let password = #"pa"ß\w&ö<'/,é ☂🔑9"#

    private static func redactor(knowing secrets: String..., capacity: Int = 8) throws -> Redactor {
        let redactor = Redactor(capacity: capacity)
        try redactor.remember(secretsOf: frames(secrets))
        return redactor
    }

    private static func frames(_ secrets: [String], first: Int = 0) throws -> ByteBuffer {
        var frames = ByteBuffer()
        frames.writePingFrame()
        for (id, secret) in zip(first..., secrets) {
            try Array(secret.utf8).withUnsafeBytes { secret in
                var fields = RequestFields(
                    .credential, kind: .passwordUpdated, idempotencyKey: "k", deadline: 1, externalID: "E-1",
                    event: Array("{}".utf8))
                fields.secret = secret
                try frames.writeRequestFrame([.deliver, .verify][id % 2], id: UInt64(id + 1), fields)
            }
            try frames.writeRequestFrame(
                .deliver, id: 99, RequestFields(.notification, kind: .logout, idempotencyKey: "k", deadline: 1))
        }
        return frames
    }

    /// How systems repeat what they were sent.
    static let forms: [(name: String, bytes: [UInt8])] = {
        let utf8 = Array(password.utf8)
        let units = Array(password.utf16)
        let hex = utf8.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
        return [
            ("as it is", utf8),
            ("JSON", Array(#"pa\"ß\\w&ö<'/,é ☂🔑9"#.utf8)),
            ("JSON in a page", Array(#"pa\u0022ß\\w\u0026ö\u003C\u0027\/,é ☂🔑9"#.utf8)),
            (
                "JSON, all but ASCII escaped",
                Array(#"pa\u0022\u00df\\w&\u00F6<'/,\u00e9 \u2602\ud83d\udd119"#.utf8)
            ),
            ("an LDAP name", Array(#"pa\"ß\\w&ö\<'/\,é ☂🔑9"#.utf8)),
            ("an LDAP name, in numbers", Array(#"pa\22ß\5Cw&ö\3c'/\2C\C3\A9 ☂🔑9"#.utf8)),
            ("an LDAP filter", Array(#"pa"\c3\9f\5cw&\c3\b6<'/,\c3\a9 ☂🔑9"#.utf8)),
            ("C", Array(#"pa\"\xc3\x9f\\w&\xc3\xb6<'/,\xc3\xa9 \xe2\x98\x82\xf0\x9f\x94\x919"#.utf8)),
            ("HTML", Array(#"pa&quot;ß\w&amp;ö&lt;&#39;/,é ☂🔑9"#.utf8)),
            ("HTML, in full", Array(#"pa&#x22;&szlig;\w&amp;&ouml;&lt;&apos;/,&eacute; &#9730;&#X1F511;9"#.utf8)),
            ("HTML, in numbers", Array(Self.password.unicodeScalars.flatMap { "&#\($0.value);".utf8 })),
            ("HTML, with zeros", Array(Self.password.unicodeScalars.flatMap { Self.padded($0).utf8 })),
            ("URL", Array("pa%22%C3%9F%5cw%26%c3%b6%3C%27%2F,%C3%A9+%E2%98%82%F0%9F%94%919".utf8)),
            ("URL, each byte", Array(hex.map { "%" + $0 }.joined().utf8)),
            ("hexadecimal", Array(hex.joined().utf8)),
            ("hexadecimal, in capitals and groups", Array(hex.joined(separator: ":").uppercased().utf8)),
            ("UTF-16, low byte first", units.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }),
            ("UTF-16, high byte first", units.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] }),
        ]
            + (0..<3).map { shift in
                ("Base64 after \(shift)", base64(Array("user:".utf8.prefix(shift)) + utf8 + Array("!".utf8)))
            }
    }()

    private static func padded(_ scalar: Unicode.Scalar) -> String {
        let digits = String(scalar.value, radix: 16)
        return "&#x" + String(repeating: "0", count: 6 - digits.count) + digits + ";"
    }

    @Test(arguments: forms.indices)
    func `a password is found in the form`(index: Int) throws {
        let form = Self.forms[index]
        let redactor = try Self.redactor(knowing: "another one", Self.password)
        let words = redactor.words(Array("no: ".utf8) + form.bytes + Array("; sorry".utf8), atMost: 1_024)
        #expect(words.hasPrefix("no: ") && words.hasSuffix("; sorry"), "\(form.name): \(words)")
        #expect(words.contains(Redactor.mark), "\(form.name): \(words)")
        #expect(words.utf8.count <= 40, "\(form.name): \(words)")
        #expect(redactor.finds(in: form.bytes), "\(form.name)")
        // Who does not know it leaves it alone.
        #expect(!Redactor(capacity: 1).finds(in: form.bytes))
    }

    @Test func `other words stay as they are`() throws {
        let redactor = try Self.redactor(knowing: Self.password, "correct horse")
        for words in [
            "", "no such object", "correct hors", "dead beef 0123456789abcdef", "Y29ycmVjdCBo",
            "a & b; &nothing; &#; &#x; &#1234567890; &",
            #"C:\x \zz \"#,
        ] {
            #expect(redactor.words(Array(words.utf8), atMost: 1_024) == words)
        }
        #expect(
            redactor.words("correct horsecorrect horse, correct horse".utf8, atMost: 99) == "[redacted], [redacted]")
    }

    @Test func `a password that the cut would shorten is known all the same`() throws {
        let redactor = try Self.redactor(knowing: "correct horse")
        #expect(redactor.words("123456 correct horse".utf8, atMost: 12) == "123456 [reda")
        #expect(redactor.words("123456 %63orrect%20horse".utf8, atMost: 9) == "123456 [r")
        #expect(redactor.words("123456 &#x000063;&#x00006f;rrect horse".utf8, atMost: 9) == "123456 [r")
        let escaped = "correct horse".unicodeScalars.map(Self.padded).joined()
        #expect(redactor.words("123456 \(escaped)".utf8, atMost: 9) == "123456 [r")
        #expect(redactor.words("123456ü correct".utf8, atMost: 7) == "123456")
    }

    @Test func `no password that was not looked at whole moves into what is shown`() throws {
        let password = String(repeating: "correct horse", count: 8)
        let redactor = try Self.redactor(knowing: password)
        let words = redactor.words(String(repeating: password + ", ", count: 99).utf8, atMost: 200)
        #expect(words == "[redacted], [redacted]")
    }

    @Test func `where a very short password stands, nothing is told`() throws {
        let redactor = try Self.redactor(knowing: "x1")
        #expect(redactor.words("value x1 is too short".utf8, atMost: 99) == Redactor.mark)
        #expect(redactor.words("value is too short".utf8, atMost: 99) == "value is too short")
        #expect(!redactor.finds(in: "max1mum".utf8), "a name is not lost by chance")
    }

    @Test func `the password of an outstanding request is known, however many others come and go meanwhile`() throws {
        let redactor = Redactor(capacity: 2)
        try redactor.remember(secretsOf: Self.frames(["the slow one"]))
        for number in 1...500 {
            try redactor.remember(secretsOf: Self.frames(["quick one \(number)"], first: number))
            redactor.ended(UInt64(number + 1))
        }
        #expect(redactor.finds(in: "the slow one".utf8))
        redactor.ended(1)
        #expect(redactor.finds(in: "the slow one".utf8), "also a while longer")
    }

    @Test func `of those that have ended so many are known, and what is kept is known for ever`() throws {
        let redactor = Redactor(capacity: 2)
        Array("bind secret".utf8).withUnsafeBytes { redactor.keep($0) }
        let secrets = ["first password", "second password", "second password", "third password"]
        try redactor.remember(secretsOf: Self.frames(secrets))
        for id in 1...3 { redactor.ended(UInt64(id)) }
        #expect(!redactor.finds(in: "first password".utf8))
        redactor.allEnded()
        for secret in ["second password", "third password", "bind secret"] { #expect(redactor.finds(in: secret.utf8)) }
        // Two more, of which the first has an id that was used before and not ended.
        try redactor.remember(secretsOf: Self.frames(["fourth password"]))
        try redactor.remember(secretsOf: Self.frames(["fifth password"]))
        redactor.allEnded()
        #expect(!redactor.finds(in: "second password".utf8))
        #expect(!redactor.finds(in: "third password".utf8))
        for secret in ["fourth password", "fifth password"] { #expect(redactor.finds(in: secret.utf8)) }
    }

    @Test func `no password stands in what is kept of it`() throws {
        var description = ""
        dump(try Self.redactor(knowing: "correct horse"), to: &description)
        #expect(!description.contains("correct") && !description.contains("horse"))
    }

    @Test func `details and reasons are redacted as they are read, log lines once they are taken`() throws {
        var reader = FrameReader(redactor: try Self.redactor(knowing: "correct horse"))
        let said = field("no correct horse")
        var bytes = ByteBuffer.frame(RTW_DONE, id: 1, u32(2) + u32(0) + said + u32(RTW_ABSENT) + u32(RTW_ABSENT))
        for frame in [
            ByteBuffer.frame(RTW_LOG, u32(1) + said), .frame(RTW_STARTED, u32(0) + said),
            .frame(RTW_FAILED, u32(2) + said),
        ] { bytes.writeImmutableBuffer(frame) }
        reader.append(bytes)
        var read: [WorkerFrame] = []
        while let frame = try reader.next() { read.append(frame) }
        #expect(
            read == [
                .done(id: 1, Completion(.refused, detail: "no [redacted]")),
                .log(.info, ByteBuffer(string: "no correct horse")),
                .started(refusal: "no [redacted]"), .failed(.load, "no [redacted]"),
            ])
    }

    private static func base64(_ bytes: [UInt8]) -> [UInt8] {
        let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
        return stride(from: 0, to: bytes.count, by: 3).flatMap { start in
            let part = bytes[start..<min(start + 3, bytes.count)]
            let value = part.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - part.count))
            return (0..<4).map { $0 <= part.count ? digits[value >> (18 - 6 * $0) & 63] : UInt8(ascii: "=") }
        }
    }
}
