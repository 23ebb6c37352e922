internal import EventModel

/// Rules that look at several keys of the sources, and at their secrets.
struct SourceRules: Sendable {
    /// A secret that is shorter can be guessed offline from one signed request. Standard Webhooks asks for 24 bytes.
    static let shortestSecret = 24

    let daemon: DaemonSettings
    let surroundings: Surroundings

    func check(_ reader: inout SettingsReader) {
        if daemon.sources.isEmpty, !reader.isBroken("sources") {
            reader.warn(key: "sources", "lists nobody: no event is accepted", hint: "list who may post events")
        }
        for (index, source) in daemon.sources.enumerated() {
            let key = "sources[\(index)]"
            if let first = daemon.sources.firstIndex(where: { $0.name == source.name }), first < index,
                !source.name.isEmpty
            {
                reader.refuse(
                    key: "\(key).name", "is the name of sources[\(first)] too", held: "\"\(source.name)\"",
                    accepts: "a name of its own")
            }
            checkSigning(source, key, &reader)
            for (other, twin) in daemon.sources[..<index].enumerated() {
                guard let uid = source.unsignedPeerUIDs.first(where: twin.unsignedPeerUIDs.contains) else { continue }
                reader.refuse(
                    key: "\(key).unsigned_peer_uids",
                    "has a user that sources[\(other)] has too: nobody could tell whose "
                        + "events are whose", held: "\(uid)", accepts: "a user in one source only",
                    hint: "give one of them a secret, or one source the rights of both")
            }
            if source.maxEventAge > daemon.journal.idWindow {
                reader.refuse(
                    key: "\(key).max_event_age", "is longer than journal.id_window: old events could be repeated",
                    held: DurationText.write(source.maxEventAge),
                    accepts: "\(DurationText.write(daemon.journal.idWindow)) and less")
            }
            if source.mayCarryPassword, case .only(let kinds) = source.kinds, !kinds.isEmpty,
                !kinds.contains(where: \.mayCarryCredential)
            {
                reader.warn(
                    key: "\(key).may_carry_password", "has no meaning: none of its kinds carries a password",
                    hint: "add password.updated to its kinds")
            }
        }
        checkSecrets(&reader)
    }

    private func checkSigning(_ source: SourceSettings, _ key: String, _ reader: inout SettingsReader) {
        if !source.unsignedPeerUIDs.isEmpty, !daemon.intake.listen.isUnix {
            reader.refuse(
                key: "\(key).unsigned_peer_uids", "needs a Unix socket, which alone knows who connects",
                held: "intake.listen is \(daemon.intake.listen)", accepts: "intake.listen: unix:/path, or no uids")
        }
        if source.secrets.isEmpty, source.unsignedPeerUIDs.isEmpty, !reader.isBroken("\(key).secrets"),
            !reader.isBroken("\(key).unsigned_peer_uids")
        {
            reader.refuse(
                key: "\(key).secrets", "is empty: anybody could post in its name",
                accepts: "one or two, each \(Syntax<SecretSource>.secretAccepts)",
                hint: "or, on a Unix socket, unsigned_peer_uids")
        }
        if source.secrets.count > 2 {
            reader.refuse(
                key: "\(key).secrets", "has too many", held: "\(source.secrets.count)",
                accepts: "one, or two while one is being replaced")
        }
    }

    /// Every secret can be read, is long enough, and no two are the same: the one who has it could speak for both.
    private func checkSecrets(_ reader: inout SettingsReader) {
        var seen: [(key: String, secret: SecretSource)] = []
        for (index, source) in daemon.sources.enumerated() {
            for (number, secret) in source.secrets.enumerated() {
                let key = "sources[\(index)].secrets[\(number)]"
                do {
                    let count = try secret.withBytes(in: surroundings) { $0.count }
                    if count < Self.shortestSecret {
                        reader.refuse(
                            key: key, "is too short", accepts: "at least \(Self.shortestSecret) bytes",
                            hint: "openssl rand -base64 32")
                    }
                    if let twin = seen.first(where: { holdSame(secret, $0.secret) }) {
                        reader.refuse(key: key, "is the same as \(twin.key)", accepts: "a secret of its own")
                    }
                    seen.append((key, secret))
                } catch let error as SecretError {
                    reader.refuse(key: key, "cannot be used: \(error)", accepts: "a secret", hint: error.hint)
                } catch {
                    // Nothing above throws anything else.
                    reader.refuse(key: key, "cannot be used")
                }
            }
        }
    }

    private func holdSame(_ one: SecretSource, _ other: SecretSource) -> Bool {
        if one == other { return true }
        let same = try? one.withBytes(in: surroundings) { bytes in
            try other.withBytes(in: surroundings) { bytes.elementsEqual($0) }
        }
        return same ?? false
    }
}
