internal import Glibc

/// A certificate authority for one test, made by the `openssl` program in a folder of its own that goes with it.
public final class ThrowAwayAuthority: Sendable {
    /// The folder with everything in it.
    public let folder: String
    /// Path of the authority's own certificate, PEM.
    public var certificate: String { "\(folder)/ca.pem" }

    /// A certificate and its key, as paths of PEM files.
    public struct Issued: Sendable {
        public let certificate: String
        public let key: String
    }

    /// Makes the authority.
    public init() throws(ServerError) {
        folder = try temporaryFolder()
        try Self.make(
            "ca", ["-subj", "/CN=Throw-away authority", "-addext", "keyUsage=critical,keyCertSign"], in: folder)
    }

    deinit {
        removeFolder(folder)
    }

    /// Issues a certificate for 127.0.0.1 and localhost, or for somebody else.
    ///
    /// - Parameters:
    ///   - name: the certificate's subject and the name of its files.
    ///   - subjectAltName: as `openssl` writes it.
    public func issue(
        _ name: String, subjectAltName: String = "IP:127.0.0.1,DNS:localhost"
    ) throws(ServerError) -> Issued {
        try Self.make(
            name,
            [
                "-subj", "/CN=\(name)", "-CA", certificate, "-CAkey", "\(folder)/ca.key",
                "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "subjectAltName=\(subjectAltName)",
            ], in: folder)
        return Issued(certificate: "\(folder)/\(name).pem", key: "\(folder)/\(name).key")
    }

    private static func make(_ name: String, _ arguments: [String], in folder: String) throws(ServerError) {
        let program = try SpawnedProgram(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
                + ["-days", "2", "-keyout", "\(folder)/\(name).key", "-out", "\(folder)/\(name).pem"] + arguments,
            output: "\(folder)/openssl.log")
        guard program.waitForExit() == 0 else { throw ServerError("openssl failed; see \(folder)/openssl.log") }
    }
}

/// The text of a file, such as a certificate.
public func read(_ path: String) throws(ServerError) -> String {
    guard let file = fopen(path, "r") else { throw ServerError(call: path) }
    defer { fclose(file) }
    var text: [UInt8] = []
    while case let byte = getc(file), byte != EOF { text.append(UInt8(byte)) }
    return String(decoding: text, as: UTF8.self)
}
