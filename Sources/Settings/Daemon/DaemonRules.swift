/// Rules that look at several keys of the daemon's settings, or at the files that they name.
struct DaemonRules: Sendable {
    let daemon: DaemonSettings
    let surroundings: Surroundings

    func check(_ reader: inout SettingsReader) {
        checkListeners(&reader)
        checkCertificate(&reader)
        checkJournal(&reader)
        Self.check(daemon.retry, at: "retry", &reader)
        if daemon.intake.maxBody > daemon.intake.maxBatchBody {
            reader.refuse(
                key: "intake.max_batch_body", "is smaller than intake.max_body", held: "\(daemon.intake.maxBatchBody)",
                accepts: "\(daemon.intake.maxBody) and more")
        }
        SourceRules(daemon: daemon, surroundings: surroundings).check(&reader)
    }

    /// For the daemon's and every provider's.
    static func check(_ retry: RetrySettings, at key: String, _ reader: inout SettingsReader) {
        guard retry.initial > retry.max else { return }
        reader.refuse(
            key: "\(key).max", "is shorter than \(key).initial", held: DurationText.write(retry.max),
            accepts: "\(DurationText.write(retry.initial)) and more")
    }

    private func checkListeners(_ reader: inout SettingsReader) {
        let intake = daemon.intake
        if !intake.listen.isLocal, !intake.tls.isOn {
            reader.refuse(
                key: "intake.listen", "is reached by other machines, and there is no certificate",
                held: "\(intake.listen)", accepts: "127.0.0.1:PORT, [::1]:PORT or unix:/path without one",
                hint: "passwords never travel in clear: set intake.tls.certificate and intake.tls.key")
        }
        if !intake.peerUIDs.isEmpty, !intake.listen.isUnix {
            reader.refuse(
                key: "intake.peer_uids", "has no meaning: intake.listen is not a Unix socket",
                held: "\(intake.listen)", accepts: "intake.listen: unix:/path")
        }
        // sun_path holds 108 bytes with the NUL (unix(7)).
        if daemon.control.socket.utf8.count > 107 {
            reader.refuse(
                key: "control.socket", "is too long for a Unix socket", held: "\"\(daemon.control.socket)\"",
                accepts: "a path of at most 107 bytes")
        }
        if daemon.intake.listen == .unix(path: daemon.control.socket) {
            reader.refuse(
                key: "control.socket", "is the address of intake.listen", held: "\"\(daemon.control.socket)\"",
                accepts: "another path")
        }
    }

    private func checkCertificate(_ reader: inout SettingsReader) {
        let tls = daemon.intake.tls
        if tls.certificate.isEmpty != tls.key.isEmpty {
            reader.refuse(
                key: tls.certificate.isEmpty ? "intake.tls.certificate" : "intake.tls.key",
                "is missing: a certificate needs its key, and a key its certificate", accepts: "a path")
        }
        if !tls.certificate.isEmpty {
            check(file: tls.certificate, at: "intake.tls.certificate", isSecret: false, &reader)
        }
        if !tls.key.isEmpty { check(file: tls.key, at: "intake.tls.key", isSecret: true, &reader) }
    }

    private func checkJournal(_ reader: inout SettingsReader) {
        let journal = daemon.journal
        if journal.keyFile.hasPrefix(journal.folder + "/") {
            reader.warn(
                key: "journal.key_file", "lies in the journal's folder: a copy of the one is a copy of both",
                hint: "keep the keys elsewhere, and back them up apart from the journal")
        }
        // The daemon makes the key ring at its first start, so it need not be there.
        if case .success = surroundings.status(journal.keyFile) {
            check(file: journal.keyFile, at: "journal.key_file", isSecret: true, &reader)
        }
    }

    private func check(file: String, at key: String, isSecret: Bool, _ reader: inout SettingsReader) {
        switch surroundings.status(file) {
        case .failure(let failure):
            reader.refuse(
                key: key, "cannot be used: \(failure.reason)", held: "\"\(file)\"", accepts: "an existing file")
        case .success(let status) where !status.isRegularFile:
            reader.refuse(key: key, "is not a file", held: "\"\(file)\"", accepts: "a regular file")
        case .success(let status) where isSecret && status.mode & 0o077 != 0:
            reader.refuse(
                key: key, "is open to others than its owner",
                held: "\"\(file)\", mode 0\(String(status.mode, radix: 8))",
                accepts: "mode 0600 or 0400", hint: "chmod 600 \(file)")
        case .success: break
        }
    }
}
