/// What a server says of itself in its root entry (RFC 4512, section 5.1). Nothing known is a valid answer.
package struct ServerFacts: Equatable, Sendable {
    /// A password is written with Password Modify (RFC 3062), not as an attribute.
    package var passwordByExtendedOperation = false
    /// The assertion control, RFC 4528: a write may carry a condition.
    package var knowsAssertion = false
    /// Whether several accounts may be asked about at once, by their names.
    package var nameSearch = NameSearch.useless
    /// Who made it, if it says.
    package var vendor: String?

    package init() {}

    package init(rootEntry entry: DirectoryEntry, method: PasswordMethod) {
        func lists(_ attribute: String, _ oid: String) -> Bool {
            entry[attribute].contains { $0.elementsEqual(oid.utf8) }
        }
        passwordByExtendedOperation =
            switch method {
            case .auto: lists("supportedExtension", Self.passwordModify)
            case .modify: false
            case .extended: true
            }
        knowsAssertion = lists("supportedControl", Self.assertion)
        nameSearch = lists("objectClass", Self.openLDAP) ? .untried : .useless
        vendor = (entry["vendorName"] + entry["vendorVersion"]).first.map { String(decoding: $0, as: UTF8.self) }
    }

    /// What is asked of the root entry.
    package static let attributes = [
        "objectClass", "supportedExtension", "supportedControl", "vendorName", "vendorVersion",
    ]

    private static let passwordModify = "1.3.6.1.4.1.4203.1.11.1"
    private static let assertion = "1.3.6.1.1.12"
    private static let openLDAP = "OpenLDAProotDSE"
}
