/// Whether an attribute, with or without options, holds passwords or keys made of them. Such an attribute is neither
/// written as part of a profile nor read: passwords have a way of their own, and a record is not sealed.
package func holdsPassword(_ attribute: String) -> Bool {
    let type = attribute.prefix { $0 != ";" }.lowercased()
    return [
        "userpassword", "2.5.4.35", "unicodepwd", "authpassword", "sambantpassword", "sambalmpassword",
        "krbprincipalkey",
    ].contains(type)
}
