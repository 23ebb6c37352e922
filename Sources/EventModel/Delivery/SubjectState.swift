/// What is known of a subject, whatever becomes of the events that told it: the newest accepted version of each state,
/// and the facts that targeting looks at. Kept in the journal beyond the events themselves.
public struct SubjectState: Hashable, Sendable {
    public var key: SubjectKey
    private var marks: [Strand: HighWaterMark] = [:]
    /// What changes of the subject told of its targeting attributes.
    private var told = SubjectFacts()
    private var factsMark: HighWaterMark?
    /// When `told.syncEnabled` became true at the source; `nil` if it is unknown.
    private var syncEnabledAt: Timestamp?
    private var optOut: OptOut?
    /// When a password changed without being captured; `nil` once a later one was.
    public private(set) var notCapturedSince: Timestamp?

    /// What has a newest version of its own. Lifecycle changes speak of three things: a newer word on one does not make
    /// that on another old.
    private enum Strand: Hashable, CaseIterable {
        case password, profile
        /// That the account is there, or gone.
        case existence
        case name, disablement

        /// `nil` for notifications.
        init?(_ kind: EventKind) {
            switch kind {
            case .passwordUpdated: self = .password
            case .profileUpdated: self = .profile
            case .userCreated, .userDeleted: self = .existence
            case .userRenamed: self = .name
            case .userDisabled: self = .disablement
            case .loginSucceeded, .loginFailed, .logout, .event: return nil
            }
        }
    }

    /// Somebody's word that sync is off, where a change of the subject has not told so.
    private struct OptOut: Hashable {
        var at: Timestamp
        /// What the attribute held: anything but a clear yes.
        var values: [String]
    }

    public init(key: SubjectKey) {
        self.key = key
    }

    /// What an event means for the subject's state.
    public enum Acceptance: Hashable, Sendable {
        /// It is the newest; `approximately` if two nodes' clocks are too close to be sure.
        case newest(approximately: Bool)
        /// A newer one was accepted already.
        case outdated
        /// A password changed, and nobody caught it.
        case notCaptured
    }

    /// The newest accepted version of a state; nothing older is ever sent. `nil` if there was none. Of lifecycle changes
    /// the latest of all.
    public func newest(_ deliveryClass: DeliveryClass) -> Version? {
        switch deliveryClass {
        case .credential: marks[.password]?.version
        case .profile: marks[.profile]?.version
        case .lifecycle:
            [.existence, .name, .disablement].compactMap { (strand: Strand) in marks[strand]?.version }
                .max { $0.at < $1.at }
        case .notification: nil
        }
    }

    /// Whether a delivery that was accepted has become pointless: a newer password or profile was accepted, or the
    /// account that a renaming or disabling was for was made or deleted since.
    public func isOutdated(_ key: DeliveryKey, _ kind: EventKind) -> Bool {
        switch kind {
        case .passwordUpdated, .profileUpdated:
            newest(key.deliveryClass).map { $0.receipt != key.sequence } ?? false
        case .userRenamed: marks[.name] != nil && !isAfterCreation(.name)
        case .userDisabled: marks[.disablement] != nil && !isAfterCreation(.disablement)
        case .userCreated, .userDeleted, .loginSucceeded, .loginFailed, .logout, .event: false
        }
    }

    /// Whether the account was renamed or disabled after it was made, as far as we heard. Then a creation that comes
    /// late is for an account that is not there only.
    public var wasChangedSinceCreation: Bool {
        isAfterCreation(.name) || isAfterCreation(.disablement)
    }

    private func isAfterCreation(_ strand: Strand) -> Bool {
        guard let own = marks[strand]?.version else { return false }
        switch marks[.existence]?.order(of: own) {
        case nil, .newer, .newerApproximately: return true
        case .older, .same: return false
        }
    }

    /// The newest facts that targeting goes by. Opting out wins, whoever told of it.
    public var facts: SubjectFacts {
        guard let optOut else { return told }
        var facts = told
        facts.syncEnabled = .known(optOut.values)
        return facts
    }

    /// What decides whether one event goes to a provider: for a change of the subject the newest facts. A notification
    /// tells its own, for itself alone; where it is silent the newest count, and it opts nobody in.
    public func facts(for kind: EventKind, telling own: SubjectFacts) -> SubjectFacts {
        let newest = facts
        guard !kind.teachesFacts else { return newest }
        var facts = own.over(newest)
        if newest.isOptedIn == false { facts.syncEnabled = newest.syncEnabled }
        return facts
    }

