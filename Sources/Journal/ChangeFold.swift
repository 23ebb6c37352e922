internal import EventModel

/// What remains to be written of the changes that share a transaction: a delivery that began and ended leaves nothing,
/// counters are added up, and of a subject's states the last one counts.
struct ChangeFold {
    /// What a transaction does about a delivery's row.
    enum RowChange: Hashable {
        /// It is not on disk yet, or was and is written anew.
        case write(DeliveryRow, isOnDisk: Bool)
        case update(due: Int64, attempt: Int, state: Int)
        case delete
    }

    private(set) var deliveries: [DeliveryKey: RowChange] = [:]
    /// The deliveries in the order in which they were first named, some of which may have nothing left to do.
    private(set) var deliveryOrder: [DeliveryKey] = []
    private(set) var subjects: [Int64: SubjectRow] = [:]
    private(set) var counters: [CounterKey: Int64] = [:]
    private(set) var erasedSecrets: [Int64] = []
    private(set) var bindings: [BindingChange] = []
    private(set) var deadLetters: [DeadLetterChange] = []
    private(set) var dataKeys: [DataKeyChange] = []
    private(set) var fannedOutThrough: Int64?
    private(set) var foldedThrough: Int64?
    private(set) var clock: ClockWatch.Memory?
    private(set) var endedEvents: [ClosedRange<Int64>] = []

    init(_ all: [JournalChanges]) {
        for changes in all { add(changes) }
    }

    /// Whether secrets may go.
    var isErasing: Bool { !erasedSecrets.isEmpty || !endedEvents.isEmpty }

    private mutating func add(_ changes: JournalChanges) {
        for change in changes.deliveries { add(change) }
        for subject in changes.subjects { subjects[subject.number] = subject }
        counters.merge(changes.counters, uniquingKeysWith: +)
        erasedSecrets += changes.erasedSecrets
        bindings += changes.bindings
        deadLetters += changes.deadLetters
        dataKeys += changes.dataKeys
        fannedOutThrough = changes.fannedOutThrough ?? fannedOutThrough
        foldedThrough = changes.foldedThrough ?? foldedThrough
        clock = changes.clock ?? clock
        endedEvents += changes.endedEvents
    }

    private mutating func add(_ change: DeliveryChange) {
        switch change {
        case .begin(let row):
            set(.write(row, isOnDisk: deliveries[row.id]?.isOnDisk ?? false), row.id)
        case .end(let id):
            let leavesNothing = deliveries[id].map { !$0.isOnDisk } ?? false
            set(leavesNothing ? nil : .delete, id)
        case .update(let id, let due, let attempt, let state):
            switch deliveries[id] {
            case .write(var row, let isOnDisk):
                row.due = due
                row.attempt = attempt
                row.state = state
                set(.write(row, isOnDisk: isOnDisk), id)
            case .update, nil:
                set(.update(due: due.milliseconds, attempt: attempt, state: state), id)
            case .delete:
                break
            }
        }
    }

    private mutating func set(_ change: RowChange?, _ id: DeliveryKey) {
        if deliveries[id] == nil, change != nil { deliveryOrder.append(id) }
        deliveries[id] = change
    }
}

extension ChangeFold.RowChange {
    /// Whether earlier transactions left a row.
    fileprivate var isOnDisk: Bool {
        switch self {
        case .write(_, let isOnDisk): isOnDisk
        case .update, .delete: true
        }
    }
}
