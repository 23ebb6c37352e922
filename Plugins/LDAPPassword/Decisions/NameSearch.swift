/// Whether entries are found by `entryDN` (RFC 5020) on one connection, so that a ``JointProof`` is worth its question.
///
/// | | an entry was found by its name | it was left out, and found when asked alone |
/// |---|---|---|
/// | `untried` | `works` | `useless` |
/// | `works` | `works` | `works`: access rules differ from entry to entry |
/// | `useless` | – | – |
///
/// The next connection tries again: somebody may have changed the rules meanwhile.
package enum NameSearch: Equatable, Sendable {
    /// OpenLDAP's databases do it without looking at other entries; whether this account may, nobody knows yet.
    case untried
    case works
    /// Each proof is asked alone.
    case useless

    /// An entry was found by its name.
    package mutating func found() {
        if self == .untried { self = .works }
    }

    /// A joint answer left an entry out that was there when it was asked about alone.
    package mutating func leftOut() {
        if self == .untried { self = .useless }
    }
}
