/// Reads event envelopes, version 1, straight from the received bytes.
///
/// The members of the envelope are an allow-list: an unknown, repeated or escaped name is refused, so that no password
/// can hide in a member that is stored with the event. `changes`, `details` and `subject.attributes` are open maps.
public struct EnvelopeReader: Sendable {
    /// Which attributes hold the targeting facts.
    public let names: AttributeNames

    public init(names: AttributeNames = AttributeNames()) {
        self.names = names
    }

    /// An envelope that was read: the header, and where in the body the secret stands.
    public struct Envelope: Sendable {
        public var header: EventHeader
        /// The contents of `credential.value`, without its quotes and still escaped; `nil` if there is no value, or it
        /// was cut out of a stored body (an empty string).
        public var secret: Range<Int>?
    }

    /// What an id may look like: 1 to 128 characters of printable ASCII without the space.
    public static let idLength = 1...128

    /// Reads a body.
    ///
    /// - Parameters:
    ///   - body: the bytes, lent.
    ///   - isStored: the body comes from the journal, where the secret was cut out of it. It passed the door of the version
    ///     that took it in, and is read as far as it has one meaning: of what the header needs nothing, names of any
    ///     characters and members that this version does not know are no obstacle, and of two members of an open map with
    ///     the same name the last one counts.
    /// - Throws: ``EnvelopeError`` that names the first field that is wrong.
    public func read(_ body: UnsafeRawBufferPointer, isStored: Bool = false) throws(EnvelopeError) -> Envelope {
        var draft = Draft(names: names, isStored: isStored)
        do {
            var scanner = JSONScanner(body)
            guard try scanner.peek() == .object else { throw EnvelopeError("", "the body must be a JSON object") }
            try scanner.enterObject()
            try draft.readTopLevel(&scanner)
            try scanner.end()
        } catch let error as JSONError {
            throw EnvelopeError("", "not valid JSON at byte \(error.offset): \(error.reason)")
        } catch let error as EnvelopeError {
            throw error
        } catch {
            throw EnvelopeError("", "unreadable")
        }
        return try draft.finish()
    }
}

/// What was read so far.
private struct Draft {
    let names: AttributeNames
    let isStored: Bool
    var specversion: String?
    var id: String?
    var kind: EventKind?
    var time: Timestamp?
    var hasSource = false
    var instance: String?
    var realm: String?
    var realmID: String?
    var subjectID: String?
    var facts = SubjectFacts()
    var hasAttributes = false
    var isComplete = false
    var version: VersionClaim?
    var hasCredential = false
    var secret: Range<Int>?
    var credentialType: String?
    var isTemporary = false

    init(names: AttributeNames, isStored: Bool) {
        self.names = names
        self.isStored = isStored
    }

    /// Passes over what the header does not need: at the door it has to be as `check` wants it.
    private func pass(_ scanner: inout JSONScanner, _ check: (inout JSONScanner) throws -> Void) throws {
        if isStored { _ = try scanner.value() } else { try check(&scanner) }
    }

    /// A text that names somebody or something: it reaches people's screens and other systems, in one line.
    private func name(_ scanner: inout JSONScanner, _ path: String) throws -> String? {
        let name = try scanner.optionalText(path)
        guard isStored || name?.unicodeScalars.contains(where: \.breaksLines) != true else {
            throw EnvelopeError(path, "holds a control character or a line break; any other text is accepted")
        }
        return name
    }

    mutating func readTopLevel(_ scanner: inout JSONScanner) throws {
        var members = Members("")
        while let member = try members.next(&scanner) {
            switch member {
            case "specversion": specversion = try scanner.optionalText(member)
            case "id": id = try scanner.optionalText(member)
            case "kind":
                guard let name = try scanner.optionalText(member) else { break }
                kind = EventKind(name: name)
                guard kind != nil else {
                    let names = EventKind.allCases.map(\.name).joined(separator: ", ")
                    throw EnvelopeError("kind", "unknown kind; accepted: \(names)")
                }
            case "time": time = try scanner.optionalMoment(member)
            case "source": try scanner.optionalObject(member) { try readSource(&$0) }
            case "subject": try scanner.optionalObject(member) { try readSubject(&$0) }
            case "version": try scanner.optionalObject(member) { try readVersion(&$0) }
            case "changes": try pass(&scanner) { try $0.optionalObject(member) { try Self.readChanges(&$0) } }
            case "details": try pass(&scanner) { try $0.optionalObject(member) { try Self.readDetails(&$0) } }
            case "error": try pass(&scanner) { _ = try $0.optionalText(member) }
            case "credential": try scanner.optionalObject(member) { try readCredential(&$0) }
            default: try pass(&scanner) { _ in throw members.unknown(member) }
            }
        }
    }

