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

    @Test func `a server that is too busy for a joint question is asked one again after a pause`() {
        for code: Int32 in [3, 11, 51, 52, 80] {
            var search = NameSearch.works
            search.failed(ResultCode(code), now: 500)
            #expect(!search.mayBeAsked(now: 500 + NameSearch.pause - 1), "\(code)")
            #expect(search.mayBeAsked(now: 500 + NameSearch.pause), "\(code)")
            search.leftOut()
            #expect(search.mayBeAsked(now: .max), "that it works is still known")
        }
    }

    @Test func `a server that refuses a joint question is asked none on this connection`() {
        for code: Int32 in [4, 32, 50, 53] {
            var search = NameSearch.works
            search.failed(ResultCode(code), now: 500)
            #expect(!search.mayBeAsked(now: .max), "\(code)")
        }
    }

    @Test(arguments: [("OpenLDAProotDSE", NameSearch.untried), ("top", .useless)])
    func `only a server that says it is OpenLDAP is tried`(objectClass: String, expected: NameSearch) {
        let entry = DirectoryEntry(name: "", attributes: ["objectClass": [Array(objectClass.utf8)]])
        #expect(ServerFacts(rootEntry: entry, method: .auto).nameSearch == expected)
        #expect(ServerFacts().nameSearch == .useless)
    }
}
