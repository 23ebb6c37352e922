internal import CLDAP

/// Whether `text` is an LDAP filter (RFC 4515), as libldap reads it.
func isFilter(_ text: String) -> Bool {
    guard !text.utf8.contains(0), text.first == "(" else { return false }
    var handle: OpaquePointer?
    guard ldap_create(&handle) == LDAP_SUCCESS, let handle else { return false }
    defer { ldap_destroy(handle) }
    // The one public call that encodes a filter without sending it.
    var filter = Array(text.utf8CString)
    var value = berval()
    guard ldap_create_assertion_control_value(handle, &filter, &value) == LDAP_SUCCESS else { return false }
    ldap_memfree(value.bv_val)
    return true
}

/// `text` as a filter's value: what has a meaning there is written as `\XX` (RFC 4515, section 3).
func asValue(_ text: String) -> String {
    func isSpecial(_ byte: UInt8) -> Bool {
        switch byte {
        case 0, UInt8(ascii: "("), UInt8(ascii: ")"), UInt8(ascii: "*"), UInt8(ascii: "\\"): true
        default: false
        }
    }
    guard text.utf8.contains(where: isSpecial) else { return text }
    var bytes: [UInt8] = []
    for byte in text.utf8 {
        if isSpecial(byte) { bytes += "\\\(hex(byte))".utf8 } else { bytes.append(byte) }
    }
    return String(decoding: bytes, as: UTF8.self)
}
