public import Workbench

/// A certificate authority for one test, made by the `openssl` program in a folder of its own that goes with it.
public final class CertificateAuthority: Sendable {
    /// The authority's own certificate: the path of a PEM file.
    public let certificateFile: String
    /// The authority's own certificate: PEM text.
    public let certificate: String
    private let folder: Folder

    /// A certificate and its key, as paths of PEM files.
    public struct Issued: Sendable {
        public let certificate: String
        public let key: String
    }

    /// Makes the authority.
    public init() throws(ServerError) {
        folder = try Folder()
        let own = try Self.make(
            "authority", ["-subj", "/CN=Throw-away authority", "-addext", "keyUsage=critical,keyCertSign"], in: folder)
        certificateFile = own.certificate
        certificate = try Folder.read(certificateFile)
    }

    /// Issues a certificate for 127.0.0.1 and localhost, or for somebody else.
    ///
    /// - Parameters:
    ///   - name: the certificate's subject and the name of its files; another one each time.
    ///   - subjectAltName: as `openssl` writes it.
    public func issue(
        _ name: String, subjectAltName: String = "IP:127.0.0.1,DNS:localhost"
    ) throws(ServerError) -> Issued {
        try Self.make(
            name,
            [
                "-subj", "/CN=\(name)", "-CA", certificateFile, "-CAkey", "\(folder.path)/authority.key",
                "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "subjectAltName=\(subjectAltName)",
            ], in: folder)
    }

    private static func make(_ name: String, _ arguments: [String], in folder: Folder) throws(ServerError) -> Issued {
        let issued = Issued(certificate: "\(folder.path)/\(name).pem", key: "\(folder.path)/\(name).key")
        try ChildProcess.run(
            ["/usr/bin/openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
                + ["-days", "2", "-keyout", issued.key, "-out", issued.certificate] + arguments)
        return issued
    }
}
