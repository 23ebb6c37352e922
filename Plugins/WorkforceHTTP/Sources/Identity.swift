internal import Glibc
internal import RuntimeSyncPlugin
internal import WorkforceRequests

/// What the plugin shows to the target, and by what it knows the target: read once at the start, wiped at the stop.
///
/// libcurl copies the `Authorization` line for each request and frees its copies without wiping them, and OpenSSL
/// keeps the parsed client key for each connection: those copies are out of reach.
struct Identity: ~Copyable, Sendable {
    /// The whole header line, with a NUL after it.
    let authorization: SecretBuffer?
    /// Certificates in PEM that alone are trusted; without them the system's are.
    let authorities: SecretBuffer?
    let certificate: SecretBuffer?
    let key: SecretBuffer?

    /// - Parameters:
    ///   - authentication: what the settings chose.
    ///   - files: the descriptors that the host sent, by settings key.
    /// - Throws: ``StartError`` with everything that is wrong with them.
    init(_ authentication: WorkforceSettings.Authentication, files: [String: Int32]) throws(StartError) {
        var errors = StartErrors()
        let authorization = errors.attempt { () throws(StartError) in try Self.authorization(authentication, files) }
        let authorities = errors.attempt { () throws(StartError) in try Self.file("ca_file", files) }
        let certificate = errors.attempt { () throws(StartError) in try Self.file("client_certificate", files) }
        let key = errors.attempt { () throws(StartError) in try Self.file("client_key", files) }
        try errors.check()
        self.authorization = authorization ?? nil
        self.authorities = authorities ?? nil
        self.certificate = certificate ?? nil
        self.key = key ?? nil
    }

    private static func authorization(
        _ authentication: WorkforceSettings.Authentication, _ files: [String: Int32]
    ) throws(StartError) -> SecretBuffer? {
        switch authentication {
        case .none:
            return nil
        case .bearer:
            let token = try secret("bearer_token", files)
            guard token.count > 0, token.withUnsafeBytes({ $0.allSatisfy { (0x21...0x7E).contains($0) } }) else {
                throw StartError("bearer_token: one line of printable ASCII without spaces is accepted")
            }
            return line("Authorization: Bearer ", token.count) { token.copy(to: $0) }
        case .basic(let user):
            let password = try secret("basic_password", files)
            guard password.count > 0 else { throw StartError("basic_password: it is empty") }
            let name = Array((user + ":").utf8)
            let pair = SecretBuffer(count: name.count + password.count) { pair in
                pair.copyBytes(from: name)
                password.copy(to: UnsafeMutableRawBufferPointer(rebasing: pair[name.count...]))
            }
            return pair.withUnsafeBytes { pair in
                line("Authorization: Basic ", (pair.count + 2) / 3 * 4) { Base64.encode(pair, to: $0) }
            }
        }
    }

    private static func line(
        _ start: StaticString, _ count: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void
    ) -> SecretBuffer {
        let start = UnsafeRawBufferPointer(start: start.utf8Start, count: start.utf8CodeUnitCount)
        return SecretBuffer(count: start.count + count) { line in
            line.copyMemory(from: start)
            fill(UnsafeMutableRawBufferPointer(rebasing: line[start.count...]))
        }
    }

    private static func secret(_ key: String, _ files: [String: Int32]) throws(StartError) -> SecretBuffer {
        guard let descriptor = files[key], let secret = SecretBuffer(reading: descriptor) else {
            throw StartError(
                "\(key): it cannot be read (\(String(cString: strerror(errno)))); at most 64 KiB are accepted")
        }
        return secret
    }

    /// A file of certificates or a key; `nil` if the settings name none.
    private static func file(_ key: String, _ files: [String: Int32]) throws(StartError) -> SecretBuffer? {
        guard let descriptor = files[key] else { return nil }
        var status = stat()
        guard fstat(descriptor, &status) == 0, (1...(1 << 22)).contains(status.st_size) else {
            throw StartError("\(key): a file of 1 byte to 4 MiB is accepted")
        }
        var position = 0
        let contents = SecretBuffer(count: Int(status.st_size)) { contents in
            while position < contents.count {
                let count = pread(
                    descriptor, contents.baseAddress?.advanced(by: position), contents.count - position,
                    off_t(position))
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else { break }
                position += count
            }
        }
        guard position == contents.count else { throw StartError("\(key): it cannot be read to its end") }
        return contents
    }
}

extension SecretBuffer {
    fileprivate borrowing func copy(to target: UnsafeMutableRawBufferPointer) {
        withUnsafeBytes { target.copyMemory(from: $0) }
    }
}

/// Base64 with padding (RFC 4648, 4) from memory to memory, so that no copy of a secret is left.
enum Base64 {
    /// `output` has room for four bytes for every three begun.
    static func encode(_ input: UnsafeRawBufferPointer, to output: UnsafeMutableRawBufferPointer) {
        let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        var written = 0
        for start in stride(from: 0, to: input.count, by: 3) {
            let group = input[start..<min(start + 3, input.count)]
            var bits = group.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            bits <<= 8 * (3 - group.count)
            for digit in 0..<4 {
                let index = Int(bits >> (18 - 6 * digit)) & 63
                output[written] = digit <= group.count ? alphabet.utf8Start[index] : UInt8(ascii: "=")
                written += 1
            }
        }
    }
}
