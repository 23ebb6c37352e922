internal import EventModel
internal import GRDB
internal import Glibc

/// Why the journal cannot be opened, read or written.
public enum JournalError: Error, Hashable, Sendable {
    /// A system call failed; `code` is its errno.
    case system(call: String, path: String, code: Int32)
    /// Another process has the journal open; `process` is 0 if it did not say who it is.
    case locked(folder: String, process: Int32)
    /// The folder belongs to another user.
    case foreignOwner(folder: String, owner: UInt32)
    /// Others than its owner may enter the folder.
    case exposed(folder: String, mode: UInt32)
    /// The file is some other program's database.
    case foreign(path: String)
    /// A newer version of this program has changed the tables.
    case newer(path: String)
    /// The file is damaged, or no database at all.
    case corrupt(path: String, reason: String)
    /// SQLite failed otherwise; `code` is its extended result code.
    case database(path: String, code: Int32, reason: String)
    /// No slot is left for a provider of a new name.
    case tooManyProviders
    /// The journal was closed.
    case closed
}

extension JournalError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .system(let call, let path, let code):
            "journal: \(call) \(path): \(String(cString: strerror(code)))"
        case .locked(let folder, let process):
            "journal: \(folder) is in use by \(process == 0 ? "another process" : "process \(process)")"
        case .foreignOwner(let folder, let owner):
            "journal: \(folder) belongs to user \(owner); it must belong to user \(geteuid()), who runs the daemon"
        case .exposed(let folder, let mode):
            "journal: \(folder) has mode \(String(mode, radix: 8)); only its owner may enter it: chmod 700"
        case .foreign(let path):
            "journal: \(path) is another program's database"
        case .newer(let path):
            "journal: \(path) was written by a newer version of runtime-sync; run that one, or restore a backup"
        case .corrupt(let path, let reason):
            "journal: \(path) is damaged (\(reason)); keep a copy of the folder, then restore a backup"
        case .database(let path, let code, let reason):
            "journal: \(path): \(reason) (SQLite result \(code))"
        case .tooManyProviders:
            "journal: all \(DeliveryKey.maximumSlot + 1) provider slots are taken"
        case .closed:
            "journal: it was closed"
        }
    }
}

extension JournalError {
    init(_ error: any Error, path: String) {
        switch error {
        case let error as JournalError:
            self = error
        case let error as DatabaseError:
            let reason = error.message ?? "unknown"
            switch error.resultCode {
            case .SQLITE_CORRUPT, .SQLITE_NOTADB: self = .corrupt(path: path, reason: reason)
            default: self = .database(path: path, code: error.extendedResultCode.rawValue, reason: reason)
            }
        default:
            self = .database(path: path, code: 1, reason: "\(type(of: error))")
        }
    }
}
