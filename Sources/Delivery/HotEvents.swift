internal import EventModel
internal import Journal

/// The latest events that deliveries wait for, in memory, still sealed.
struct HotEvents {
    /// An event with what was read of it.
    final class Event {
        let id: String
        let header: EventHeader
        let body: [UInt8]
        fileprivate(set) var secret: [UInt8]?
        /// How many deliveries have not ended.
        fileprivate var uses = 0

        init(id: String, header: EventHeader, body: [UInt8], secret: [UInt8]?) {
            self.id = id
            self.header = header
            self.body = body
            self.secret = secret
        }
    }

    private var events: [Int64: Event] = [:]
    private var oldest: Int64 = 0
    private var newest: Int64 = -1
    private var bytes = 0

    /// So many are kept at most.
    static let capacity: Int64 = 16_384
    /// So many bytes of bodies are kept at most: 16 MiB.
    static let byteCapacity = 16 << 20

    var count: Int { events.count }

    subscript(_ sequence: Int64) -> Event? {
        events[sequence]
    }

    /// Takes in the event that follows all others, for as long as deliveries use it.
    mutating func insert(_ event: Event, sequence: Int64) {
        if events.isEmpty { oldest = sequence }
        newest = sequence
        bytes += event.body.count
        events[sequence] = event
        while oldest <= newest, oldest <= newest - Self.capacity || bytes > Self.byteCapacity {
            remove(oldest)
            oldest += 1
        }
    }

    /// A delivery of the event waits.
    mutating func retain(_ sequence: Int64) {
        events[sequence]?.uses += 1
    }

    /// A delivery of the event has ended.
    mutating func release(_ sequence: Int64) {
        guard let event = events[sequence] else { return }
        event.uses -= 1
        removeUnused(sequence)
    }

    /// Lets the event go if no delivery uses it.
    mutating func removeUnused(_ sequence: Int64) {
        if let event = events[sequence], event.uses <= 0 { remove(sequence) }
    }

    /// The delivery that needed it has ended.
    mutating func forgetSecret(of sequence: Int64) {
        events[sequence]?.secret = nil
    }

    private mutating func remove(_ sequence: Int64) {
        bytes -= events.removeValue(forKey: sequence)?.body.count ?? 0
    }
}
