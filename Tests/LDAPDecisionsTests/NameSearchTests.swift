internal import RuntimeSyncPlugin
internal import Testing

@testable internal import LDAPDecisions

struct NameSearchTests {
    @Test(arguments: [
        (NameSearch.untried, NameSearch.works, NameSearch.useless), (.works, .works, .works),
        (.useless, .useless, .useless),
    ])
    func `what an answer shows decides whether names are searched for`(
        before: NameSearch, afterFound: NameSearch, afterLeftOut: NameSearch
    ) {
        var (found, leftOut) = (before, before)
        found.found()
        leftOut.leftOut()
        #expect(found == afterFound && leftOut == afterLeftOut)
    }

    @Test(arguments: [("OpenLDAProotDSE", NameSearch.untried), ("top", .useless)])
    func `only a server that says it is OpenLDAP is tried`(objectClass: String, expected: NameSearch) {
        let entry = DirectoryEntry(name: "", attributes: ["objectClass": [Array(objectClass.utf8)]])
        #expect(ServerFacts(rootEntry: entry, method: .auto).nameSearch == expected)
        #expect(ServerFacts().nameSearch == .useless)
    }
}
