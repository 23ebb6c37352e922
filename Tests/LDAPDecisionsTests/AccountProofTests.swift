internal import RuntimeSyncPlugin
internal import Testing

@testable internal import LDAPDecisions

struct AccountProofTests {
    private func proof(_ name: String, _ id: String) -> AccountProof {
        let stableID = StableID(bound: id, attribute: "entryUUID")
        return AccountProof(
            account: LocatedAccount(name: name, stableID: stableID), filter: "(&\(stableID?.filter ?? "")(!(title=x)))")
    }

    private func entry(_ name: String, _ id: String) -> DirectoryEntry {
        DirectoryEntry(name: name, attributes: ["entryUUID": [Array(id.utf8)]])
    }

    /// `false`: it has to be asked alone.
    private func confirmed(_ proofs: [AccountProof], _ entries: [DirectoryEntry]) -> [Bool]? {
        let answer = SearchAnswer(end: ServerAnswer(code: .success), entries: entries)
        let answers = JointProof(proofs, below: "ou=people").answers(answer, to: proofs)
        return answers?.map { $0.map { $0.entries.count == 1 } ?? false }
    }

    @Test func `one question is asked of the entry itself, several are asked below the base`() {
        let (ada, bob) = (proof("uid=ada,ou=people", "id-1"), proof("uid=b\\2cb,ou=people", "id-2"))
        #expect(ada.query == AccountQuery(base: ada.account.name, scope: .base, filter: ada.filter))
        let joint = JointProof([ada, bob], below: "ou=people")
        let filter =
            "(|(&(entryDN=uid=ada,ou=people)(&(entryUUID=id-1)(!(title=x))))"
            + "(&(entryDN=uid=b\\5c2cb,ou=people)(&(entryUUID=id-2)(!(title=x)))))"
        #expect(joint.query == AccountQuery(base: "ou=people", scope: .subtree, filter: filter))
        #expect(joint.attributes == ["entryUUID"])
        #expect(isFilter(filter))
    }

    @Test func `a name cannot be more than a value in the filter`() {
        #expect(asValue("uid=a*)(\\2c\0ü") == "uid=a\\2a\\29\\28\\5c2c\\00ü")
    }

    @Test func `an account is confirmed by its own entry and by no other`() {
        let (ada, bob) = (proof("uid=ada,ou=people", "id-1"), proof("uid=bob,ou=people", "id-2"))
        #expect(confirmed([ada, bob], [entry("uid=bob,ou=people", "id-2")]) == [false, true])
        #expect(confirmed([ada, bob], [entry("uid=bob,ou=people", "id-1")]) == [false, false])
        #expect(confirmed([ada, bob], []) == [false, false])
        // The same account, known under an old name and a new one.
        let old = proof("uid=old,ou=people", "id-1")
        #expect(confirmed([old, ada], [entry("uid=ada,ou=people", "id-1")]) == [false, true])
    }

    @Test func `what is absent from a joint answer is asked alone`() {
        let (ada, bob) = (proof("uid=ada,ou=people", "id-1"), proof("uid=bob,ou=people", "id-2"))
        let answer = SearchAnswer(
            end: ServerAnswer(code: .success), entries: [entry("uid=ada,ou=people", "id-1")])
        let answers = JointProof([ada, bob], below: "ou=people").answers(answer, to: [ada, bob])
        #expect(answers?.map { $0 == nil } == [false, true])
        #expect(bob.canBeJoined && !bob.leftOut.canBeJoined && bob.leftOut.query == bob.query)
    }

    @Test func `a server may write a name in another way`() {
        #expect(confirmed([proof("uid=ada,ou=people", "id-1")], [entry("UID=Ada, ou=People", "id-1")]) == [true])
    }

    @Test(arguments: [4, 11, 32, 50, 53])
    func `a question that was not answered to its end is no answer to anybody`(code: Int32) {
        let ada = proof("uid=ada,ou=people", "id-1")
        let answer = SearchAnswer(
            end: ServerAnswer(code: ResultCode(code)), entries: [entry(ada.account.name, "id-1")])
        #expect(JointProof([ada], below: "ou=people").answers(answer, to: [ada]) == nil)
    }

    @Test func `an account without a stable id cannot be told from others`() {
        let account = LocatedAccount(name: "uid=ada,ou=people", stableID: nil)
        #expect(!AccountProof(account: account, filter: "(!(title=x))").canBeJoined)
    }
}

struct BoundStableIDTests {
    @Test(
        arguments: [
            ("entryUUID", Array("8c8a4b4e-3b0a-103d-8a63-1d9f1c3b0001".utf8)),
            ("nsUniqueId", Array("66446001-1dd211b2-66225011-2ee211db".utf8)),
            (
                "objectGUID",
                [0x90, 0x39, 0x5F, 0x19, 0x1A, 0xB5, 0x1B, 0x4A, 0x9E, 0x96, 0x86, 0xC6, 0x6C, 0xB1, 0x8D, 0x11]
            ),
        ] as [(String, [UInt8])])
    func `what a binding holds leads back to the same filter`(attribute: String, value: [UInt8]) throws {
        let found = try #require(
            StableID(of: DirectoryEntry(name: "", attributes: [attribute: [value]]), from: [attribute]))
        #expect(StableID(bound: found.text, attribute: attribute) == found)
    }

    @Test(arguments: [
        "", "195f3990-b51a-4a1b-9e96", "195f3990xb51a-4a1b-9e96-86c66cb18d11", "+95f3990-b51a-4a1b-9e96-86c66cb18d11",
    ])
    func `what is no GUID leads nowhere`(text: String) {
        #expect(StableID(bound: text, attribute: "objectGUID") == nil)
    }

    @Test func `an attribute that may hold bytes leads nowhere, because its text does not say whether it did`() {
        #expect(StableID(bound: "616461", attribute: "employeeNumber") == nil)
    }
}
