internal import CLDAP

/// The name of an entry, taken apart: the entry's own RDN first, the root last.
package struct DistinguishedName: Equatable, Sendable {
    private struct Assertion: Hashable {
        let type: String
        let value: String
    }

    private let names: [Set<Assertion>]

    /// Reads the string form of RFC 4514; `nil` if `text` is not one.
    package init?(_ text: String) {
        // libldap reads up to the first NUL: what follows it must not be overlooked.
        guard !text.utf8.contains(0) else { return nil }
        var parsed: LDAPDN?
        guard ldap_str2dn(text, &parsed, UInt32(LDAP_DN_FORMAT_LDAPV3)) == LDAP_SUCCESS else { return nil }
        defer { ldap_dnfree(parsed) }
        names = terminated(parsed).map { name in
            Set(
                terminated(name).map { assertion in
                    Assertion(
                        type: string(assertion.pointee.la_attr).lowercased(),
                        value: folded(string(assertion.pointee.la_value)))
                })
        }
    }

    /// Whether the entry is somewhere in the subtree of `base`, and not its top.
    ///
    /// Attribute types are compared by name, values without regard to case and to how many spaces there are: that is
    /// stricter than a server, which also knows `commonName` for `cn`. What is wrongly told apart here is refused, and
    /// so is harmless.
    package func isStrictlyBelow(_ base: DistinguishedName) -> Bool {
        names.count > base.names.count && names.suffix(base.names.count).elementsEqual(base.names)
    }

    package static func == (one: DistinguishedName, other: DistinguishedName) -> Bool {
        one.names == other.names
    }
}

/// The elements of a C array that ends with NULL.
private func terminated<T>(_ array: UnsafeMutablePointer<UnsafeMutablePointer<T>?>?) -> [UnsafeMutablePointer<T>] {
    guard var next = array else { return [] }
    var elements: [UnsafeMutablePointer<T>] = []
    while let element = next.pointee {
        elements.append(element)
        next += 1
    }
    return elements
}

private func string(_ value: berval) -> String {
    value.bv_val.map { start in
        String(decoding: UnsafeRawBufferPointer(start: start, count: Int(value.bv_len)), as: UTF8.self)
    } ?? ""
}

private func folded(_ value: String) -> String {
    value.lowercased().split(separator: " ").joined(separator: " ")
}