    /// Takes in what an event tells about the targeting attributes.
    ///
    /// | told by | facts | an opt-out among them |
    /// |---|---|---|
    /// | the newest change of the subject | learned | learned |
    /// | an older one | fill in what no newer one told | withholds, if it is later than the newest word on sync |
    /// | a notification | not learned | withholds likewise |
    ///
    /// What is withheld ends with a newer change of the subject, not dated before it, that opts in. Moments and not
    /// numbers decide that, for they are clamped to the receipt: nobody can withhold for ever with one event.
    public mutating func learn(_ told: SubjectFacts, from kind: EventKind, version: Version) {
        guard told != SubjectFacts() else { return }
        guard kind.teachesFacts else { return withhold(told, version) }
        switch Self.hear(version, &factsMark) {
        case .newer, .newerApproximately:
            self.told = told.over(self.told)
            guard told.isOptedIn != nil else { return }
            syncEnabledAt = version.at
            if let optOut, version.at >= optOut.at { self.optOut = nil }
        case .older:
            withhold(told, version)
            if self.told.isOptedIn == nil, told.isOptedIn != nil { syncEnabledAt = version.at }
            self.told = self.told.over(told)
        case .same: break
        }
    }

    private mutating func withhold(_ told: SubjectFacts, _ version: Version) {
        guard told.isOptedIn == false, case .known(let values) = told.syncEnabled else { return }
        if let syncEnabledAt, version.at <= syncEnabledAt {
            // Within a millisecond the order of changes is all there is to go by.
            guard version.at == syncEnabledAt, let order = factsMark?.order(of: version),
                order == .newer || order == .newerApproximately
            else { return }
        }
        if let optOut, version.at < optOut.at { return }
        optOut = OptOut(at: version.at, values: values)
    }

    /// Takes in the version of one state of an event.
    ///
    /// - Parameters:
    ///   - deliveryClass: which state.
    ///   - kind: what happened. A deletion is never outdated: nothing can follow it.
    ///   - hasSecret: whether the event carries a captured secret.
    ///   - version: of the state; its receipt is the event's place in the journal.
    public mutating func accept(
        _ deliveryClass: DeliveryClass, kind: EventKind, hasSecret: Bool, version: Version
    ) -> Acceptance {
        switch deliveryClass {
        case .notification: return .newest(approximately: false)
        case .profile: return raise(.profile, to: version)
        case .lifecycle:
            guard let strand = Strand(kind) else { return .outdated }
            // A creation or deletion says all that older renamings and disablings did.
            guard strand == .existence || marks[.existence]?.order(of: version) != .older else { return .outdated }
            let acceptance = raise(strand, to: version)
            return kind == .userDeleted && acceptance == .outdated ? .newest(approximately: false) : acceptance
        case .credential:
            guard hasSecret else {
                // It says that the password changed, not to what: it must not displace one that can be delivered.
                let order = marks[.password]?.order(of: version) ?? .newer
                if order == .newer || order == .newerApproximately { notCapturedSince = version.at }
                return .notCaptured
            }
            let acceptance = raise(.password, to: version)
            if acceptance != .outdated, let since = notCapturedSince, version.at >= since { notCapturedSince = nil }
            return acceptance
        }
    }

    private mutating func raise(_ strand: Strand, to version: Version) -> Acceptance {
        switch Self.hear(version, &marks[strand]) {
        case .older, .same: .outdated
        case .newer: .newest(approximately: false)
        case .newerApproximately: .newest(approximately: true)
        }
    }

    private static func hear(_ version: Version, _ mark: inout HighWaterMark?) -> VersionOrder {
        guard mark == nil else { return mark?.hear(version) ?? .older }
        mark = HighWaterMark(version)
        return .newer
    }
}

// The state as bytes, for the journal: fields in order, texts behind their lengths.
extension SubjectState {
    /// What the first byte is.
    public static let format: UInt8 = 3

    public var bytes: [UInt8] {
        var writer = FieldWriter()
        writer.write(Self.format)
        writer.write(key.instance)
        writer.write(key.realmID)
        writer.write(key.userID)
        for strand in Strand.allCases { writer.write(marks[strand]) }
        for fact in [told.syncEnabled, told.userType, told.externalID] { writer.write(fact) }
        writer.write(factsMark)
        writer.write(syncEnabledAt)
        writer.write(optOut.map { .known($0.values) } ?? .unknown)
        writer.write(optOut?.at)
        writer.write(notCapturedSince)
        return writer.bytes
    }

