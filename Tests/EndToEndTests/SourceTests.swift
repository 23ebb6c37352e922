import Delivery
import Glibc
import Installations
import TargetServers
import Testing
import Workbench

extension `End to end` {
    @Suite struct `Who may post, and through which door` {
        @Test func `both secrets of a source are good while one is replaced`() async throws {
            let workforce = try HTTPReceiver()
            let installation = try Installation(sources: [
                #"{name: moving, instance: prod, realms: [corp], kinds: ["*"], may_carry_password: true, "#
                    + "secrets: [{file: secrets/new}, {file: secrets/old}]}"
            ])
            let (new, old, older) = (try Signer(), try Signer(), try Signer())
            try installation.folder.write("secrets/new", new.text)
            try installation.folder.write("secrets/old", old.text)
            try installation.add(workforce)
            try await installation.start()
            #expect(try installation.post(Event(password: "one secret"), as: new).status == 202)
            #expect(try installation.post(Event(password: "two secrets"), as: old).status == 202)
            #expect(try installation.post(Event(password: "three secrets"), as: older).status == 401)
        }

        @Test func `over TLS a client that knows the authority is served, and plain HTTP is not`() async throws {
            let workforce = try HTTPReceiver()
            let authority = try CertificateAuthority()
            let server = try authority.issue("intake")
            let installation = try Installation(
                intake: #"listen: "127.0.0.1:0", tls: {certificate: "\#(server.certificate)", key: "\#(server.key)"}"#)
            try installation.add(workforce)
            try await installation.start()

            #expect(throws: Failure.self) {
                try installation.post(installation.kc.request(Event(password: "clear secret").bytes))
            }
            let scratch = try Folder()
            let body = Event(password: "covered secret").bytes
            let request = String(decoding: installation.kc.request(body), as: UTF8.self)
                .replacing("Host: intake\r\n", with: "Host: intake\r\nConnection: close\r\n")
            let client = try ChildProcess(
                [
                    "/usr/bin/openssl", "s_client", "-connect", "127.0.0.1:\(installation.port)", "-quiet", "-ign_eof",
                    "-CAfile", authority.certificateFile, "-verify_return_error", "-verify_ip", "127.0.0.1",
                ],
                input: Array(request.utf8), log: "\(scratch.path)/output")
            try await eventually("the client ends") { client.hasEnded() }
            let answer = try Folder.read("\(scratch.path)/output")
            #expect(answer.contains("HTTP/1.1 202"), "\(answer)")
            let requests = try await workforce.requests(1)
            #expect(requests.map { $0.text.contains("covered secret") } == [true])
        }

        @Test(arguments: ["0.0.0.0:0", "[::]:0", "192.0.2.1:8620"])
        func `an address that others reach needs a certificate`(address: String) async throws {
            let installation = try Installation(intake: "listen: \"\(address)\"")
            let serve = try await installation.run("serve")
            #expect(serve.code == 2)
            #expect(serve.errors.contains("runtime-sync.yaml:2:"))
            #expect(serve.errors.contains("intake.listen"))
        }

        @Test func `on a Unix socket a listed user needs no signature, and others do`() async throws {
            let workforce = try HTTPReceiver()
            let scratch = try Folder()
            func installation(trusting uid: uid_t, at path: String) throws -> Installation {
                let installation = try Installation(
                    intake: #"listen: "unix:\#(path)""#,
                    sources: [
                        #"{name: local, instance: prod, realms: [corp], kinds: ["*"], may_carry_password: true, "#
                            + "unsigned_peer_uids: [\(uid)]}"
                    ])
                try installation.add(workforce)
                return installation
            }
            let trusting = try installation(trusting: geteuid(), at: "\(scratch.path)/one.sock")
            try await trusting.start()
            let one = try Connection(socket: "\(scratch.path)/one.sock")
            try one.send(Signer.unsigned(Event(password: "local secret").bytes))
            #expect(try one.answer().status == 202)
            _ = try await workforce.requests(1)

            let wary = try installation(trusting: geteuid() + 4_000, at: "\(scratch.path)/two.sock")
            try await wary.start()
            let two = try Connection(socket: "\(scratch.path)/two.sock")
            try two.send(Signer.unsigned(Event(password: "local secret").bytes))
            #expect(try two.answer().status == 401)
            try two.send(wary.kc.request(Event(password: "signed secret").bytes))
            #expect(try two.answer().status == 202)
        }

        @Test(.enabled(if: geteuid() == 0, "only root can become somebody else"), arguments: [true, false])
        func `on a Unix socket another user is who the kernel says, whatever he says himself`(
            onTheList: Bool
        ) async throws {
            let nobody: uid_t = 65_534
            let workforce = try HTTPReceiver()
            let place = try Folder()
            chmod(place.path, 0o755)
            let socket = "\(place.path)/in.sock"
            let installation = try Installation(
                intake: #"listen: "unix:\#(socket)""#,
                sources: [
                    #"{name: local, instance: prod, realms: [corp], kinds: ["*"], may_carry_password: true, "#
                        + "unsigned_peer_uids: [\(onTheList ? nobody : nobody - 1)]}"
                ])
            try installation.add(workforce)
            try await installation.start()

            func post(_ event: Event) throws -> String {
                try ChildProcess.run(
                    [
                        "/usr/bin/setpriv", "--reuid=\(nobody)", "--regid=\(nobody)", "--clear-groups", "--",
                        "/usr/bin/curl", "--silent", "--unix-socket", socket, "--header",
                        "Content-Type: application/json", "--data-binary", "@-", "--write-out", " %{http_code}",
                        "http://intake/v1/events",
                    ],
                    input: event.bytes)
            }
            let answer = try post(Event(password: "local secret"))
            #expect(answer.hasSuffix(onTheList ? " 202" : " 401"), "\(answer)")
            #expect(!answer.contains("secret"))
            if onTheList {
                #expect(try await workforce.requests(1).first?.text.contains("local secret") == true)
            }
            // Root is somebody else here as well.
            let connection = try Connection(socket: socket)
            try connection.send(Signer.unsigned(Event(password: "root's secret").bytes))
            #expect(try connection.answer().status == 401)
            #expect(workforce.requests.count == (onTheList ? 1 : 0))
        }

        @Test(.enabled(if: geteuid() == 0, "only root can become somebody else"))
        func `a Unix socket that is for one user hangs up on another`() async throws {
            let place = try Folder()
            let installation = try Installation(
                intake: #"listen: "unix:\#(place.path)/in.sock", peer_uids: [65534]"#)
            try await installation.start()
            let connection = try Connection(socket: "\(place.path)/in.sock")
            #expect(throws: Failure.self) {
                try connection.send(installation.kc.request(Event(password: "one secret").bytes))
                _ = try connection.answer()
            }
        }
    }
}
