internal import CLDAP

/// Memory for the arguments of one libldap call; all of it goes when the call is over. Never holds a secret.
final class Arena {
    private var blocks: [UnsafeMutableRawPointer] = []

    deinit {
        blocks.forEach { $0.deallocate() }
    }

    /// NUL-terminated.
    func text(_ text: String) -> UnsafeMutablePointer<CChar> {
        let characters = text.utf8CString
        let copy = allocate(CChar.self, characters.count)
        characters.withUnsafeBufferPointer { source in
            if let start = source.baseAddress { copy.initialize(from: start, count: source.count) }
        }
        return copy
    }

    func bytes(_ text: String) -> berval {
        berval(bv_len: ber_len_t(text.utf8.count), bv_val: self.text(text))
    }

    /// "Give this attribute these values": no values remove it, whether it is there or not (RFC 4511, section 4.6).
    func replacement(_ type: String, _ values: [berval]) -> UnsafeMutablePointer<LDAPMod> {
        let list = allocate(UnsafeMutablePointer<berval>?.self, values.count + 1)
        for (index, value) in values.enumerated() {
            let copy = allocate(berval.self, 1)
            copy.initialize(to: value)
            (list + index).initialize(to: copy)
        }
        (list + values.count).initialize(to: nil)
        var change = LDAPMod()
        change.mod_op = LDAP_MOD_REPLACE | LDAP_MOD_BVALUES
        change.mod_type = text(type)
        change.mod_vals.modv_bvals = values.isEmpty ? nil : list
        let copy = allocate(LDAPMod.self, 1)
        copy.initialize(to: change)
        return copy
    }

    private func allocate<T>(_ type: T.Type, _ count: Int) -> UnsafeMutablePointer<T> {
        let memory = UnsafeMutablePointer<T>.allocate(capacity: count)
        blocks.append(UnsafeMutableRawPointer(memory))
        return memory
    }
}
