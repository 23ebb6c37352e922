internal import EventModel
internal import Journal

/// The latest events, in memory, still sealed.
struct HotEvents {
    /// An event with what was read of it.
    struct Event {
        var id: String
        var header: EventHeader
        var body: [UInt8]
        var secret: [UInt8]?
    }

    private var events: [Int64: Event] = [:]
    private var oldest: Int64 = 0
    private var newest: Int64 = -1
    private var bytes = 0

    /// So many are kept at most.
    static let capacity: Int64 = 16_384
    /// So many bytes of bodies are kept at most: 16 MiB.
    static let byteCapacity = 16 << 20

    subscript(_ sequence: Int64) -> Event? {
        events[sequence]
    }

    mutating func insert(_ event: CommittedEvent, header: EventHeader) {
        if events.isEmpty { oldest = event.sequence }
        newest = event.sequence
        bytes += event.record.body.count
        events[event.sequence] = Event(
            id: event.record.id, header: header, body: event.record.body, secret: event.record.secret)
        while oldest <= newest, oldest <= newest - Self.capacity || bytes > Self.byteCapacity {
            bytes -= events.removeValue(forKey: oldest)?.body.count ?? 0
            oldest += 1
        }
    }

    /// The delivery that needed it has ended.
    mutating func forgetSecret(of sequence: Int64) {
        events[sequence]?.secret = nil
    }
}
