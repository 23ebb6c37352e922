internal import Credentials
internal import Glibc
internal import Intake
internal import Journal
internal import Settings
internal import Sockets

extension DaemonSettings {
    /// What would keep the daemon from starting with these settings, although they are right: open files, key file,
    /// journal, certificate, ports and sockets. Nothing is changed.
    ///
    /// - Parameter daemon: the one that answers on the control socket, if one does: what it has, the next one will have.
    func startObstacles(providers: Int, beside daemon: DaemonStatus?) -> [String] {
        var obstacles: [String] = []
        func look(_ body: () throws -> Void) {
            do { try body() } catch { obstacles.append("\(error)") }
        }
        OpenFiles.raise()
        look { try OpenFiles.check(self, providers: providers) }
        look {
            let isNew = try KeyRing.existing(path: journal.keyFile) == nil
            try isNew ? checkNewKeyFile() : checkKeptJournal()
        }
        look { if let obstacle = Journal.obstacle(in: journal.folder) { throw obstacle } }
        look { try intake.listener.checkCertificate() }
        if daemon?.has(intake.listen) != true {
            look { if let obstacle = intake.listener.address.obstacle { throw obstacle } }
        }
        if daemon == nil {
            look { if let obstacle = ListenerAddress.unix(path: control.socket).obstacle { throw obstacle } }
        }
        return obstacles
    }

    /// A key file was made for a journal. If that is gone, or nothing is left of it, a new one would take everything that
    /// was accepted, and who owns which account, for never said.
    func checkKeptJournal() throws {
        guard try KeyRing.existing(path: journal.keyFile) != nil, !Journal.exists(in: journal.folder) else { return }
        throw StartFailure(
            """
            \(journal.folder)/journal.sqlite is missing or empty, though there is the key file \(journal.keyFile), which was \
            made together with it; put it back from its backup. Who gives up what was in it, or brings a key file of his own, \
            starts once with `runtime-sync serve --new-journal`
            """)
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

extension DaemonStatus {
    /// Whether this daemon is why another one could not listen there now. One that does not listen yet may be about to.
    fileprivate func has(_ address: ListenAddress) -> Bool {
        switch (address, ListenAddress(intake)) {
        case (.ip(_, let wanted), .ip(_, let taken)?): wanted == taken
        case (.unix(let wanted), .unix(let taken)?): wanted == taken
        case (_, nil): true
        default: false
        }
    }
}
