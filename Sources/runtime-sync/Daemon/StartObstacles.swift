internal import Credentials
internal import Glibc
internal import Intake
internal import Journal
internal import Settings
internal import Sockets

extension DaemonSettings {
    /// What would keep the daemon from starting with these settings, although they are right: open files, key file,
    /// journal, certificate, sockets. Nothing is changed, and a daemon may be running on them.
    func startObstacles(providers: Int) -> [String] {
        var obstacles: [String] = []
        func look(_ body: () throws -> Void) {
            do { try body() } catch { obstacles.append("\(error)") }
        }
        look { try OpenFiles.check(self, providers: providers) }
        look { if try KeyRing.existing(path: journal.keyFile) == nil { try checkNewKeyFile() } }
        look { if let obstacle = Journal.obstacle(in: journal.folder) { throw obstacle } }
        look { try intake.listener.checkCertificate() }
        for address in [intake.listener.address, .unix(path: control.socket)] {
            look { if let obstacle = address.obstacle { throw obstacle } }
        }
        return obstacles
    }

    /// It will be made if nothing was sealed yet, but no folder above it.
    private func checkNewKeyFile() throws {
        let path = journal.keyFile
        // Whether something was sealed only the open journal tells; but its first start made the file.
        guard !Journal.exists(in: journal.folder) else {
            throw StartFailure(
                "key file \(path) is missing, though there is a journal in \(journal.folder): put it back from its backup"
            )
        }
        let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        // The journal's own folder is made before the key file is.
        guard folder != journal.folder || access(folder, F_OK) == 0 else { return }
        guard access(folder, W_OK | X_OK) == 0 else {
            throw KeyRingError.system(call: "create", path: path, code: errno)
        }
    }
}