    private mutating func readSource(_ scanner: inout JSONScanner) throws {
        hasSource = true
        var members = Members("source.")
        while let member = try members.next(&scanner) {
            let path = "source.\(member)"
            switch member {
            case "instance": instance = try name(&scanner, path)
            case "realm": realm = try name(&scanner, path)
            case "realmId": realmID = try name(&scanner, path)
            case "clientId", "sessionId", "ipAddress", "type": try pass(&scanner) { _ = try name(&$0, path) }
            default: try pass(&scanner) { _ in throw members.unknown(member) }
            }
        }
    }

    private mutating func readSubject(_ scanner: inout JSONScanner) throws {
        var members = Members("subject.")
        while let member = try members.next(&scanner) {
            let path = "subject.\(member)"
            switch member {
            case "id": subjectID = try name(&scanner, path)
            case "username", "email", "firstName", "lastName": try pass(&scanner) { _ = try $0.optionalText(path) }
            case "enabled": try pass(&scanner) { _ = try $0.optionalBoolean(path) }
            case "complete": isComplete = try scanner.optionalBoolean(path) ?? false
            case "attributes":
                try scanner.optionalObject(path) { try readAttributes(&$0) }
            default: try pass(&scanner) { _ in throw members.unknown(member) }
            }
        }
    }

    private mutating func readAttributes(_ scanner: inout JSONScanner) throws {
        hasAttributes = true
        var members = OpenMembers("subject.attributes.", lastCounts: isStored)
        while let name = try members.next(&scanner) {
            let path = "subject.attributes.\(name)"
            switch name {
            case names.syncEnabled: facts.syncEnabled = .known(try scanner.texts(path))
            case names.userType: facts.userType = .known(try scanner.texts(path))
            case names.externalID: facts.externalID = .known(try scanner.texts(path))
            default: try pass(&scanner) { try $0.passTexts { "subject.attributes.\(MemberName.shown(name))" } }
            }
        }
    }

    private mutating func readVersion(_ scanner: inout JSONScanner) throws {
        var at: Timestamp?
        var node: String?
        var sequence: UInt64?
        var members = Members("version.")
        while let member = try members.next(&scanner) {
            switch member {
            case "at": at = try scanner.optionalMoment("version.at")
            case "node": node = try scanner.optionalText("version.node")
            case "sequence": sequence = try scanner.optionalNumber("version.sequence")
            default: try pass(&scanner) { _ in throw members.unknown(member) }
            }
        }
        guard let at else { throw EnvelopeError("version.at", "missing; a version says when its state became true") }
        version = VersionClaim(at: at, node: node, sequence: sequence)
    }

    private static func readChanges(_ scanner: inout JSONScanner) throws {
        var changes = OpenMembers("changes.", lastCounts: false)
        while let name = try changes.next(&scanner) {
            let path = "changes.\(MemberName.shown(name))"
            try scanner.optionalObject(path) { scanner in
                var members = Members("\(path).")
                while let member = try members.next(&scanner) {
                    guard member == "old" || member == "new" else { throw members.unknown(member) }
                    try scanner.passTexts { "\(path).\(member)" }
                }
            }
        }
    }

    private static func readDetails(_ scanner: inout JSONScanner) throws {
        var members = OpenMembers("details.", lastCounts: false)
        while let name = try members.next(&scanner) {
            _ = try scanner.optionalText("details.\(MemberName.shown(name))")
        }
    }

    private mutating func readCredential(_ scanner: inout JSONScanner) throws {
        hasCredential = true
        var members = Members("credential.")
        while let member = try members.next(&scanner) {
            let path = "credential.\(member)"
            switch member {
            case "type": credentialType = try scanner.optionalText(path)
            case "value":
                guard try scanner.peek() == .string else { throw EnvelopeError(path, "must be a string") }
                secret = try scanner.string().range
            case "temporary": isTemporary = try scanner.optionalBoolean(path) ?? false
            case "jwe": throw EnvelopeError(path, "encrypted credentials are not accepted by this version; send value")
            default: try pass(&scanner) { _ in throw members.unknown(member) }
            }
        }
    }

