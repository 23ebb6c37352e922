internal import Glibc
internal import Journal
internal import Logging

/// Looks for damage in a journal that was not closed in order: a power cut or a dying disk may have left some where nobody
/// reads for days. It runs beside everything else, and nothing waits for it.
enum MediaCheck {
    /// Begins the check, on a thread of its own that gives way to all others. What it finds goes to the log.
    static func start(_ journal: Journal, logger: Logger) {
        var thread = pthread_t()
        let task = Unmanaged.passRetained(Task { run(journal, logger) }).toOpaque()
        let code = pthread_create(
            &thread, nil,
            { task in
                guard let task else { return nil }
                // Linux counts niceness by thread.
                setpriority(Int32(PRIO_PROCESS.rawValue), 0, 19)
                Unmanaged<Task>.fromOpaque(task).takeRetainedValue().body()
                return nil
            }, task)
        guard code == 0 else {
            Unmanaged<Task>.fromOpaque(task).release()
            return logger.error("journal not checked", metadata: ["error": "no thread for it (\(code))"])
        }
        pthread_detach(thread)
    }

    private final class Task: Sendable {
        let body: @Sendable () -> Void

        init(_ body: @escaping @Sendable () -> Void) {
            self.body = body
        }
    }

    private static func run(_ journal: Journal, _ logger: Logger) {
        logger.notice("journal was not closed in order; it is checked")
        do {
            let damage = try journal.findDamage()
            for part in damage.prefix(Self.most) {
                logger.critical(
                    "journal damaged", metadata: ["table": "\(part.table)", "finding": "\(part.finding)"])
            }
            if damage.isEmpty {
                logger.notice("journal checked, no damage found")
            } else {
                logger.critical(
                    "journal checked; keep a copy of its folder, then restore a backup",
                    metadata: ["findings": "\(damage.count)"])
            }
        } catch .closed {
            logger.notice("journal not checked to the end")
        } catch {
            logger.error("journal not checked", metadata: ["error": "\(error)"])
        }
    }

    /// So many findings are told one by one.
    private static let most = 20
}
