internal import GRDB

/// A connection that only reads, for one thread at a time; what it sees is the last commit.
final class ReadConnection: @unchecked Sendable {  // the statements are touched inside the queue only
    /// A value in the place of a question mark.
    enum Argument {
        case integer(Int64)
        case hash(Hash128)
        case text(String)
        case bytes([UInt8])
    }

    private let queue: DatabaseQueue
    private var statements: [String: SQLiteStatement] = [:]
    private let path: String

    /// - Parameter path: an existing file.
    init(path: String) throws {
        var configuration = Configuration()
        configuration.label = "journal.reader"
        configuration.readonly = true
        configuration.busyMode = .timeout(5)
        queue = try DatabaseQueue(path: path, configuration: configuration)
        self.path = path
    }

    /// Runs a query; `row` answers whether it wants more rows. Inside `row` this connection cannot be used.
    func query(
        _ sql: String, _ arguments: [Argument] = [], row: (SQLiteStatement) throws -> Bool
    ) throws(JournalError) {
        do {
            try queue.unsafeRead { db in
                let statement = try statements[sql] ?? SQLiteStatement(db, sql)
                statements[sql] = statement
                for (index, argument) in arguments.enumerated() {
                    let place = Int32(index + 1)
                    switch argument {
                    case .integer(let value): statement.bind(value, at: place)
                    case .hash(let value): statement.bind(value, at: place)
                    case .text(let value): statement.bind(value, at: place)
                    case .bytes(let value): statement.bind(value, at: place)
                    }
                }
                try statement.query(row)
            }
        } catch {
            throw JournalError(error, path: path)
        }
    }

    /// The rows of a query.
    func rows<Row>(
        _ sql: String, _ arguments: [Argument] = [], _ read: (SQLiteStatement) -> Row?
    ) throws(JournalError) -> [Row] {
        var rows: [Row] = []
        try query(sql, arguments) { statement in
            if let row = read(statement) { rows.append(row) }
            return true
        }
        return rows
    }

    /// Ends the query under way, from any thread; it fails with SQLITE_INTERRUPT.
    func interrupt() {
        queue.interrupt()
    }

    func close() throws {
        queue.unsafeRead { _ in statements = [:] }
        try queue.close()
    }
}
