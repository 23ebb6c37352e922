internal import RuntimeSyncPlugin
internal import Testing

@testable internal import LDAPDecisions

struct TemplateTests {
    @Test(arguments: [
        ("E-1042", "E-1042"), ("a.b_c@d", "a.b_c@d"), ("*", "\\2a"), (")(uid=*", "\\29\\28uid\\3d\\2a"),
        (",ou=admins", "\\2cou\\3dadmins"), ("\u{0}", "\\00"), ("#1", "\\231"), (" x ", "\\20x\\20"), ("\\", "\\5c"),
        ("ü", "\\c3\\bc"), ("\"+<>;", "\\22\\2b\\3c\\3e\\3b"),
    ])
    func `a value is escaped byte by byte`(value: String, text: String) {
        #expect(escaped(value) == text)
    }

    @Test func `each variable stands for a name of the subject`() throws {
        let names = SubjectNames(externalID: "e", username: "u", userID: "i", email: "m@x")
        let template = try Template("{{externalId}},{{ username }},{{userId}},{{email}}.", key: "k")
        #expect(try template.filled(with: names) == "e,u,i,m@x.")
    }

    @Test(arguments: [nil, ""])
    func `a missing or empty name is named`(value: String?) throws {
        let template = try Template("(mail={{email}})", key: "k")
        #expect(throws: MissingValue(variable: .email)) { try template.filled(with: SubjectNames(email: value)) }
    }

    @Test(arguments: ["uid=x", "{{", "{{externalId}", "{{externalID}}", "{{}}", "{{externalId}}{{nobody}}"])
    func `a template that cannot tell subjects apart is refused`(text: String) {
        #expect(throws: StartError.self) { try Template(text, key: "account_dn") }
    }
}

struct DistinguishedNameTests {
    @Test(arguments: [
        ("uid=a,ou=people,dc=x", "ou=people,dc=x", true),
        ("uid=a,ou=sub,ou=people,dc=x", "ou=people,dc=x", true),
        ("UID=a, OU=People , DC=X", "ou=people,dc=x", true),
        ("uid=a,ou=the  people,dc=x", "ou=The People,dc=x", true),
        ("uid=a+cn=b,ou=p+l=q,dc=x", "l=q+ou=p,dc=x", true),
        ("ou=people,dc=x", "ou=people,dc=x", false),
        ("dc=x", "ou=people,dc=x", false),
        ("uid=a,ou=admins,dc=x", "ou=people,dc=x", false),
        ("uid=a\\,ou=people,dc=x", "ou=people,dc=x", false),
        ("uid=a,ou=people,dc=x,dc=y", "ou=people,dc=x", false),
        ("uid=a,ou=people\\2cdc=x", "ou=people,dc=x", false),
        ("uid=a,ou=people\\00,dc=x", "ou=people,dc=x", false),
    ])
    func `below is by whole names`(name: String, base: String, below: Bool) throws {
        let name = try #require(DistinguishedName(name))
        #expect(name.isStrictlyBelow(try #require(DistinguishedName(base))) == below)
    }

    @Test(arguments: ["uid", "=x", "uid=a,,dc=x", "uid=a\u{0},dc=x", "uid=\"", "uid=a\\"])
    func `what is no DN is none`(text: String) {
        #expect(DistinguishedName(text) == nil)
    }

    @Test func `an escaped value stays one value of one RDN`() throws {
        let hostile = "x,ou=admins+cn=y\u{0}#\"<>;=\\ "
        let name = try #require(DistinguishedName("uid=\(escaped(hostile)),ou=people"))
        #expect(name == DistinguishedName("uid=x\\,ou\\=admins\\+cn\\=y\\00#\\\"\\<\\>\\;=\\\\\\20,ou=people"))
    }
}

struct FilterTests {
    @Test(arguments: ["(uid=a)", "(&(a=b)(!(c=d)))", "(cn=*)", "(cn=\\2a\\00)"])
    func `a filter is one`(text: String) {
        #expect(isFilter(text))
    }

    @Test(arguments: ["", "uid=a", "(uid=a", "(uid=a))", "(&(a=b)", "(uid=\\zz)", "(uid=a)\u{0}"])
    func `what is no filter is none`(text: String) {
        #expect(!isFilter(text))
    }
}

struct ServerAddressTests {
    @Test(
        arguments: [
            ("ldap://h", "h", 389, false), ("ldaps://h", "h", 636, true),
            ("LDAP://H.example:1389/", "h.example", 1389, false),
            ("ldaps://[::1]:6360", "::1", 6360, true), ("ldap://127.0.0.1", "127.0.0.1", 389, false),
        ] as [(String, String, UInt16, Bool)])
    func `an address is read`(url: String, host: String, port: UInt16, isTLS: Bool) throws {
        let address = try ServerAddress(url)
        #expect(address.host == host)
        #expect(address.port == port)
        #expect(address.isTLS == isTLS)
    }

    @Test(arguments: [
        "", "h", "ldap://", "ldapi:///", "http://h", "ldap://h:0", "ldap://h:65536", "ldap://h:", "ldap://h:+1",
        "ldap://user@h", "ldap://h/dc=x", "ldap://h?x", "ldap://[::1", "ldap://[h]", "ldap://h ldap://i",
        "ldap://h:1:2",
    ])
    func `anything else is refused with what is accepted`(url: String) {
        #expect {
            try ServerAddress(url)
        } throws: {
            ($0 as? StartError)?.reason.contains("ldap://host[:port]") == true
        }
    }

    @Test(arguments: [
        ("localhost", true), ("127.0.0.1", true), ("[::1]", true), ("127.0.0.2", false), ("localhost.example", false),
        ("127.0.0.1.example", false), ("example.org", false), ("[::2]", false),
    ])
    func `only a loopback literal and localhost are this machine`(host: String, isLoopback: Bool) throws {
        #expect(try ServerAddress("ldap://\(host)").isLoopback == isLoopback)
    }
}

struct StableIDTests {
    private let all = ["entryUUID", "nsUniqueId", "objectGUID"]

    @Test func `the first attribute that the entry has counts, in any spelling`() throws {
        let entry = DirectoryEntry(
            name: "x", attributes: ["NSUNIQUEID": [Array("3a-4b".utf8)], "objectGUID": [[1]]])
        let id = try #require(StableID(of: entry, from: all))
        #expect(id.text == "3a-4b")
        #expect(id.filter == "(nsUniqueId=3a-4b)")
    }

    @Test func `an objectGUID is written the usual way and searched for as bytes`() throws {
        let bytes: [UInt8] = [
            0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF,
        ]
        let id = try #require(StableID(of: DirectoryEntry(name: "x", attributes: ["objectGUID": [bytes]]), from: all))
        #expect(id.text == "00112233-4455-6677-8899-aabbccddeeff")
        #expect(id.filter.hasPrefix("(objectGUID=\\33\\22\\11\\00"))
    }

    @Test func `bytes that are no text are written in hexadecimal`() throws {
        let entry = DirectoryEntry(name: "x", attributes: ["guid": [[0xFF, 0x01]]])
        #expect(try #require(StableID(of: entry, from: ["guid"])).text == "ff01")
    }

    @Test func `an entry without any has none`() {
        let entry = DirectoryEntry(name: "x", attributes: ["entryUUID": [[]], "cn": [[65]]])
        #expect(StableID(of: entry, from: all) == nil)
    }
}
