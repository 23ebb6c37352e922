/// Attributes that hold passwords or keys made of them, in small letters. The manifest keeps mappings away from them.
package let passwordAttributes: Set<String> = [
    "userpassword", "2.5.4.35", "unicodepwd", "authpassword", "sambantpassword", "sambalmpassword", "krbprincipalkey",
]

/// Whether an attribute, with or without options, holds passwords. Such an attribute is neither written as part of a
/// profile nor read: passwords have a way of their own, and a record is not sealed.
package func holdsPassword(_ attribute: String) -> Bool {
    passwordAttributes.contains(attribute.prefix { $0 != ";" }.lowercased())
}
