internal import Testing

@testable internal import LDAPDecisions

struct AccountCacheTests {
    private func query(_ number: Int) -> AccountQuery {
        AccountQuery(base: "ou=people", scope: .subtree, filter: "(uid=\(number))")
    }

    private let account = LocatedAccount(
        name: "uid=ada,ou=people", stableID: StableID(bound: "id-1", attribute: "entryUUID"))

    @Test func `without a binding an account is remembered until its time is over`() {
        var cache = AccountCache(capacity: 2, lifetime: 100)
        cache.store(account, for: query(1), now: 10)
        #expect(cache.account(for: query(1), boundTo: nil, now: 109) == account)
        #expect(cache.account(for: query(1), boundTo: nil, now: 110) == nil)
        #expect(cache.account(for: query(2), boundTo: nil, now: 10) == nil)
    }

    @Test func `with a binding the same account is remembered however long ago it was found, and no other`() {
        var cache = AccountCache(capacity: 2, lifetime: 100)
        cache.store(account, for: query(1), now: 10)
        #expect(cache.account(for: query(1), boundTo: "id-1", now: 1_000_000) == account)
        #expect(cache.account(for: query(1), boundTo: "id-2", now: 10) == nil)
    }

    @Test func `a dropped account is forgotten`() {
        var cache = AccountCache()
        cache.store(account, for: query(1), now: 0)
        cache.drop(query(1))
        #expect(cache.account(for: query(1), boundTo: nil, now: 0) == nil)
    }

    @Test func `the one not used for longest goes first, and there are never too many`() {
        var cache = AccountCache(capacity: 3, lifetime: 100)
        for number in 1...100 {
            cache.store(account, for: query(number), now: 0)
            #expect(cache.account(for: query(1), boundTo: "id-1", now: 0) == account)
            #expect(cache.count <= 3)
        }
        #expect([1, 99, 100].allSatisfy { cache.account(for: query($0), boundTo: nil, now: 0) != nil })
        #expect(cache.account(for: query(98), boundTo: nil, now: 0) == nil)
    }

    @Test func `using the same account again and again forgets no other`() {
        var cache = AccountCache(capacity: 3, lifetime: 100)
        for number in 1...3 { cache.store(account, for: query(number), now: 0) }
        for _ in 1...20 {
            cache.store(account, for: query(1), now: 0)
            _ = cache.account(for: query(2), boundTo: nil, now: 0)
        }
        #expect((1...3).allSatisfy { cache.account(for: query($0), boundTo: nil, now: 0) != nil })
    }
}
