internal import Glibc
internal import Workbench

/// `runtime-sync` as it was built.
public enum Program: Sendable {
    /// What a run that has ended left behind.
    public struct Outcome: Sendable {
        /// The exit code, or 128 and the number of the signal.
        public var code: Int32
        /// What it printed.
        public var output: String
        /// What it said on stderr.
        public var errors: String

        public init(code: Int32, output: String, errors: String) {
            (self.code, self.output, self.errors) = (code, output, errors)
        }

        /// What stderr says, line by line.
        public var lines: [String] { errors.split(separator: "\n").map(String.init) }
    }

    /// Starts a program as the owner of its files for whom their modes count: root without the rights to pass them over.
    /// Empty where the tests do not run as root.
    public static let withoutRootsRights =
        geteuid() != 0
        ? [] : ["/usr/bin/setpriv", "--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search", "--"]

    /// Starts it and waits for its end.
    ///
    /// - Parameters:
    ///   - words: its arguments.
    ///   - input: what it reads from stdin; at most 64 KiB.
    ///   - environment: `NAME=value` each.
    ///   - workingFolder: where it is started, found on the path; `nil`: here, by its full name.
    ///   - starter: what it is started by, such as ``withoutRootsRights``.
    public static func run(
        _ words: [String], input: String = "", environment: [String] = [], workingFolder: String? = nil,
        by starter: [String] = []
    ) async throws -> Outcome {
        let scratch = try Folder()
        let (output, errors) = ("\(scratch.path)/output", "\(scratch.path)/errors")
        let command =
            workingFolder.map { ["/usr/bin/env", "-C", $0, "PATH=\(Products.folder)", "runtime-sync"] }
            ?? ["\(Products.folder)/runtime-sync"]
        let process = try ChildProcess(
            starter + command + words, environment: environment, input: Array(input.utf8), log: output, errors: errors)
        let code = try await eventually("\(words) ends") { process.exitCode }
        return Outcome(code: code, output: try Folder.read(output), errors: try Folder.read(errors))
    }
}
