internal import Glibc
public import Workbench

/// A real HTTP server, for http and https, on two free ports of 127.0.0.1.
///
/// It is handed sockets that listen already (nginx takes inherited ones from the variable `NGINX`, its way to replace
/// itself without a gap): no port can be lost to somebody else, and there is nothing to wait for.
public final class Nginx: Sendable {
    /// Port of http.
    public let port: UInt16
    /// Port of https, with HTTP/2.
    public let tlsPort: UInt16
    private let folder: Folder
    private let program: ChildProcess

    /// Starts nginx.
    ///
    /// - Parameters:
    ///   - locations: the `location` blocks of its one server; `PORT` in it becomes the port of http.
    ///   - certificate: what it shows over https.
    ///   - clientAuthority: path of a certificate; clients may then show one signed by it.
    ///   - users: lines of a password file, `FOLDER/users` in `locations`.
    public init(
        locations: String, certificate: CertificateAuthority.Issued, clientAuthority: String? = nil, users: String = ""
    ) throws(ServerError) {
        let folder = try Folder()
        let path = folder.path
        let plain = try Loopback.listener()
        let tls = try Loopback.listener()
        defer {
            close(plain.descriptor)
            close(tls.descriptor)
        }
        self.folder = folder
        port = plain.port
        tlsPort = tls.port
        try folder.write("users", users)
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map { "\($0)_temp_path \(path)/\($0);" }
        let client = clientAuthority.map { "ssl_client_certificate \($0); ssl_verify_client optional;" } ?? ""
        let configuration = try folder.write(
            "nginx.conf",
            """
            daemon off;
            user root root;
            worker_processes 1;
            pid \(path)/pid;
            error_log \(path)/error.log;
            events { worker_connections 512; }
            http {
                access_log off;
                \(temporary.joined(separator: " "))
                default_type application/json;
                server {
                    listen 127.0.0.1:\(plain.port);
                    listen 127.0.0.1:\(tls.port) ssl http2;
                    ssl_certificate \(certificate.certificate);
                    ssl_certificate_key \(certificate.key);
                    \(client)
                    \(locations.replacing("PORT", with: "\(plain.port)").replacing("FOLDER", with: path))
                }
            }
            """)
        program = try ChildProcess(
            ["/usr/sbin/nginx", "-p", path, "-e", "\(path)/error.log", "-c", configuration],
            environment: ["NGINX=3;4;"], descriptors: [plain.descriptor, tls.descriptor], log: "\(path)/output")
    }

    deinit {
        program.terminate()
    }

    /// `http://127.0.0.1:PORT`
    public var url: String { "http://127.0.0.1:\(port)" }
    /// `https://127.0.0.1:PORT`
    public var tlsURL: String { "https://127.0.0.1:\(tlsPort)" }
}
