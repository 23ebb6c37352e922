internal import RuntimeSyncPlugin
internal import Testing

@testable internal import LDAPDecisions

struct DeliveryCourseTests {
    private let account = LocatedAccount(
        name: "uid=ada,ou=people", stableID: StableID(of: Self.entry, from: ["entryUUID"]))
    private static let entry = DirectoryEntry(
        name: "uid=ada,ou=people", attributes: ["entryUUID": [Array("id-1".utf8)], "title": [Array("x".utf8)]])
    private let found = SearchAnswer(end: ServerAnswer(code: .success), entries: [Self.entry])
    private let nothing = SearchAnswer(end: ServerAnswer(code: .success))

    @Test(arguments: [
        ("uid={{externalId}},ou=people", false), ("uid={{username}},ou=people", true),
        ("uid={{externalId}}+mail={{email}},ou=people", true), ("uid={{userId}},OU = people", true),
        ("uid={{externalId}},ou=sub,ou=people", false), ("uid={{externalId}}, ou=people", false),
    ])
    func `the account's name follows from what the template needs, and lies below the base`(
        template: String, needsEvent: Bool
    ) throws {
        let rules = try accountRules(["base": .string("ou=people"), "account_dn": .string(template)])
        #expect(rules.needEvent == needsEvent)
        let names = SubjectNames(externalID: ",ou=people", username: "x", userID: "x", email: "x")
        let query = try rules.query(for: names)
        let name = try #require(DistinguishedName(query.base))
        #expect(name.isStrictlyBelow(rules.baseName))
        let bound = rules.account(named: query, boundTo: "id-1", attribute: "entryUUID")
        #expect(bound == LocatedAccount(name: query.base, stableID: StableID(bound: "id-1", attribute: "entryUUID")))
    }

    @Test func `only a search tells the name of an account that is found by a filter`() throws {
        let rules = try rules()
        let query = try rules.query(for: SubjectNames(externalID: "ada"))
        #expect(rules.account(named: query, boundTo: "id-1", attribute: "entryUUID") == nil)
    }

    private func rules(_ more: [String: JSON] = [:]) throws -> AccountRules {
        let members: [String: JSON] = [
            "base": .string("ou=people"), "account_filter": .string("(uid={{externalId}})"),
        ]
        return try accountRules(members.merging(more) { $1 })
    }

    private func course(
        _ purpose: Purpose, boundTo: String? = nil, _ more: [String: JSON] = [:]
    ) throws -> DeliveryCourse {
        let rules = try rules(more)
        return DeliveryCourse(
            purpose, query: try rules.query(for: SubjectNames(externalID: "ada")), rules: rules, boundTo: boundTo)
    }

    private func facts(extended: Bool = false, assertion: Bool = true) -> ServerFacts {
        var facts = ServerFacts()
        facts.passwordByExtendedOperation = extended
        facts.knowsAssertion = assertion
        return facts
    }

    private func outcome(_ step: Step) -> Outcome? {
        if case .finish(let completion) = step { completion.outcome } else { nil }
    }

    @Test func `a password is written to the entry that was found, on condition that it is still the same`() throws {
        var course = try course(.password)
        let query = AccountQuery(base: "ou=people", scope: .subtree, filter: "(uid=ada)")
        let first = course.begin(known: nil, facts: facts())
        #expect(first == .locate(query, attributes: ["entryUUID", "nsUniqueId", "objectGUID"]))
        #expect(course.located(found, facts: facts()) == .write(account, condition: "(entryUUID=id-1)"))
        let end = course.written(ServerAnswer(code: .success))
        #expect(end == .finish(Completion(.delivered, account: "id-1")))
    }

