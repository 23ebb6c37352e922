public import EventModel

/// What the dispatcher wants written: all of it becomes durable together, or none.
///
/// Several of them, and the events that wait, share one transaction; within it they count in the order in which they
/// were submitted, and the elements of an array in the order of the array. A commit of changes alone is not fsynced at
/// once: it survives `kill -9`, while a power cut may undo up to a second of it, and deliveries are then repeated.
public struct JournalChanges: Sendable {
    public var deliveries: [DeliveryChange] = []
    /// Events whose secret no delivery needs any more.
    public var erasedSecrets: [Int64] = []
    /// New subjects, and newer states of known ones.
    public var subjects: [SubjectRow] = []
    public var bindings: [BindingChange] = []
    public var deadLetters: [DeadLetterChange] = []
    /// What is added to each counter.
    public var counters: [CounterKey: Int64] = [:]
    public var dataKeys: [DataKeyChange] = []
    /// The last event whose deliveries have all been made.
    public var fannedOutThrough: Int64?
    /// The last event that the subjects' states contain.
    public var foldedThrough: Int64?
    /// What the next start is to know of the wall clock.
    public var clock: ClockWatch.Memory?
    /// Events that nobody needs any more, with what secrets they have left. The newest event of all always stays: it
    /// holds the place of the sequence.
    public var endedEvents: [ClosedRange<Int64>] = []
    /// Called on the writer's thread when the changes are committed; must return soon.
    public var onCommit: (@Sendable (CommittedChanges) -> Void)?

    public init() {}

    /// How much writing it is, roughly, in rows.
    var weight: Int {
        deliveries.count + erasedSecrets.count + subjects.count + bindings.count + deadLetters.count + counters.count
            + dataKeys.count + endedEvents.count + (fannedOutThrough == nil ? 0 : 1) + (foldedThrough == nil ? 0 : 1)
            + (clock == nil ? 0 : 1)
    }
}

/// What became of changes.
public struct CommittedChanges: Sendable {
    /// Bindings that were left out, because the account is bound to another subject already: those of all the changes
    /// that shared the transaction.
    public let refusedBindings: [Binding]
}

/// A delivery that has not ended.
public struct DeliveryRow: Hashable, Sendable {
    public var id: DeliveryKey
    /// The subject's number; 0 if the event has none.
    public var subject: Int64
    /// The number of its kind.
    public var kindNumber: Int64
    /// Not before this moment.
    public var due: Timestamp
    /// Attempts made.
    public var attempt: Int
    /// The dispatcher's; 0 at first.
    public var state: Int

    /// `nil` if no kind that this version knows has the number.
    public var kind: EventKind? { EventKind(number: kindNumber) }

    public init(
        id: DeliveryKey, subject: Int64, kind: EventKind, due: Timestamp = Timestamp(milliseconds: 0), attempt: Int = 0,
        state: Int = 0
    ) {
        self.init(
            id: id, subject: subject, kindNumber: kind.number, due: due, attempt: attempt, state: state)
    }

    init(id: DeliveryKey, subject: Int64, kindNumber: Int64, due: Timestamp, attempt: Int, state: Int) {
        self.id = id
        self.subject = subject
        self.kindNumber = kindNumber
        self.due = due
        self.attempt = attempt
        self.state = state
    }
}

/// What happens to a delivery. One that begins and ends within a commit never reaches the disk.
public enum DeliveryChange: Hashable, Sendable {
    case begin(DeliveryRow)
    case update(DeliveryKey, due: Timestamp, attempt: Int, state: Int)
    case end(DeliveryKey)
}

/// What is known of a subject.
public struct SubjectRow: Hashable, Sendable {
    /// Its number, given by the dispatcher: 1 and up.
    public var number: Int64
    /// Keyed hash of its canonical key.
    public var key: Hash128
    /// The dispatcher's, sealed.
    public var state: [UInt8]

    public init(number: Int64, key: Hash128, state: [UInt8]) {
        self.number = number
        self.key = key
        self.state = state
    }
}

/// Which account of a provider belongs to which subject.
public struct Binding: Hashable, Sendable {
    public var slot: Int
    public var subject: Int64
    /// Keyed hash of the account's stable id; no other subject of the provider has it.
    public var account: Hash128
    /// Keyed hash of the external id, as it was when the binding was made.
    public var external: Hash128
    /// The dispatcher's, sealed.
    public var state: [UInt8]
    public var at: Timestamp

    public init(
        slot: Int, subject: Int64, account: Hash128, external: Hash128, state: [UInt8], at: Timestamp
    ) {
        self.slot = slot
        self.subject = subject
        self.account = account
        self.external = external
        self.state = state
        self.at = at
    }
}

/// What happens to a binding.
public enum BindingChange: Hashable, Sendable {
    /// Makes it, or replaces the one of the same slot and subject. Left out if the account is another subject's.
    case put(Binding)
    case remove(slot: Int, subject: Int64)
}

/// A delivery that ended badly and waits for people.
public struct DeadLetter: Hashable, Sendable {
    public var id: DeliveryKey
    public var subject: Int64
    /// The number of its kind.
    public var kindNumber: Int64
    public var at: Timestamp
    /// Attempts made.
    public var attempt: Int
    /// How the last one ended: an outcome's name, or the dispatcher's own word.
    public var reason: String
    /// The target's own words, sealed.
    public var detail: [UInt8]
    /// Which idempotency key it had: 0 at first, one more for each manual retry.
    public var generation: Int

    /// `nil` if no kind that this version knows has the number.
    public var kind: EventKind? { EventKind(number: kindNumber) }

    public init(
        id: DeliveryKey, subject: Int64, kind: EventKind, at: Timestamp, attempt: Int, reason: String,
        detail: [UInt8], generation: Int = 0
    ) {
        self.init(
            id: id, subject: subject, kindNumber: kind.number, at: at, attempt: attempt, reason: reason,
            detail: detail, generation: generation)
    }

    init(
        id: DeliveryKey, subject: Int64, kindNumber: Int64, at: Timestamp, attempt: Int, reason: String,
        detail: [UInt8], generation: Int
    ) {
        self.id = id
        self.subject = subject
        self.kindNumber = kindNumber
        self.at = at
        self.attempt = attempt
        self.reason = reason
        self.detail = detail
        self.generation = generation
    }
}

/// What happens to a dead letter.
public enum DeadLetterChange: Hashable, Sendable {
    /// Makes it, or replaces the one of the same delivery.
    case put(DeadLetter)
    case remove(DeliveryKey)
}

/// Names a counter that outlives restarts.
public struct CounterKey: Hashable, Sendable {
    /// In the place of a provider's slot: what is counted for the daemon as a whole.
    public static let daemon = -1

    public var slot: Int
    public var name: String

    public init(slot: Int, name: String) {
        self.slot = slot
        self.name = name
    }
}

/// A data key, wrapped; the journal does not look inside.
public struct DataKeyRow: Hashable, Sendable {
    public var id: UInt32
    public var purpose: UInt8
    public var ringKey: UInt32
    public var created: Timestamp
    public var wrapped: [UInt8]

    public init(id: UInt32, purpose: UInt8, ringKey: UInt32, created: Timestamp, wrapped: [UInt8]) {
        self.id = id
        self.purpose = purpose
        self.ringKey = ringKey
        self.created = created
        self.wrapped = wrapped
    }
}

/// What happens to a data key.
public enum DataKeyChange: Hashable, Sendable {
    case put(DataKeyRow)
    case remove(UInt32)
}
