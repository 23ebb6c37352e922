/// An authority for one test run, with a certificate for a server on this machine.
public final class CertificateAuthority: Sendable {
    /// PEM text of the authority's own certificate.
    public let certificate: String
    /// Paths of files: the authority's certificate; the server's certificate and its key.
    public let certificateFile, serverCertificateFile, serverKeyFile: String
    private let folder: Folder

    /// Makes one with the `openssl` command.
    ///
    /// - Parameter names: subject alternative names of the server, as OpenSSL writes them.
    public init(names: String = "DNS:localhost,IP:127.0.0.1") throws {
        folder = try Folder()
        certificateFile = "\(folder.path)/authority.pem"
        serverCertificateFile = "\(folder.path)/server.pem"
        serverKeyFile = "\(folder.path)/server.key"
        let log = "\(folder.path)/openssl.log"
        let new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        let key = "\(folder.path)/authority.key"
        try ChildProcess.run(
            "/usr/bin/openssl", new + ["-subj", "/CN=Runtime Sync Tests", "-keyout", key, "-out", certificateFile],
            log: log)
        try ChildProcess.run(
            "/usr/bin/openssl",
            new + [
                "-subj", "/CN=server", "-CA", certificateFile, "-CAkey", key, "-addext", "subjectAltName=\(names)",
                "-addext", "basicConstraints=CA:FALSE", "-keyout", serverKeyFile, "-out", serverCertificateFile,
            ], log: log)
        certificate = try Folder.read(certificateFile)
    }
}