    @Test(arguments: [(false, true, true), (false, false, false), (true, true, false)])
    func `without a binding, what is known is used only for a write with a condition`(
        extended: Bool, assertion: Bool, isUsed: Bool
    ) throws {
        var course = try course(.password)
        let step = course.begin(known: account, facts: facts(extended: extended, assertion: assertion))
        #expect(course.isAmbiguous == isUsed)
        if case .write(_, let condition) = step { #expect(condition != nil) } else { #expect(!isUsed) }
    }

    @Test(arguments: [(false, false), (true, true), (true, false)])
    func `without a condition, the known account of a binding is confirmed first`(extended: Bool, assertion: Bool)
        throws
    {
        let facts = facts(extended: extended, assertion: assertion)
        var course = try course(.password, boundTo: "id-1", ["protect": .string("(title=x)")])
        let question = AccountProof(account: account, filter: "(&(entryUUID=id-1)(uid=ada)(!(title=x)))")
        #expect(course.begin(known: account, facts: facts) == .confirm(question))
        #expect(
            course.confirmed(found, facts: facts)
                == .write(account, condition: facts.knowsAssertion && !extended ? question.filter : nil))
        #expect(course.interrupted(.connectionLost).outcome == .unknown)
    }

    @Test func `a write that carries its condition needs nothing before it`() throws {
        var course = try course(.profile(["sn": ["x"]]), boundTo: "id-1", ["protect": .string("(title=x)")])
        let step = course.begin(known: account, facts: facts(extended: true))
        #expect(step == .write(account, condition: "(&(entryUUID=id-1)(uid=ada)(!(title=x)))"))
    }

    @Test func `a known account that is not the bound one is not even asked about`() throws {
        var course = try course(.password, boundTo: "id-2")
        _ = course.begin(known: account, facts: facts())
        #expect(course.stage == .locating)
    }

    @Test(arguments: [ResultCode.success, .noSuchObject, ResultCode(50), ResultCode(12)])
    func `what is not confirmed is looked for, and then the usual rules hold`(code: ResultCode) throws {
        var course = try course(.password, boundTo: "id-1", ["protect": .string("(title=x)")])
        let facts = facts(extended: true)
        _ = course.begin(known: account, facts: facts)
        _ = course.confirmed(SearchAnswer(end: ServerAnswer(code: code)), facts: facts)
        #expect(course.stage == .locating)
        #expect(course.account == nil)
        _ = course.located(found, facts: facts)
        #expect(outcome(course.confirmed(nothing, facts: facts)) == .refused)
    }

    @Test func `a server that is busy while it is asked is asked again later`() throws {
        var course = try course(.password, boundTo: "id-1")
        let facts = facts(extended: true)
        _ = course.begin(known: account, facts: facts)
        let busy = SearchAnswer(end: ServerAnswer(code: ResultCode(51)))
        #expect(outcome(course.confirmed(busy, facts: facts)) == .retry)
    }

    @Test(arguments: [Purpose.verify, .read([]), .profile([:])])
    func `what is known is not used where nothing is written`(purpose: Purpose) throws {
        var course = try course(purpose, boundTo: "id-1")
        _ = course.begin(known: account, facts: facts())
        #expect(course.stage == .locating)
    }

    @Test(arguments: [ResultCode.noSuchObject, .assertionFailed])
    func `a known account that is no longer there is looked for once more`(code: ResultCode) throws {
        var course = try course(.password)
        _ = course.begin(known: account, facts: facts())
        _ = course.written(ServerAnswer(code: code))
        #expect(course.stage == .locating)
        _ = course.located(found, facts: facts())
        let again = course.written(ServerAnswer(code: code))
        #expect(outcome(again) == (code == .noSuchObject ? .absent : .retry))
    }

    @Test func `protect is asked before and repeated in the condition`() throws {
        var course = try course(.password, ["protect": .string("(title=x)")])
        _ = course.begin(known: nil, facts: facts())
        let filter = "(&(entryUUID=id-1)(!(title=x)))"
        let step = course.located(found, facts: facts())
        #expect(step == .confirm(AccountProof(account: account, filter: filter)))
        #expect(course.confirmed(found, facts: facts()) == .write(account, condition: filter))
    }

    @Test func `an entry that is not confirmed is refused`() throws {
        var course = try course(.password, ["protect": .string("(title=x)")])
        _ = course.begin(known: nil, facts: facts())
        _ = course.located(found, facts: facts())
        #expect(outcome(course.confirmed(nothing, facts: facts())) == .refused)
    }

