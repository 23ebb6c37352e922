internal import Glibc
internal import Journal
internal import Logging
internal import Threads

/// Looks for damage in a journal that was not closed in order: a power cut or a dying disk may have left some where nobody
/// reads for days. It runs beside everything else, and nothing waits for it.
enum MediaCheck {
    /// Begins the check, on a thread of its own that gives way to all others. What it finds goes to the log.
    static func start(_ journal: Journal, logger: Logger) {
        do {
            try SystemThread.detached("media check") {
                // Linux counts niceness by thread.
                setpriority(Int32(PRIO_PROCESS.rawValue), 0, 19)
                run(journal, logger)
            }
        } catch {
            logger.error("journal not checked", metadata: ["error": "no thread for it: \(error)"])
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
