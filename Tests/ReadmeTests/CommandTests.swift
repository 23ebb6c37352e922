internal import TargetServers
internal import Testing
internal import Workbench

/// The README is a program: what it tells to type is typed here.
@Suite struct `The README` {
    private static let root = #filePath.split(separator: "/").dropLast(3).reduce("") { "\($0)/\($1)" }

    /// The commands in a section, one block after the other.
    private static func commands(_ section: String) throws -> String {
        let text = try Folder.read("\(root)/README.md")
        let body = try #require(text.split(separator: "\n## ").first { $0.hasPrefix("\(section)\n") })
        let blocks = body.split(separator: "\n```sh\n").dropFirst()
        try #require(!blocks.isEmpty)
        return try blocks.map { try #require($0.split(separator: "\n```").first).description }.joined(separator: "\n")
    }

    @Test func `leads to a provider of one's own, to a signed event, and back`() throws {
        // A folder that looks like the repository's after a build.
        let folder = try Folder()
        let port = try Loopback.freePort()
        let commands = try ["Five minutes to a provider of your own", "Posting events"]
            .map(Self.commands).joined(separator: "\n").replacing("8620", with: "\(port)")
        try folder.write(
            "script",
            """
            set -euo pipefail
            trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
            cd \(folder.path)
            ln -s \(Self.root)/Sources \(Self.root)/Plugins .
            mkdir .build && ln -s \(Products.folder) .build/debug
            \(commands)
            """)
        // The time is for a machine that stands still; the script waits for two lines of a log.
        let output = try ChildProcess.run(["/usr/bin/timeout", "300", "/bin/bash", "\(folder.path)/script"])
        for expected in [
            "provider mine: fine: there is no target that could be down", "text=\"Look what happened: login.failed\"",
            #""status":"accepted"}"#, "user 9a3c of realm corp at prod", "external id:  E-1042",
            "nothing waits, and there are no dead letters",
        ] {
            #expect(output.contains(expected), "\(expected) is not in:\n\(output)")
        }
    }

    @Test func `names no file that is not there`() throws {
        let links = try Folder.read("\(Self.root)/README.md").matches(of: /\]\(([^):]+)\)/).map { String($0.output.1) }
        try #require(links.count > 5)
        for link in links { #expect(throws: Never.self) { try Folder.read("\(Self.root)/\(link)") } }
    }
}