    @Test func `another account than the bound one is refused, and so is one that cannot be told`() throws {
        var other = try course(.password, boundTo: "id-2")
        _ = other.begin(known: nil, facts: facts())
        #expect(outcome(other.located(found, facts: facts())) == .refused)
        var nameless = try course(.password, boundTo: "id-1")
        _ = nameless.begin(known: nil, facts: facts())
        let entry = DirectoryEntry(name: account.name, attributes: [:])
        let answer = SearchAnswer(end: ServerAnswer(code: .success), entries: [entry])
        #expect(outcome(nameless.located(answer, facts: facts())) == .refused)
    }

    @Test func `an entry outside of base is refused, whatever the server says`() throws {
        var course = try course(.password)
        _ = course.begin(known: nil, facts: facts())
        let entry = DirectoryEntry(name: "uid=ada,ou=admins", attributes: [:])
        let answer = SearchAnswer(end: ServerAnswer(code: .success), entries: [entry])
        #expect(outcome(course.located(answer, facts: facts())) == .refused)
    }

    @Test func `two entries are ambiguous even if the server stopped there`() throws {
        for code in [ResultCode.success, .sizeLimitExceeded] {
            var course = try course(.password)
            _ = course.begin(known: nil, facts: facts())
            let answer = SearchAnswer(end: ServerAnswer(code: code), entries: [Self.entry, Self.entry])
            #expect(outcome(course.located(answer, facts: facts())) == .refused)
        }
    }

    @Test(arguments: [
        ("", Outcome.absent), ("ou=people", .absent), ("ou=x,ou=people", .absent), ("dc=org", .misconfigured),
    ])
    func `by name, a missing entry is absent, and a missing base is misconfigured`(
        matched: String, expected: Outcome
    ) throws {
        let rules = try accountRules([
            "base": .string("ou=people,dc=org"), "account_dn": .string("uid={{externalId}},ou=people,dc=org"),
        ])
        var course = DeliveryCourse(
            .password, query: try rules.query(for: SubjectNames(externalID: "ada")), rules: rules, boundTo: nil)
        _ = course.begin(known: nil, facts: facts())
        let matched = matched.isEmpty || matched == "dc=org" ? matched : "\(matched),dc=org"
        let end = ServerAnswer(code: .noSuchObject, matchedName: matched)
        #expect(outcome(course.located(SearchAnswer(end: end), facts: facts())) == expected)
    }

    @Test(arguments: [Interruption.connectionLost, .timedOut, .cancelled, .stopping])
    func `an end without an answer is unknown only after the write was sent`(reason: Interruption) throws {
        var course = try course(.password, ["protect": .string("(title=x)")])
        #expect(course.interrupted(reason).outcome == .retry)
        _ = course.begin(known: nil, facts: facts())
        #expect(course.interrupted(reason).outcome == .retry)
        _ = course.located(found, facts: facts())
        #expect(course.interrupted(reason).outcome == .retry)
        _ = course.confirmed(found, facts: facts())
        #expect(course.interrupted(reason).outcome == .unknown)
        course.withdraw()
        #expect(course.interrupted(reason).outcome == .retry)
    }

    @Test func `a record holds what was asked for, and says what it leaves out`() throws {
        var course = try course(.read(["Title", "photo", "l"]))
        _ = course.begin(known: nil, facts: facts())
        let entry = DirectoryEntry(
            name: account.name, attributes: ["title": [Array("x".utf8)], "photo": [[0xFF]], "other": [[65]]])
        let answer = SearchAnswer(end: ServerAnswer(code: .success), entries: [entry])
        guard case .report(_, let values, let detail) = course.located(answer, facts: facts()) else {
            Issue.record("no report")
            return
        }
        #expect(values == ["Title": ["x"], "l": []])
        #expect(detail.contains("photo"))
    }
}

private func accountRules(_ members: [String: JSON]) throws -> AccountRules {
    var written = try WrittenSettings(.object(members))
    return try #require(AccountRules(&written))
}