    /// - Returns: `nil` if the bytes are not what ``bytes`` writes.
    public init?(bytes: [UInt8]) {
        var reader = FieldReader(bytes)
        guard reader.byte() == Self.format, let instance = reader.text(), let realmID = reader.text(),
            let userID = reader.text()
        else { return nil }
        self.init(key: SubjectKey(instance: instance, realmID: realmID, userID: userID))
        for strand in Strand.allCases {
            guard let mark = reader.mark() else { return nil }
            marks[strand] = mark.value
        }
        guard let syncEnabled = reader.fact(), let userType = reader.fact(), let externalID = reader.fact(),
            let factsMark = reader.mark(), let syncEnabledAt = reader.moment(), let optOut = reader.fact(),
            let optOutAt = reader.moment(), let notCaptured = reader.moment(), reader.isAtEnd
        else { return nil }
        told = SubjectFacts(syncEnabled: syncEnabled, userType: userType, externalID: externalID)
        self.factsMark = factsMark.value
        self.syncEnabledAt = syncEnabledAt.value
        if let values = optOut.value, let at = optOutAt.value { self.optOut = OptOut(at: at, values: values) }
        notCapturedSince = notCaptured.value
    }
}

/// Writes fields one after the other; numbers in little-endian order.
public struct FieldWriter: Sendable {
    public private(set) var bytes: [UInt8] = []

    public init() {}

    public mutating func write(_ byte: UInt8) {
        bytes.append(byte)
    }

    public mutating func write(_ number: Int64) {
        withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }

    public mutating func write(_ text: String) {
        write(Int64(text.utf8.count))
        bytes.append(contentsOf: text.utf8)
    }

    mutating func write(_ moment: Timestamp?) {
        write(moment?.milliseconds ?? Int64.min)
    }

    mutating func write(_ mark: HighWaterMark?) {
        guard let mark else { return write(UInt8(0)) }
        let version = mark.version
        write(UInt8(1 + (version.node == nil ? 0 : 2) + (version.sequence == nil ? 0 : 4)))
        write(version.at.milliseconds)
        write(version.receipt)
        if let node = version.node { write(node) }
        if let sequence = version.sequence { write(Int64(bitPattern: sequence)) }
        write(UInt8(mark.nodes.count))
        for heard in mark.nodes {
            write(heard.node)
            write(Int64(bitPattern: heard.sequence))
        }
    }

    mutating func write(_ fact: Known<[String]>) {
        guard case .known(let values) = fact else { return write(UInt8(0)) }
        write(UInt8(1))
        write(Int64(values.count))
        for value in values { write(value) }
    }
}

/// Reads what ``FieldWriter`` wrote; every answer is `nil` if the bytes are not that.
public struct FieldReader: Sendable {
    private let bytes: [UInt8]
    private var position = 0

    public init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    public var isAtEnd: Bool { position == bytes.count }

    public mutating func byte() -> UInt8? {
        guard position < bytes.count else { return nil }
        position += 1
        return bytes[position - 1]
    }

    public mutating func number() -> Int64? {
        guard position + 8 <= bytes.count else { return nil }
        position += 8
        return (0..<8).reduce(0) { $0 | Int64(bytes[position - 8 + $1]) << (8 * Int64($1)) }
    }

    public mutating func text() -> String? {
        guard let count = number(), count >= 0, count <= Int64(bytes.count - position) else { return nil }
        position += Int(count)
        return String(decoding: bytes[position - Int(count)..<position], as: UTF8.self)
    }

    mutating func moment() -> Known<Timestamp>? {
        guard let milliseconds = number() else { return nil }
        return milliseconds == Int64.min ? .unknown : .known(Timestamp(milliseconds: milliseconds))
    }

    mutating func mark() -> Known<HighWaterMark>? {
        guard let parts = byte() else { return nil }
        guard parts != 0 else { return .unknown }
        guard let at = number(), let receipt = number() else { return nil }
        var version = Version(at: Timestamp(milliseconds: at), node: nil, sequence: nil, receipt: receipt)
        if parts & 2 != 0 {
            guard let node = text() else { return nil }
            version.node = node
        }
        if parts & 4 != 0 {
            guard let sequence = number() else { return nil }
            version.sequence = UInt64(bitPattern: sequence)
        }
        guard let count = byte() else { return nil }
        var nodes: [HighWaterMark.NodeNumber] = []
        for _ in 0..<count {
            guard let node = text(), let sequence = number() else { return nil }
            nodes.append(.init(node: node, sequence: UInt64(bitPattern: sequence)))
        }
        return .known(HighWaterMark(version: version, nodes: nodes))
    }

    mutating func fact() -> Known<[String]>? {
        guard let known = byte() else { return nil }
        guard known == 1 else { return .unknown }
        guard let count = number(), count >= 0, count <= Int64(bytes.count) else { return nil }
        var values: [String] = []
        for _ in 0..<count {
            guard let value = text() else { return nil }
            values.append(value)
        }
        return .known(values)
    }
}
