internal import EventModel
internal import Glibc
internal import Logging
internal import Settings
internal import WorkerProtocol

/// Writes log lines to stderr: as text for people, or as one JSON object a line for machines. Nobody who logs waits.
struct LineLogHandler: LogHandler {
    let label: String
    let format: LogSettings.Format
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]

    /// Makes this the handler of every logger of the process.
    static func bootstrap(_ settings: LogSettings) {
        let level = Logger.Level(rawValue: settings.level.rawValue) ?? .info
        let format = settings.format
        LogWriter.stderr.tellLoss { line(format, .warning, "log", "lines lost", ["count": "\($0)"]) }
        LoggingSystem.bootstrap { LineLogHandler(label: $0, format: format, logLevel: level) }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let all = metadata.merging(event.metadata ?? [:]) { _, new in new }
        let line = Self.line(format, event.level, label, "\(event.message)", all.mapValues { "\($0)" })
        LogWriter.stderr.write(line)
    }

    private static func line(
        _ format: LogSettings.Format, _ level: Logger.Level, _ label: String, _ message: String,
        _ metadata: [String: String]
    ) -> [UInt8] {
        let all = metadata.sorted { $0.key < $1.key }
        var line: [UInt8] = []
        switch format {
        case .text:
            // Ours are constant; a library may write a stranger's words into one.
            line += "\(Daemon.now()) \(level.rawValue) \(label): \(wordsForPeople(message.utf8))".utf8
            for (key, value) in all { line += " \(key)=\(quoted(value))".utf8 }
        case .json:
            let fields: [JSONValue.Member] = [
                .init("time", .string("\(Daemon.now())")), .init("level", .string(level.rawValue)),
                .init("logger", .string(label)), .init("message", .string(message)),
            ]
            line += JSONValue.object(fields + all.map { .init($0.key, .string($0.value)) }).bytes
        }
        line.append(UInt8(ascii: "\n"))
        return line
    }

    /// As it is if it is one plain word; else as a JSON string, so that a target's words cannot forge a line.
    private static func quoted(_ value: String) -> String {
        let isPlain = !value.isEmpty && value.utf8.allSatisfy { 0x21...0x7e ~= $0 && $0 != UInt8(ascii: "\"") }
        return isPlain ? value : String(decoding: JSONValue.string(wordsForPeople(value.utf8)).bytes, as: UTF8.self)
    }
}
