/// Whether a server that finds `password` in `userPassword` takes it for something else than the password: it begins
/// with the name of a scheme in braces (RFC 2307, section 5.3), as in `{SSHA}…`, `{CRYPT}…` and `{CLEARTEXT}…`.
///
/// Such a value is stored as it is, past every rule about passwords, and what is compared at a bind is a hash of
/// something else. A name that the server does not know is no better: OpenLDAP 2.5 lets nobody in with
///
/// | stored | binds with the stored text |
/// |---|---|
/// | `{SSHA}x`, `{NOSUCH}x`, `{a b}x`, `{{x}}y` | no |
/// | `{x`, `{}x`, `{}x}y`, `x{SSHA}y` | yes |
///
/// It decides by the first `}`, and so does this.
///
/// - Parameter password: lent; nothing of it is kept.
package func namesScheme(_ password: UnsafeRawBufferPointer) -> Bool {
    guard password.first == UInt8(ascii: "{") else { return false }
    return password.firstIndex(of: UInt8(ascii: "}")).map { $0 > 1 } ?? false
}
