internal import ArgumentParser
internal import Control
internal import FoundationEssentials
internal import HTTPTypes
internal import Settings
internal import Synchronization

/// What the commands that talk to a running daemon have in common.
struct ControlOptions: ParsableArguments {
    @OptionGroup var options: SettingsOption

    @Option(name: .long, help: "The daemon's control socket; default: the one of the settings.")
    var socket: String?

    @Flag(name: .long, help: "Print JSON.")
    var json = false

    /// Sends a command.
    func call(_ method: HTTPRequest.Method, _ path: String, seconds: Int64 = 30) async throws -> [UInt8] {
        try await client().call(method, path, seconds: seconds)
    }

    private func client() throws -> ControlClient {
        if let known = Self.client.withLock(\.self) { return known }
        let client = try socket.map { ControlClient(socket: $0) } ?? clientOfSettings()
        Self.client.withLock { $0 = client }
        return client
    }

    /// A command talks to one daemon, however often it asks.
    private static let client = Mutex<ControlClient?>(nil)

    /// Settings that are wrong elsewhere are no reason to leave a daemon alone that runs on what they were.
    private func clientOfSettings() throws -> ControlClient {
        let loaded = options.loader.load(file: options.path)
        let errors = loaded.issues.filter { $0.severity == .error }
        let decisive = errors.filter { issue in
            switch issue.place {
            case .file(options.path, _, _): issue.key.isEmpty || issue.key.hasPrefix("control")
            case .file: false
            case .variable: issue.key.hasPrefix("control")
            }
        }
        guard decisive.isEmpty else {
            options.report(decisive)
            printError("where the control socket is cannot be told; `--socket PATH` names it")
            throw ExitCode.settings
        }
        if !errors.isEmpty { printError("warning: the settings have errors; `runtime-sync check` tells them") }
        return loaded.daemon.controlClient
    }

    /// Tells on stderr if the daemon takes no events in; `list` commands are where an operator looks.
    func warnOfWant() async throws {
        if let want = try await client().status().want { printError("warning: \(want.words)") }
    }

    /// Prints the daemon's JSON as it is, or as a table.
    func show<Answer: Decodable>(_ bytes: [UInt8], as type: Answer.Type, table: (Answer) -> Table) throws {
        if json {
            print(String(decoding: bytes, as: UTF8.self))
        } else {
            table(try JSONDecoder().decode(type, from: Data(bytes))).print()
        }
    }
}

extension DaemonSettings {
    /// Speaks to the daemon that runs with these settings.
    var controlClient: ControlClient { ControlClient(socket: control.socket) }
}

extension ControlClient {
    /// What the daemon says of itself.
    ///
    /// - Throws: ``ControlError`` if no daemon answers; an error of the decoder if something else does.
    func status(seconds: Int64 = 30) async throws -> DaemonStatus {
        try JSONDecoder().decode(DaemonStatus.self, from: Data(try await call(.get, "/status", seconds: seconds)))
    }
}

/// Prints a value as one line of JSON.
func printJSON(_ value: some Encodable) throws {
    print(String(decoding: try ControlRoutes.json(value), as: UTF8.self))
}

/// Rows of text under headings, in columns as wide as they need to be.
struct Table {
    var headings: [String]
    var rows: [[String]]
    /// What to say where there are no rows.
    var whenEmpty = "none"

    func print() {
        var writer = TableWriter(headings: headings)
        for row in rows { writer.print(row) }
        writer.end(whenEmpty: whenEmpty)
    }
}

/// Prints a table whose rows come one after the other. A thousand of them set the columns' widths together; those that
/// follow may widen them.
struct TableWriter {
    private static let rowsAtOnce = 1_000

    private let headings: [String]
    private var widths: [Int]
    private var rows: [[String]]

    init(headings: [String]) {
        self.headings = headings
        widths = headings.map { _ in 0 }
        rows = [headings]
    }

    mutating func print(_ row: [String]) {
        rows.append(row.map(forTerminal))
        if rows.count >= Self.rowsAtOnce { flush() }
    }

    /// Prints what is left, or `whenEmpty` if there was no row.
    mutating func end(whenEmpty: String) {
        guard rows != [headings] else { return Swift.print(whenEmpty) }
        flush()
    }

    private mutating func flush() {
        widths = widths.indices.map { column in max(widths[column], rows.map { $0[column].count }.max() ?? 0) }
        for row in rows {
            let cells = row.enumerated().map { column, cell in
                column == row.count - 1 ? cell : cell + String(repeating: " ", count: widths[column] - cell.count)
            }
            Swift.print(cells.joined(separator: "  "))
        }
        rows = []
    }
}
