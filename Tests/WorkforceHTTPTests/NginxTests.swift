import PluginHarness
import RuntimeSyncPlugin
import TargetServers
import Testing

/// Two servers, and two authorities of which one vouches for them; gone with the test.
private struct Target: Sendable {
    let authority: CertificateAuthority
    let stranger: CertificateAuthority
    let client: CertificateAuthority.Issued
    let nginx: Nginx
    let misnamed: Nginx

    init() throws {
        authority = try CertificateAuthority()
        stranger = try CertificateAuthority()
        client = try authority.issue("runtime-sync")
        // Answers by way of itself, because it then reads the whole request first, as a target does that means its answer.
        nginx = try Nginx(
            locations: #"""
                location /users/ {
                    proxy_set_header X-Seen '{"connection": "$connection_requests", "protocol": "$server_protocol", "client": "$ssl_client_verify $ssl_client_s_dn"}';
                    proxy_pass http://127.0.0.1:PORT/seen/;
                }
                location /seen/ { return 200 $http_x_seen; }
                location /secure/ { auth_basic "HR"; auth_basic_user_file FOLDER/users; proxy_pass http://127.0.0.1:PORT/users/; }
                location /missing/ { return 404; }
                location /small/ { client_max_body_size 8; proxy_pass http://127.0.0.1:PORT/users/; }
                location /busy/ { add_header Retry-After 7 always; return 429 "slow down"; }
                location /moved/ { return 301 https://elsewhere.example/users/; }
                location /admins/ { proxy_set_header X-Seen '{"reached": "$request_uri"}'; proxy_pass http://127.0.0.1:PORT/seen/; }
                location /taken/ { return 409 '{"error": "taken"}'; }
                """#,
            certificate: try authority.issue("server"), clientAuthority: authority.certificateFile,
            users: "runtime-sync:{PLAIN}open sesame\n")
        misnamed = try Nginx(
            locations: "location / { return 204; }",
            certificate: try authority.issue("other", subjectAltName: "DNS:other.example"))
    }
}

@Suite struct `With nginx as the target` {
    private let target: Target

    init() throws {
        target = try Target()
    }

    private func harness(
        _ url: String, _ more: String = "", files: [String: String] = [:]
    ) throws -> Harness {
        try Harness(
            product: "WorkforceHTTP", settings: #"{"base_url": "\#(url)", "allow_cleartext": true\#(more)}"#,
            files: files)
    }

    private func deliver(_ harness: Harness) async throws -> PluginHarness.Completion {
        try await harness.completion(
            of: harness.deliver(
                Request(.credential, kind: "password.updated", externalID: "E-1042", secret: "correct horse")))
    }

    /// What one delivery comes to, over http.
    private func completion(_ base: String, _ more: String = "", files: [String: String] = [:]) async throws
        -> PluginHarness.Completion
    {
        let harness = try harness(target.nginx.url + base, more, files: files)
        defer { harness.stop() }
        return try await deliver(harness)
    }

    @Test func `a password is delivered over TLS and HTTP 2 to a target that the CA file vouches for`() async throws {
        let files = ["ca_file": target.authority.certificate]
        let harness = try harness(target.nginx.tlsURL, #", "account_field": "protocol""#, files: files)
        defer { harness.stop() }
        let completion = try await deliver(harness)
        #expect(completion.outcome == .delivered)
        #expect(completion.account == "HTTP/2.0")
        #expect(try await harness.completion(of: harness.check()).outcome == .delivered)
    }

    @Test func `a target that the CA file does not vouch for gets nothing`() async throws {
        for (url, files) in [
            (target.nginx.tlsURL, ["ca_file": target.stranger.certificate]),
            (target.nginx.tlsURL, [:]),
            (target.misnamed.tlsURL, ["ca_file": target.authority.certificate]),
            (target.nginx.tlsURL, ["ca_file": "not a certificate"]),
        ] {
            let harness = try harness(url, files: files)
            defer { harness.stop() }
            let completion = try await deliver(harness)
            #expect(completion.outcome == .misconfigured)
            #expect(!completion.detail.isEmpty)
            #expect(try await harness.completion(of: harness.check()).outcome == .misconfigured)
        }
    }

    @Test func `a client certificate is shown`() async throws {
        let files = [
            "ca_file": target.authority.certificate,
            "client_certificate": try Folder.read(target.client.certificate),
            "client_key": try Folder.read(target.client.key),
        ]
        let harness = try harness(target.nginx.tlsURL, #", "account_field": "client""#, files: files)
        defer { harness.stop() }
        #expect(try await deliver(harness).account == "SUCCESS CN=runtime-sync")
    }

    @Test func `a client key that does not fit is a mistake of the settings`() async throws {
        let files = [
            "ca_file": target.authority.certificate,
            "client_certificate": try Folder.read(target.client.certificate),
            "client_key": try Folder.read(try target.authority.issue("unrelated").key),
        ]
        let harness = try harness(target.nginx.tlsURL, files: files)
        defer { harness.stop() }
        #expect(try await deliver(harness).outcome == .misconfigured)
    }

    @Test func `a connection is kept and used again`() async throws {
        for url in [target.nginx.url, target.nginx.tlsURL] {
            let files = ["ca_file": target.authority.certificate]
            let harness = try harness(url, #", "max_connections": 1, "account_field": "connection""#, files: files)
            defer { harness.stop() }
            for number in 1...5 {
                #expect(try await deliver(harness).account == "\(number)")
            }
            #expect(harness.metrics["connections_opened"] == 1)
        }
    }

    @Test func `a name and a password are accepted or not`() async throws {
        let user = #", "basic_user": "runtime-sync""#
        #expect(try await completion("/secure", user, files: ["basic_password": "open sesame"]).outcome == .delivered)
        #expect(try await completion("/secure", user, files: ["basic_password": "wrong"]).outcome == .misconfigured)
        let nobody = try harness(target.nginx.url, #", "check_path": "/secure/users""#)
        defer { nobody.stop() }
        let check = try await nobody.completion(of: nobody.check())
        #expect(check.outcome == .misconfigured)
        #expect(check.detail.hasPrefix("HTTP 401"))
    }

    @Test func `its refusals over HTTP 2 are understood although they come before the body was sent`() async throws {
        let files = ["ca_file": target.authority.certificate]
        let harness = try harness(target.nginx.tlsURL + "/busy", files: files)
        defer { harness.stop() }
        // More than the target's flow control lets through before it answers.
        let secret = String(repeating: "correct horse ", count: 20_000)
        let ids = (0..<50).map { number in
            harness.deliver(
                Request(.credential, kind: "password.updated", externalID: "E-\(number)", secret: secret))
        }
        for completion in try await harness.completions(of: ids) {
            #expect(completion.outcome == .retry)
            #expect(completion.retryAfter == 7_000)
        }
    }

    @Test func `its answers are understood`() async throws {
        #expect(try await completion("").outcome == .delivered)
        #expect(try await completion("/missing").outcome == .absent)
        let large = try await completion("/small")
        #expect(large.outcome == .refused)
        #expect(large.detail.hasPrefix("HTTP 413"))
        let busy = try await completion("/busy")
        #expect(busy.outcome == .retry)
        #expect(busy.retryAfter == 7_000)
        #expect(busy.detail == "HTTP 429: slow down")
        let moved = try await completion("/moved")
        #expect(moved.outcome == .misconfigured)
        #expect(moved.detail.contains("elsewhere.example"))
        #expect(try await completion("/taken").detail == #"HTTP 409: {"error": "taken"}"#)
    }

    @Test(arguments: ["../admins/root", "x/../../admins/root", "..%2Fadmins/root", "..\\admins/root"])
    func `no external id reaches another path`(externalID: String) async throws {
        let harness = try harness(target.nginx.url, #", "account_field": "reached""#)
        defer { harness.stop() }
        let completion = try await harness.completion(
            of: harness.deliver(
                Request(.credential, kind: "password.updated", externalID: externalID, secret: "correct horse")))
        #expect(completion.outcome == .refused, "\(completion.account ?? completion.detail)")
        #expect(completion.account == nil)
    }
}
