import Foundation
import Settings
import Testing

@Suite struct `A secret` {
    private static let canary = "CANARY-7f3a"

    /// Every way to put a secret where none belongs, in the daemon's file, a provider's file, and the environment.
    private static let mistakes: [Fixture] = {
        let sources = [
            "sources: \(canary)", "sources: [\(canary)]", "sources: {secrets: \(canary)}",
            "sources: [{secrets: \(canary)}]", "sources: [{secrets: [\(canary)]}]",
            "sources: [{secrets: [{value: \(canary)}]}]", "sources: [{secrets: [{env: \"\(canary)\"}]}]",
            "sources: [{secrets: [{file: {x: \(canary)}}]}]", "sources: [{secrets: [{credential: \"/\(canary)\"}]}]",
            "sources: [{secret: \(canary)}]", "sources: [{secrets: [{env: A, file: \(canary)}]}]",
            "secrets: \(canary)", "sources: [{secrets: [\"\(canary)\": {}]", "sources: [{name: \"x\(canary)",
            "sources: [{secrets: *\(canary)}]", "sources: [{secrets: [a\n\t\(canary)",
        ].map { Fixture(source: $0 + "\n") }
        let providers = [
            "settings: \(canary)", "settings: [\(canary)]", "settings: {password: \(canary)}",
            "settings: {password: [\(canary)]}", "settings: {password: {value: \(canary)}}",
            "settings: {password: {file: {a: \(canary)}}}", "settings: {pasword: \(canary)}",
            "settings: {password: {env: \"\(canary)!\"}}", "settings: {url: \"ldap://u:\(canary)@h\"}",
            "settings: {url: \"//u:\(canary)@h\", x: \(canary)}", "settings: {password: {env: A, value: \(canary)}}",
            "password: \(canary)", "limits: {memory: \"x://u:\(canary)@h\"}",
        ].map { Fixture(provider: Fixture.provider + $0 + "\n") }
        let variables = [
            "RUNTIME_SYNC_PASSWORD", "RUNTIME_SYNC_SOURCES", "RUNTIME_SYNC_SOURCE_KEYCLOAK_SECRETS",
            "RUNTIME_SYNC_SOURCE_KEYCLOAK_SECRET", "RUNTIME_SYNC_PROVIDER_LDAP_SETTINGS",
            "RUNTIME_SYNC_PROVIDER_LDAP_SETTINGS_PASSWORD", "RUNTIME_SYNC_PROVIDER_LDAP_SETTINGS_PASSWRD",
            "RUNTIME_SYNC_PROVIDER_OTHER_SETTINGS_PASSWORD",
        ].flatMap { name in
            ["\(canary)", "[\(canary)]", "{value: \(canary)}", "{\(canary): [", "&a \"\(canary)"].map {
                Fixture(environment: [name: $0])
            }
        }
        return sources + providers + variables
    }()

    @Test(arguments: mistakes.indices)
    func `in the wrong place is an error that does not show it`(index: Int) throws {
        let fixture = Self.mistakes[index]
        let manifest = try Fixture.manifest(
            #"{"properties": {"password": {"format": "secret"}, "url": {"format": "uri"}}}"#)
        let loaded = fixture.load()
        var issues = loaded.issues
        for provider in loaded.providers { issues += fixture.loader.resolve(provider, against: manifest).issues }
        #expect(issues.contains { $0.severity == .error })
        for issue in issues {
            // The parts as well as the line: a report may print either.
            #expect(!"\(issue) \(String(reflecting: issue))".contains(Self.canary))
        }
    }

    @Test func `is lent without the line break at its end, and only if it is the owner's alone`() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("pw", "correct horse\r\n", mode: 0o600)
        let source = SecretSource.file(path)
        #expect(try source.withBytes { String(decoding: $0, as: UTF8.self) } == "correct horse")
        _ = try folder.write("pw", "two\n\n", mode: 0o400)
        #expect(try source.withBytes { String(decoding: $0, as: UTF8.self) } == "two\n")
        for mode in [0o604, 0o640, 0o660, 0o601] {
            _ = try folder.write("pw", "x", mode: mode)
            let error = #expect(throws: SecretError.self) { try source.withBytes { _ in } }
            #expect(error?.hint == "chmod 600 \(path)")
        }
    }

    @Test func `comes from a variable or from systemd's folder as well`() throws {
        let folder = try TemporaryFolder()
        _ = try folder.write("pw", "from systemd", mode: 0o400)
        let surroundings = Surroundings.machine(environment: ["A": "from a", "CREDENTIALS_DIRECTORY": folder.path])
        let read: (SecretSource) throws -> String = { source in
            try source.withBytes(in: surroundings) { String(decoding: $0, as: UTF8.self) }
        }
        #expect(try read(.environment("A")) == "from a")
        #expect(try read(.credential("pw")) == "from systemd")
        #expect(throws: SecretError.self) { try read(.environment("B")) }
        #expect(throws: SecretError.self) { try read(.credential("other")) }
        #expect(throws: SecretError.self) {
            try SecretSource.credential("pw").withBytes(in: .machine(environment: [:])) { _ in }
        }
    }

    @Test func `passes on what its reader throws`() throws {
        struct Stop: Error {}
        #expect(throws: Stop.self) {
            try SecretSource.environment("A").withBytes(in: .machine(environment: ["A": "x"])) { _ in throw Stop() }
        }
    }

    @Test func `is not waited for in a pipe, nor read without an end`() throws {
        let folder = try TemporaryFolder()
        let pipe = folder.path + "/pipe"
        try #require(mkfifo(pipe, 0o600) == 0)
        #expect(throws: SecretError.self) { try SecretSource.file(pipe).withBytes { _ in } }
        let failure = Surroundings.machine.read(pipe, 10) { _ in }
        #expect(throws: Surroundings.Failure("it is not a regular file")) { try failure.get() }
        let large = try folder.write("large", String(repeating: "x", count: 65_537), mode: 0o600)
        #expect(throws: SecretError.self) { try SecretSource.file(large).withBytes { _ in } }
    }
}

/// A folder that is gone with its last user.
final class TemporaryFolder {
    let path: String

    init() throws {
        var template = Array("\(FileManager.default.temporaryDirectory.path)/settings-XXXXXX".utf8CString)
        path = try #require(mkdtemp(&template).map { String(cString: $0) })
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    /// Writes a file and returns its path.
    func write(_ name: String, _ text: String, mode: Int) throws -> String {
        let file = "\(path)/\(name)"
        try FileManager.default.createDirectory(
            atPath: (file as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        try? FileManager.default.removeItem(atPath: file)
        try text.write(toFile: file, atomically: false, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: file)
        return file
    }
}
