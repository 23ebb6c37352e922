public import Credentials
internal import EventModel
internal import Journal

/// Opens and seals what the journal holds, each in its own context. Any thread.
///
/// The intake seals an event's body and secret in the same contexts.
public struct Vault: Sendable {
    let sealer: Sealer
    let subjectHash: KeyedHash
    let accountHash: KeyedHash
    let externalHash: KeyedHash
}

extension Vault {
    public init(sealer: Sealer, ring: KeyRing) {
        self.sealer = sealer
        subjectHash = KeyedHash(.subject, ring: ring)
        accountHash = KeyedHash(.account, ring: ring)
        externalHash = KeyedHash(.externalID, ring: ring)
    }

    func hash(_ key: SubjectKey) -> Hash128 { subjectHash(key.canonical) }
    func hash(account: String) -> Hash128 { accountHash(account) }
    func hash(externalID: String) -> Hash128 { externalHash(externalID) }

    func openBody(_ sealed: [UInt8], id: String) throws -> [UInt8] {
        try sealer.open(sealed, as: .body, in: SealContext(event: id))
    }

    func openSecret(_ sealed: [UInt8], of header: EventHeader) throws -> SecretBytes {
        try sealer.openSecret(sealed, in: header.secretContext)
    }

    func seal(_ state: SubjectState, number: Int64, at moment: Timestamp) -> [UInt8] {
        state.bytes.withUnsafeBytes {
            sealer.seal($0, as: .state, in: SealContext(table: "subjects", key: "\(number)".utf8), at: moment)
        }
    }

    func openState(_ sealed: [UInt8], number: Int64) throws(DispatchError) -> SubjectState {
        let context = SealContext(table: "subjects", key: "\(number)".utf8)
        guard let bytes = try? sealer.open(sealed, as: .state, in: context) else { throw .damagedSubject(number) }
        if let format = bytes.first, format != SubjectState.format {
            throw .damagedSubject(number, format: format)
        }
        guard let state = SubjectState(bytes: bytes) else { throw .damagedSubject(number) }
        return state
    }

    func seal(_ account: BoundAccount, slot: Int, subject: Int64, at moment: Timestamp) -> [UInt8] {
        var writer = FieldWriter()
        writer.write(account.account ?? "")
        writer.write(account.externalID ?? "")
        return writer.bytes.withUnsafeBytes {
            sealer.seal($0, as: .state, in: Self.bindingContext(slot, subject), at: moment)
        }
    }

    /// What no two subjects of a provider may share: the stable id or, where the plugin knows none, the external id.
    /// The two are hashed apart, so that an external id never passes for a stable one.
    func hash(owned account: BoundAccount) -> Hash128 {
        account.account.map { hash(account: $0) } ?? hash(externalID: account.externalID ?? "")
    }

    func openAccount(_ sealed: [UInt8], slot: Int, subject: Int64) throws -> BoundAccount? {
        var reader = FieldReader(try sealer.open(sealed, as: .state, in: Self.bindingContext(slot, subject)))
        guard let account = reader.text(), let externalID = reader.text() else { return nil }
        return BoundAccount(
            account: account.isEmpty ? nil : account, externalID: externalID.isEmpty ? nil : externalID)
    }

    /// Seals a target's words, which may name a person or an account. The key goes with the event's own.
    func seal(detail: String, of key: DeliveryKey, at moment: Timestamp) -> [UInt8] {
        Array(detail.utf8).withUnsafeBytes { sealer.seal($0, as: .body, in: Self.detailContext(key), at: moment) }
    }

    func openDetail(_ sealed: [UInt8], of key: DeliveryKey) throws -> String {
        String(decoding: try sealer.open(sealed, as: .body, in: Self.detailContext(key)), as: UTF8.self)
    }

    private static func detailContext(_ key: DeliveryKey) -> SealContext {
        SealContext(table: "dead_letters", key: "\(key.rawValue)".utf8)
    }

    private static func bindingContext(_ slot: Int, _ subject: Int64) -> SealContext {
        SealContext(table: "bindings", key: "\(slot)/\(subject)".utf8)
    }
}

/// The account that a subject is bound to at a provider.
struct BoundAccount: Hashable, Sendable {
    /// The target's stable id, as the plugin reported it; `nil` if it never did.
    var account: String?
    /// The external id by which it was found.
    var externalID: String?
}
