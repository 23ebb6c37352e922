internal import RuntimeSyncPlugin

/// Whether entries are found by `entryDN` (RFC 5020) on one connection, so that a ``JointProof`` is worth its question.
///
/// | | an entry was found by its name | it was left out, and found when asked alone |
/// |---|---|---|
/// | `untried` | `works` | `useless` |
/// | `works` | `works` | `works`: access rules differ from entry to entry |
/// | `useless` | – | – |
///
/// A joint question that the server does not carry out makes it `useless` too, unless the reason passes, such as *busy*:
/// then there is a pause of ``pause`` and what was known is known again. The next connection tries anew: somebody may
/// have changed the rules meanwhile.
package struct NameSearch: Equatable, Sendable {
    private enum Verdict {
        case untried, works, useless
    }

    private var verdict: Verdict
    /// On the host's clock, in milliseconds.
    private var notBefore: UInt64 = 0

    /// OpenLDAP's databases do it without looking at other entries; whether this account may, nobody knows yet.
    package static let untried = NameSearch(verdict: .untried)
    package static let works = NameSearch(verdict: .works)
    /// Each proof is asked alone.
    package static let useless = NameSearch(verdict: .useless)

    /// Milliseconds without a joint question after a server was too busy for one. Short beside a rush of deliveries, long
    /// beside a question.
    package static let pause: UInt64 = 2_000

    /// Whether a joint question may be asked now.
    package func mayBeAsked(now: UInt64) -> Bool {
        verdict != .useless && now >= notBefore
    }

    /// An entry was found by its name.
    package mutating func found() {
        if verdict == .untried { verdict = .works }
    }

    /// A joint answer left an entry out that was there when it was asked about alone.
    package mutating func leftOut() {
        if verdict == .untried { verdict = .useless }
    }

    /// A joint question was not carried out.
    ///
    /// - Parameters:
    ///   - code: why.
    ///   - now: on the host's clock, in milliseconds.
    package mutating func failed(_ code: ResultCode, now: UInt64) {
        if code.outcome(.locating) == .retry { notBefore = now + Self.pause } else { verdict = .useless }
    }
}
