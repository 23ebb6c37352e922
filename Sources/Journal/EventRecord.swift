public import EventModel

/// 128 bits of a keyed hash: of an id, a body, a subject or an account.
public typealias Hash128 = SIMD2<UInt64>

/// An accepted event on its way into the journal.
public struct EventRecord: Sendable {
    /// What the journal notes beside an event; it stays when the secret has gone.
    public struct Flags: OptionSet, Hashable, Sendable {
        public let rawValue: UInt8

        public init(rawValue: UInt8) {
            self.rawValue = rawValue
        }

        /// The event came with a password.
        public static let hasSecret = Flags(rawValue: 1)
        /// The password must be changed at the next login.
        public static let temporary = Flags(rawValue: 2)
    }

    /// The sender's id; in clear on disk.
    public var id: String
    /// Keyed hash of the event as it was received; of one with a secret, the second half is the secret's mark.
    public var mac: Hash128
    public var kind: EventKind
    public var received: Timestamp
    /// The name of the source that sent it.
    public var source: String
    public var flags: Flags
    /// The event without its secret, sealed.
    public var body: [UInt8]
    /// The password, sealed; `nil` if there is none.
    public var secret: [UInt8]?
    /// Comes back with the committed event, so that nobody has to open and parse the body again; not stored.
    public var context: (any Sendable)?

    public init(
        id: String, mac: Hash128, kind: EventKind, received: Timestamp, source: String, flags: Flags = [],
        body: [UInt8], secret: [UInt8]? = nil, context: (any Sendable)? = nil
    ) {
        self.id = id
        self.mac = mac
        self.kind = kind
        self.received = received
        self.source = source
        self.flags = flags
        self.body = body
        self.secret = secret
        self.context = context
    }
}

/// An event that is on disk, fsynced.
public struct CommittedEvent: Sendable {
    /// Its number: one more than its predecessor's, without gaps, for the journal's whole life.
    public let sequence: Int64
    public let record: EventRecord
}

/// Hears of every event that has become durable.
public protocol CommitObserver: AnyObject, Sendable {
    /// Called once per commit on the writer's thread, after the senders were answered; must return soon.
    func committed(_ events: [CommittedEvent])
}