    /// What belongs together is there, and nothing else.
    func finish() throws(EnvelopeError) -> EnvelopeReader.Envelope {
        guard specversion == "1" else { throw EnvelopeError("specversion", "must be \"1\"") }
        guard let id else { throw EnvelopeError("id", "missing") }
        guard isStored || EnvelopeReader.idLength ~= id.utf8.count && id.utf8.allSatisfy({ 0x21...0x7e ~= $0 }) else {
            throw EnvelopeError("id", "must be 1 to 128 printable ASCII characters without spaces")
        }
        guard let kind else { throw EnvelopeError("kind", "missing") }
        guard let time else { throw EnvelopeError("time", "missing; a date and time of RFC 3339 is accepted") }
        guard hasSource else { throw EnvelopeError("source", "missing") }
        guard let instance, !instance.isEmpty else { throw EnvelopeError("source.instance", "missing or empty") }
        guard realmID != "" else { throw EnvelopeError("source.realmId", "empty") }
        let subject = try subjectID.map { id throws(EnvelopeError) in
            guard let realmID else {
                throw EnvelopeError(
                    "source.realmId", "missing; users are told apart by the realm's id: its name may change")
            }
            guard isStored || 1...255 ~= id.utf8.count else {
                throw EnvelopeError("subject.id", "must be 1 to 255 bytes")
            }
            return SubjectKey(instance: instance, realmID: realmID, userID: id)
        }
        guard subject != nil || !kind.needsSubject else {
            throw EnvelopeError("subject.id", "missing; \(kind.name) is about a user")
        }
        try checkCredential(of: kind)
        var facts = facts
        if isComplete {
            // A full snapshot knows what is not there.
            facts = facts.over(SubjectFacts(syncEnabled: .known([]), userType: .known([]), externalID: .known([])))
        }
        let header = EventHeader(
            id: id, kind: kind, time: time, instance: instance, realm: realm, realmID: realmID, subject: subject,
            facts: facts, version: version, hasSecret: secret != nil, isTemporary: isTemporary)
        return EnvelopeReader.Envelope(header: header, secret: isStored ? nil : secret)
    }

    private func checkCredential(of kind: EventKind) throws(EnvelopeError) {
        guard hasCredential else { return }
        guard kind.mayCarryCredential else {
            throw EnvelopeError("credential", "only password.updated and user.created may carry one")
        }
        guard credentialType == "password" else { throw EnvelopeError("credential.type", "must be \"password\"") }
        guard let secret else { throw EnvelopeError("credential.value", "missing") }
        guard isStored || !secret.isEmpty else {
            throw EnvelopeError("credential.value", "an empty password is refused: directories take it for no password")
        }
    }
}

/// The members of an object whose names are an allow-list.
private struct Members {
    let path: String
    private var seen: [String] = []
    private var isFirst = true

    init(_ path: String) {
        self.path = path
    }

    /// The name of the next member; `nil` at the end.
    mutating func next(_ scanner: inout JSONScanner) throws -> String? {
        guard let name = try scanner.nextMember(&isFirst) else { return nil }
        let text = scanner.text(name)
        guard !name.hasEscapes else {
            throw EnvelopeError(place(of: text), "a member's name is written without escapes")
        }
        guard !seen.contains(text) else { throw EnvelopeError(place(of: text), EnvelopeError.repeated) }
        seen.append(text)
        return text
    }

    func unknown(_ member: String) -> EnvelopeError {
        guard path != "credential." else {
            return EnvelopeError("credential", "has an unknown member; type, value and temporary are accepted")
        }
        return EnvelopeError(place(of: member), "unknown member; envelope version 1 does not have it")
    }

    /// What stands in a credential may be the password, even as a name: nothing of an unknown one is repeated.
    private func place(of member: String) -> String {
        guard path == "credential.", !MemberName.isKnown(member) else { return path + MemberName.shown(member) }
        return "credential"
    }
}

/// The members of an object whose names are the source's. At the door none may stand there twice, as in all others: readers
/// differ in which of the two they take.
private struct OpenMembers {
    let path: String
    private let lastCounts: Bool
    private var seen: Set<String> = []
    private var isFirst = true

    /// - Parameter lastCounts: one may stand there twice.
    init(_ path: String, lastCounts: Bool) {
        self.path = path
        self.lastCounts = lastCounts
    }

