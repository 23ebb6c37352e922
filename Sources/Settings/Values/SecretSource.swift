/// Where a secret comes from; never the secret itself, so this may be printed.
public enum SecretSource: Hashable, Sendable {
    /// The contents of a file, by absolute path. Nobody but its owner may have any right to it.
    case file(String)
    /// An environment variable of the daemon.
    case environment(String)
    /// A file in systemd's credentials folder (systemd.exec(5), `LoadCredential=`).
    case credential(String)

    /// Secrets are short; a file with more bytes is a mistake.
    public static let maximumBytes = 65_536

    /// Lends the secret, which is read anew each time, so that a rotated one is seen. One line break at the end, as
    /// editors leave it, is not part of it. From a file, the bytes are wiped when `body` returns: a copy that `body`
    /// makes is its own to wipe. From a variable, they stay in the environment until the process ends: prefer a file.
    ///
    /// - Throws: ``SecretError`` if there is none, it is empty, or others can read it; and what `body` throws.
    public func withBytes<Result>(
        in surroundings: Surroundings = .machine, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result {
        var result: Swift.Result<Result, any Error> = .failure(SecretError(source: self, reason: "is empty"))
        func lend(_ bytes: UnsafeRawBufferPointer) {
            let secret = Self.withoutLineBreak(bytes)
            guard !secret.isEmpty else { return }
            result = Swift.Result { try body(secret) }
        }
        switch self {
        case .environment(let name):
            guard var value = surroundings.environment[name] else {
                throw SecretError(source: self, reason: "is not set")
            }
            value.withUTF8 { lend(UnsafeRawBufferPointer($0)) }
        case .file(let path): try lendFile(path, surroundings, lend)
        case .credential(let name):
            guard let folder = surroundings.environment["CREDENTIALS_DIRECTORY"] else {
                throw SecretError(
                    source: self, reason: "cannot be read: $CREDENTIALS_DIRECTORY is not set; systemd does that")
            }
            try lendFile("\(folder)/\(name)", surroundings, lend)
        }
        return try result.get()
    }

    private func lendFile(
        _ path: String, _ surroundings: Surroundings, _ lend: (UnsafeRawBufferPointer) -> Void
    ) throws(SecretError) {
        switch surroundings.status(path) {
        case .failure(let failure): throw SecretError(source: self, reason: "cannot be read: \(failure.reason)")
        case .success(let status):
            guard status.isRegularFile else { throw SecretError(source: self, reason: "is not a regular file") }
            guard status.mode & 0o077 == 0 else {
                throw SecretError(
                    source: self,
                    reason: "has mode 0\(String(status.mode, radix: 8)): others than its owner have rights to it",
                    hint: "chmod 600 \(path)")
            }
        }
        if case .failure(let failure) = surroundings.read(path, Self.maximumBytes, lend) {
            throw SecretError(source: self, reason: "cannot be read: \(failure.reason)")
        }
    }

    private static func withoutLineBreak(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        guard bytes.last == UInt8(ascii: "\n") else { return bytes }
        let line = bytes.dropLast()
        return UnsafeRawBufferPointer(rebasing: line.last == UInt8(ascii: "\r") ? line.dropLast() : line)
    }
}

extension SecretSource: CustomStringConvertible {
    public var description: String {
        switch self {
        case .file(let path): "file \(path)"
        case .environment(let name): "environment variable \(name)"
        case .credential(let name): "credential \(name)"
        }
    }
}

/// Why a secret cannot be had. Names its source, never its value.
public struct SecretError: Error, Hashable, Sendable, CustomStringConvertible {
    public let source: SecretSource
    /// Follows the source: "is not set".
    public let reason: String
    /// What to do next, if there is something to say.
    public let hint: String?

    init(source: SecretSource, reason: String, hint: String? = nil) {
        self.source = source
        self.reason = reason
        self.hint = hint
    }

    public var description: String { "\(source) \(reason)" }
}

extension Syntax<SecretSource> {
    /// A mapping that says where the secret is. Whatever else stands there may be the secret itself: it is not shown.
    static let secretAccepts = "one of {file: PATH}, {env: NAME} or {credential: NAME}"

    static let secret = Self(
        accepts: secretAccepts, shape: .yaml, isSecret: true,
        read: { node, reader in
            guard let entries = node.entries, entries.count == 1, let entry = entries.first else {
                reader.refuse(
                    node, "does not say where the secret is", accepts: secretAccepts, isSecret: true,
                    hint: node.text == nil
                        ? nil : "a secret does not stand in the settings: put it into a file and write its path")
                return nil
            }
            return reader.descend(entry.key) { reader in
                guard let value = entry.value.text, !value.isEmpty else {
                    reader.refuse(entry.value, "is not a text", accepts: secretAccepts, isSecret: true)
                    return nil
                }
                switch entry.key {
                case "file": return .file(reader.absolute(value))
                case "env" where isVariableName(value): return .environment(value)
                case "credential" where isFileName(value): return .credential(value)
                case "env", "credential":
                    reader.refuse(entry.value, "is not a name", accepts: "a name, not the secret", isSecret: true)
                default:
                    reader.refuse(entry.value, "is not a known key", accepts: secretAccepts, isSecret: true)
                }
                return nil
            }
        },
        write: { "\($0)" })

    private static func isVariableName(_ text: String) -> Bool {
        text.utf8.first.map { !(48...57).contains($0) } == true
            && text.utf8.allSatisfy {
                (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) || $0 == 95
            }
    }

    private static func isFileName(_ text: String) -> Bool {
        text != "." && text != ".." && !text.utf8.contains(UInt8(ascii: "/"))
    }
}
