public import EventModel

/// What a sealed value belongs to. It is not stored with the value; it opens only for who names the same again, so a
/// value that was moved to another event, user or version is found out.
public struct SealContext: Hashable, Sendable {
    private(set) var bytes: [UInt8] = []

    /// The context of an event's body or secret.
    ///
    /// - Parameters:
    ///   - event: the event's id.
    ///   - subject: whom the event is about; `nil` for a body, which must be opened to know.
    ///   - version: the version as the envelope tells it; `nil` for a body, or if the envelope has none. The receipt
    ///     is left out: the journal gives it after the sealing.
    public init(event: String, subject: SubjectKey? = nil, version: Version? = nil) {
        bytes.reserveCapacity(128)
        append("event".utf8)
        append(event.utf8)
        append(subject?.canonical.utf8)
        append(version?.at.milliseconds.bytes)
        append(version?.node?.utf8)
        append(version?.sequence?.bytes)
    }

    /// The context of a row of a table: for the state of subjects and bindings.
    public init(table: String, key: some Collection<UInt8>) {
        append("table".utf8)
        append(table.utf8)
        append(key)
    }

    /// Each part stands behind its length, so no two lists of parts give the same bytes.
    private mutating func append(_ part: (some Collection<UInt8>)?) {
        guard let part else {
            bytes += UInt32.max.bytes
            return
        }
        bytes += UInt32(part.count).bytes
        bytes += part
    }
}
