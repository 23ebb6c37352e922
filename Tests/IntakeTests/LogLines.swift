import Logging
import Synchronization

/// What an intake told its log.
final class LogLines: Sendable {
    struct Line: Sendable {
        var level: Logger.Level
        var message: String
        var metadata: [String: String]
    }

    private let lines = Mutex<[Line]>([])

    var all: [Line] { lines.withLock { $0 } }

    var logger: Logger { Logger(label: "intake") { _ in Handler(lines: self) } }

    /// How many lines have this message, and this value under the key.
    func count(_ message: String, _ key: String, _ value: String) -> Int {
        all.count { $0.message == message && $0.metadata[key] == value }
    }

    private struct Handler: LogHandler {
        let lines: LogLines
        var logLevel = Logger.Level.trace
        var metadata: Logger.Metadata = [:]

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let line = Line(
                level: event.level, message: "\(event.message)",
                metadata: (event.metadata ?? [:]).mapValues { "\($0)" })
            lines.lines.withLock { $0.append(line) }
        }
    }
}
