internal import Glibc
internal import Workbench

/// Shows the steps as they happen: on a terminal the step under way, then a tick and the time; elsewhere a line a step.
final class Stage {
    private let isTerminal = isatty(STDOUT_FILENO) == 1
    private let start = ContinuousClock.now
    private var step: String?

    /// Says what comes next.
    func chapter(_ title: String) {
        write("\n\(styled("1", title))\n")
    }

    /// Carries out a step and ticks it off.
    ///
    /// - Parameter body: returns what there is to see: a line each.
    func step(_ name: String, _ body: () async throws -> [String]) async throws {
        try Task.checkCancellation()
        step = name
        if isTerminal { write("  …         \(name)") }
        let lines = try await body()
        finish(styled("32", "✓"), name)
        for line in lines { write("              \(styled("2", line))\n") }
    }

    /// Carries out a step that ends when `condition` holds.
    func step(_ name: String, until condition: () async throws -> Bool) async throws {
        try await step(name) {
            try await until(condition)
            return []
        }
    }

    /// Waits until `condition` holds.
    func until(_ condition: () async throws -> Bool) async throws {
        try await eventually(step ?? "ready", condition)
    }

    /// The step under way did not hold.
    func fail(_ reason: String) {
        finish(styled("31", "✗"), step ?? "Getting ready")
        write("              \(reason)\n")
    }

    func end(_ words: String, isGood: Bool) {
        write("\n\(styled(isGood ? "32" : "31", words)), after \(elapsed).\n")
    }

    private func finish(_ mark: String, _ name: String) {
        let time = elapsed
        let padding = String(repeating: " ", count: max(0, 6 - time.count))
        write("\(isTerminal ? "\r\u{1b}[K" : "")  \(mark) \(padding)\(time)  \(name)\n")
        step = nil
    }

    private var elapsed: String {
        let tenths = Int((ContinuousClock.now - start) / .milliseconds(100))
        return "\(tenths / 10).\(tenths % 10) s"
    }

    private func styled(_ style: String, _ text: String) -> String {
        isTerminal && getenv("NO_COLOR") == nil ? "\u{1b}[\(style)m\(text)\u{1b}[0m" : text
    }

    private func write(_ text: String) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
            guard count > 0 else { return }
            bytes = bytes.dropFirst(count)
        }
    }
}
