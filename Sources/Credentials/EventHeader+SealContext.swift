public import EventModel

extension EventHeader {
    /// The context in which this event's secret is sealed.
    public var secretContext: SealContext {
        SealContext(
            event: id, subject: subject,
            version: version.map { Version(at: $0.at, node: $0.node, sequence: $0.sequence, receipt: 0) })
    }
}