    /// The name of the next member, without its escapes; `nil` at the end.
    mutating func next(_ scanner: inout JSONScanner) throws -> String? {
        guard let name = try scanner.nextMember(&isFirst) else { return nil }
        let text = scanner.text(name)
        guard seen.insert(text).inserted || lastCounts else {
            throw EnvelopeError(path + MemberName.shown(text), EnvelopeError.repeated)
        }
        return text
    }
}

extension EnvelopeError {
    fileprivate static let repeated = "stands here twice"
}

/// The name of a member in an error. Who puts a password in a wrong place may put it where a name stands, so only names
/// that the envelope has are repeated; of any other, as much as helps to find it.
private enum MemberName {
    /// So many characters of an unknown name are shown.
    private static let shownLength = 4

    private static let known: Set<String> = [
        "specversion", "id", "kind", "time", "source", "subject", "version", "changes", "details", "error",
        "credential",
        "instance", "realm", "realmId", "clientId", "sessionId", "ipAddress", "type", "username", "email", "firstName",
        "lastName", "enabled", "complete", "attributes", "at", "node", "sequence", "old", "new", "value", "temporary",
        "jwe",
    ]

    static func isKnown(_ name: String) -> Bool {
        known.contains(name)
    }

    /// A known name, or the beginning of another one, in printable ASCII.
    static func shown(_ name: String) -> String {
        if isKnown(name) { return name }
        let start = name.unicodeScalars.prefix(shownLength).map { (0x21...0x7e).contains($0.value) ? $0 : "?" }
        return String(String.UnicodeScalarView(start)) + (name.unicodeScalars.count > shownLength ? "…" : "")
    }
}

extension JSONScanner {
    private mutating func isNull() throws(JSONError) -> Bool {
        guard try peek() == .null else { return false }
        try null()
        return true
    }

    fileprivate mutating func optionalText(_ path: String) throws -> String? {
        if try isNull() { return nil }
        guard try peek() == .string else { throw EnvelopeError(path, "must be a string") }
        return text(try string())
    }

    fileprivate mutating func optionalBoolean(_ path: String) throws -> Bool? {
        if try isNull() { return nil }
        guard try peek() == .boolean else { throw EnvelopeError(path, "must be true or false") }
        return try boolean()
    }

    fileprivate mutating func optionalNumber(_ path: String) throws -> UInt64? {
        if try isNull() { return nil }
        guard try peek() == .number, let number = UInt64(String(decoding: bytes[try number()], as: UTF8.self)) else {
            throw EnvelopeError(path, "must be a whole number from 0 to \(UInt64.max)")
        }
        return number
    }

    fileprivate mutating func optionalMoment(_ path: String) throws -> Timestamp? {
        guard let text = try optionalText(path) else { return nil }
        guard let moment = Timestamp(rfc3339: text.utf8) else {
            throw EnvelopeError(path, "must be a date and time of RFC 3339, such as 2026-11-21T22:10:00.123Z")
        }
        return moment
    }

    fileprivate mutating func optionalObject(_ path: String, _ read: (inout Self) throws -> Void) throws {
        if try isNull() { return }
        guard try peek() == .object else { throw EnvelopeError(path, "must be an object") }
        try enterObject()
        try read(&self)
    }

    /// An array of strings; a single string counts as an array of one, `null` as an empty one.
    fileprivate mutating func texts(_ path: String) throws -> [String] {
        switch try peek() {
        case .null:
            try null()
            return []
        case .string: return [text(try string())]
        case .array:
            var texts: [String] = []
            var isFirst = true
            try enterArray()
            while try nextElement(&isFirst) {
                guard try peek() == .string else { throw EnvelopeError(path, "must be an array of strings") }
                texts.append(text(try string()))
            }
            return texts
        default: throw EnvelopeError(path, "must be an array of strings")
        }
    }

    /// Passes over what ``texts(_:)`` would read.
    fileprivate mutating func passTexts(_ path: () -> String) throws {
        switch try peek() {
        case .null: try null()
        case .string: _ = try string()
        case .array:
            var isFirst = true
            try enterArray()
            while try nextElement(&isFirst) {
                guard try peek() == .string else { throw EnvelopeError(path(), "must be an array of strings") }
                _ = try string()
            }
        default: throw EnvelopeError(path(), "must be an array of strings")
        }
    }
}

extension Unicode.Scalar {
    /// Control characters (C0, DEL, C1), and the separators of lines and paragraphs.
    fileprivate var breaksLines: Bool {
        value < 0x20 || 0x7f...0x9f ~= value || 0x2028...0x2029 ~= value
    }
}
