import EventModel
import Testing
import Workbench

struct EnvelopeReaderTests {
    static let example = #"""
        { "specversion": "1", "id": "01J9", "kind": "password.updated", "time": "2026-11-21T22:10:00.123Z",
          "source": {"instance": "prod", "realm": "corp", "realmId": "b7d1", "clientId": "account-console",
                     "sessionId": "s", "ipAddress": "10.0.0.7", "type": "UPDATE_CREDENTIAL"},
          "subject": {"id": "9a3c", "username": "u1042", "email": "u1042@corp.example", "firstName": "Given",
                      "lastName": "Family", "enabled": true,
                      "attributes": {"syncEnabled": ["true"], "userType": ["employee"], "externalId": ["E-1042"]}},
          "version": {"at": "2026-11-21T22:10:00.120Z", "node": "kc-0", "sequence": 4711},
          "changes": {"department": {"old": ["HR"], "new": ["HR", "Ops"]}},
          "details": {"credential_type": "password"}, "error": null,
          "credential": {"type": "password", "value": "p\u00e4ss\"w", "temporary": false} }
        """#

    private func read(_ text: String, isStored: Bool = false) throws(EnvelopeError) -> EnvelopeReader.Envelope {
        try read(Array(text.utf8), isStored: isStored)
    }

    private func read(_ body: [UInt8], isStored: Bool = false) throws(EnvelopeError) -> EnvelopeReader.Envelope {
        try body.withUnsafeBytes { body in
            Result { () throws(EnvelopeError) in try EnvelopeReader().read(body, isStored: isStored) }
        }.get()
    }

    /// The field that the error names.
    private func refusal(_ text: String) -> String? {
        do {
            _ = try read(text)
            return nil
        } catch {
            #expect(!error.description.contains("p\\u00e4ss"))
            return error.field
        }
    }

    @Test func `the example of the design is read`() throws {
        let envelope = try read(Self.example)
        let header = envelope.header
        #expect(header.id == "01J9" && header.kind == .passwordUpdated && header.time.milliseconds == 1_795_299_000_123)
        #expect(header.subject == SubjectKey(instance: "prod", realmID: "b7d1", userID: "9a3c"))
        #expect(header.realm == "corp" && header.instance == "prod")
        #expect(header.facts.syncEnabled == .known(["true"]) && header.facts.externalID == .known(["E-1042"]))
        #expect(header.version?.node == "kc-0" && header.version?.sequence == 4_711)
        #expect(header.hasSecret && !header.isTemporary)
        let range = try #require(envelope.secret)
        #expect(Array(Self.example.utf8)[range].elementsEqual(#"p\u00e4ss\"w"#.utf8))
    }

    @Test func `a stored body, without its secret, gives the same header`() throws {
        let envelope = try read(Self.example)
        var body = Array(Self.example.utf8)
        body.removeSubrange(try #require(envelope.secret))
        #expect(try read(body, isStored: true).header == envelope.header)
        #expect(try read(body, isStored: true).secret == nil)
        #expect(throws: EnvelopeError.self) { try read(body) }
    }

    @Test(arguments: [
        (#""specversion": "1""#, #""specversion": "2""#, "specversion"),
        (#""specversion": "1", "#, "", "specversion"),
        (#""id": "01J9", "#, "", "id"),
        (#""id": "01J9""#, #""id": """#, "id"),
        (#""id": "01J9""#, #""id": "a b""#, "id"),
        (#""id": "01J9""#, #""id": 1"#, "id"),
        (#""kind": "password.updated", "#, "", "kind"),
        (#""password.updated""#, #""password.changed""#, "kind"),
        (#""password.updated""#, #"["password.updated"]"#, "kind"),
        (#""time": "2026-11-21T22:10:00.123Z","#, "", "time"),
        (#""time": "2026-11-21T22:10:00.123Z""#, #""time": "yesterday""#, "time"),
        (#""instance": "prod", "#, "", "source.instance"),
        (#""instance": "prod""#, #""instance": """#, "source.instance"),
        (#""instance": "prod""#, #""instance": {}"#, "source.instance"),
        (#""realm": "corp", "realmId": "b7d1", "#, "", "source.realmId"),
        (#""realmId": "b7d1", "#, "", "source.realmId"),
        (#""realmId": "b7d1""#, #""realmId": null"#, "source.realmId"),
        (#""realmId": "b7d1""#, #""realmId": """#, "source.realmId"),
        (#""clientId""#, #""client""#, "source.clie…"),
        (#""id": "9a3c", "#, "", "subject.id"),
        (#""id": "9a3c""#, #""id": null"#, "subject.id"),
        (#""enabled": true"#, #""enabled": "true""#, "subject.enabled"),
        (#""username""#, #""password""#, "subject.pass…"),
        (#"["employee"]"#, #"[1]"#, "subject.attributes.userType"),
        (#"["employee"]"#, #"{}"#, "subject.attributes.userType"),
        (#""at": "2026-11-21T22:10:00.120Z", "#, "", "version.at"),
        (#"4711"#, #""4711""#, "version.sequence"),
        (#"4711"#, #"-1"#, "version.sequence"),
        (#"4711"#, #"1.5"#, "version.sequence"),
        (#""old": ["HR"]"#, #""older": ["HR"]"#, "changes.depa….olde…"),
        (#""old": ["HR"]"#, #""old": [["HR"]]"#, "changes.depa….old"),
        (#""credential_type": "password""#, #""credential_type": {"password": "p"}"#, "details.cred…"),
        (#""error": null"#, #""error": 5"#, "error"),
        (#""error": null"#, #""eror": null"#, "eror"),
        (#""error": null"#, "\"e\u{7}r ☂\": null", ""),
        (#""error": null"#, #""☂r or": null"#, "?r?o…"),
        (#""error": null"#, #""id": "x""#, "id"),
        (#""type": "password", "value""#, #""hunter2hunter2": true, "value""#, "credential"),
        (#""type": "password", "value""#, #""hunter2\u0061": true, "value""#, "credential"),
        (#"["HR", "Ops"]"#, #"{"hunter2hunter2": 1}"#, "changes.depa….new"),
        (#""externalId": ["E-1042"]"#, #""hunter2hunter2": 7"#, "subject.attributes.hunt…"),
        (#""credential_type": "password""#, #""hunter2hunter2": 7"#, "details.hunt…"),
        (#""credential_type": "password""#, #""hunter2": "a", "hunter2": "b""#, "details.hunt…"),
        (#""externalId": ["E-1042"]"#, #""externalId": ["E-1"], "external\u0049d": []"#, "subject.attributes.exte…"),
        (#""department": {"#, #""department": {}, "department": {"#, "changes.depa…"),
        (#""id": "9a3c""#, #""id": "9a3c\n1""#, "subject.id"),
        (#""id": "9a3c""#, #""id": "9a3c\u0000""#, "subject.id"),
        (#""id": "9a3c""#, #""id": "\u001b[2J""#, "subject.id"),
        (#""id": "9a3c""#, #""id": "\u009b2J""#, "subject.id"),
        (#""realmId": "b7d1""#, #""realmId": "b7\u2028d1""#, "source.realmId"),
        (#""realm": "corp""#, #""realm": "co\u007frp""#, "source.realm"),
        (#""clientId": "account-console""#, #""clientId": "a\tb""#, "source.clientId"),
        (#""department": {"#, #""hunter2hunter2": 7, "x": {"#, "changes.hunt…"),
        (#""error": null"#, #""credential": null"#, "credential"),
        (#""credential": {"#, #""cred\u0065ntial": {"#, "credential"),
        (#""type": "password", "value""#, #""type": "password", "v\u0061lue""#, "credential.value"),
        (#""type": "password""#, #""type": "otp""#, "credential.type"),
        (#""value": "p\u00e4ss\"w""#, #""value": """#, "credential.value"),
        (#""value": "p\u00e4ss\"w""#, #""value": null"#, "credential.value"),
        (#""value": "p\u00e4ss\"w""#, #""value": ["p\u00e4ss"]"#, "credential.value"),
        (#""value": "p\u00e4ss\"w", "#, "", "credential.value"),
        (#""value": "p\u00e4ss\"w""#, #""jwe": "x""#, "credential.jwe"),
        (#""temporary": false"#, #""temporary": "no""#, "credential.temporary"),
        (#""password.updated""#, #""profile.updated""#, "credential"),
        (#""credential": {"#, #""credential": [{"#, "credential"),
        (#"Given"#, "Gi\u{1}ven", ""),
    ])
    func `what is wrong is named`(_ part: String, _ replacement: String, _ field: String) throws {
        let range = try #require(Self.example.firstRange(of: part))
        #expect(refusal(Self.example.replacingCharacters(in: range, with: replacement)) == field)
    }

    /// A later version may refuse what this one took in, and still has to deliver it.
    @Test(arguments: [
        (#""id": "01J9""#, #""id": "a b""#),
        (#""type": "UPDATE_CREDENTIAL""#, #""type": 5"#),
        (#""clientId": "account-console""#, #""client": "a\tb""#),
        (#""enabled": true"#, #""enabled": "true", "nickname": ["u"]"#),
        (#""department": {"#, #""department": {}, "department": {"#),
        (#""old": ["HR"]"#, #""older": [["HR"]]"#),
        (#""credential_type": "password""#, #""a": 1, "a": {"b": []}"#),
        (#""error": null"#, #""error": 5, "reason": {}"#),
        (#""attributes": {"#, #""attributes": {"x": 1, "x": 2, "externalId": ["E-1"], "#),
        (#""at": "2026"#, #""epoch": 3, "at": "2026"#),
    ])
    func `what only the door refuses is no obstacle to a stored event`(_ part: String, _ replacement: String) throws {
        let range = try #require(Self.example.firstRange(of: part))
        let text = Self.example.replacingCharacters(in: range, with: replacement)
        #expect(refusal(text) != nil)
        var header = try read(text, isStored: true).header
        if header.id == "a b" { header.id = "01J9" }
        #expect(header == (try read(Self.example, isStored: true).header))
    }

    @Test func `a stored event is about the user that it names, whatever the characters`() throws {
        let text = Self.example.replacing(#""id": "9a3c""#, with: #""id": "9a\n3c""#)
            .replacing(#""realmId": "b7d1""#, with: #""realmId": "b7\u2028""#)
        let header = try read(text, isStored: true).header
        #expect(header.subject == SubjectKey(instance: "prod", realmID: "b7\u{2028}", userID: "9a\n3c"))
    }

    @Test(arguments: [
        (#""error": null"#, #""subject": {}"#), (#""error": null"#, #""credential": {}"#),
        (#""id": "9a3c""#, #""id": "9a3c", "id": "9a3d""#), (#""kind": "password.updated", "#, ""),
        (#""id": "9a3c", "#, ""), (#""at": "2026-11-21T22:10:00.120Z", "#, ""),
    ])
    func `what could mean two things, or nothing, is refused of a stored event too`(
        _ part: String, _ replacement: String
    ) throws {
        let range = try #require(Self.example.firstRange(of: part))
        let text = Self.example.replacingCharacters(in: range, with: replacement)
        #expect(throws: EnvelopeError.self) { try read(text, isStored: true) }
    }

    @Test func `a body cut off anywhere is refused`() {
        let body = Array(Self.example.utf8)
        for count in 0..<(body.count) {
            #expect(throws: EnvelopeError.self) { try read(Array(body[..<count])) }
        }
        #expect(throws: EnvelopeError.self) { try read(body + Array("x".utf8)) }
    }

    @Test(arguments: ["[", #"{"details":"#, #"{"changes":{"a":{"old":["#])
    func `deep nesting and other shapes are refused, not followed`(_ opening: String) {
        #expect(throws: EnvelopeError.self) { try read(String(repeating: opening, count: 100_000)) }
    }

    @Test func `a large body is read, and a large name is cut in the error`() throws {
        let large = Self.example.replacing(#""Given""#, with: "\"\(String(repeating: "x", count: 1 << 20))\"")
        #expect(try read(large).header.id == "01J9")
        let name = String(repeating: "n", count: 1 << 16)
        #expect(refusal(#"{"\#(name)": 1}"#) == "nnnn…")
    }

    @Test func `no mutation crashes it, and what it accepts it reads again`() throws {
        let seed: UInt64 = 20_261_122
        var random = SplitMix(state: seed)
        let original = Array(Self.example.utf8)
        let marks = Array(#"{}[]":,\u0 tfn-1"#.utf8) + [0x00, 0x80, 0xc3, 0xff]
        var accepted = 0
        for round in 0..<20_000 {
            var body = original
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0..<body.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: body[place] = marks.randomElement(using: &random) ?? 0
                case 1: body[place] = UInt8.random(in: .min ... .max, using: &random)
                case 2: body.remove(at: place)
                default: body.insert(marks.randomElement(using: &random) ?? 0, at: place)
                }
            }
            guard let envelope = try? read(body) else { continue }
            accepted += 1
            guard let range = envelope.secret else { continue }
            var stored = body
            stored.removeSubrange(range)
            let again = try? read(stored, isStored: true).header
            #expect(again == envelope.header, "seed \(seed), round \(round)")
        }
        #expect(accepted > 100)
    }

    @Test func `a full snapshot knows what is not there`() throws {
        let complete = Self.example.replacing(#""enabled": true"#, with: #""complete": true"#)
            .replacing(#", "externalId": ["E-1042"]"#, with: "")
        #expect(try read(complete).header.facts.externalID == .known([]))
        let partial = Self.example.replacing(#", "externalId": ["E-1042"]"#, with: "")
        #expect(try read(partial).header.facts.externalID == .unknown)
    }

    @Test func `a failed login may be about nobody`() throws {
        let text = #"""
            {"specversion":"1","id":"1","kind":"login.failed","time":"2026-11-21T22:10:00Z",
             "source":{"instance":"prod","realm":"corp"}}
            """#
        let header = try read(text).header
        #expect(header.subject == nil && header.realmID == nil && header.version == nil)
    }
}

extension String {
    fileprivate func replacingCharacters(in range: Range<String.Index>, with other: String) -> String {
        var copy = self
        copy.replaceSubrange(range, with: other)
        return copy
    }

    fileprivate func replacing(_ part: String, with other: String) -> String {
        guard let range = firstRange(of: part) else { return self }
        return replacingCharacters(in: range, with: other)
    }
}
