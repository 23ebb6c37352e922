public import NIOCore
internal import Synchronization

/// The connections of a listener: no more than a number of them, and the way to end them all.
///
/// At the limit, a connection goes for a new one, if it has been idle long enough to have said something: of those that
/// nobody vouches for the one that has been idle longest; if there is none, of the others. While no connection can go,
/// new ones wait in the kernel's backlog. Any thread.
public final class Connections: Sendable {
    private struct State {
        /// From the moment that the kernel gave it: one that no loop has met yet can be lost as well.
        var open: [ObjectIdentifier: Connection] = [:]
        /// Told to go for others, and not gone yet.
        var leaving: [ObjectIdentifier: Connection] = [:]
        var isStopping = false
        var whenEmpty: CheckedContinuation<Void, Never>?
        var resume: (@Sendable () -> Void)?
    }

    private let limit: Int
    private let courtesy: TimeAmount
    private let onEviction: @Sendable (any Channel) -> Void
    private let state = Mutex(State())

    /// While so many are on their way out, no further one is accepted.
    private static let mostLeaving = 64

    /// - Parameters:
    ///   - limit: connections at a time, beside those that are on their way out.
    ///   - courtesy: so long a connection may be idle before it has to go for another. What it sends may be on its way.
    ///   - onEviction: is told of each connection that had to go for a new one; on its loop.
    public init(
        limit: Int, courtesy: TimeAmount = .seconds(1), onEviction: @escaping @Sendable (any Channel) -> Void = { _ in }
    ) {
        self.limit = limit
        self.courtesy = courtesy
        self.onEviction = onEviction
    }

    /// Whether the listener stops: what is accepted now is not served.
    public var isStopping: Bool { state.withLock { $0.isStopping } }

    /// Takes a connection in that was accepted. It leaves by closing, and until then nobody stops the loops.
    func accepted(_ channel: any Channel) {
        let connection = Connection(channel, self)
        let now = NIODeadline.now()
        let evicted = state.withLock { state in
            var evicted: [Connection] = []
            while state.open.count >= limit, let next = next(toLeave: state, now) {
                state.leaving[next.id] = state.open.removeValue(forKey: next.id)
                evicted.append(next)
            }
            state.open[connection.id] = connection
            return evicted
        }
        channel.closeFuture.whenComplete { _ in self.leave(connection) }
        for connection in evicted { connection.channel.eventLoop.execute { self.evict(connection) } }
    }

    /// The connection of a channel that was accepted and has not closed.
    func connection(of channel: any Channel) -> Connection? {
        state.withLock { $0.open[ObjectIdentifier(channel)] ?? $0.leaving[ObjectIdentifier(channel)] }
    }

    /// Who goes first if somebody has to go now.
    private func next(toLeave state: State, _ now: NIODeadline) -> Connection? {
        state.open.values.lazy
            .compactMap { connection in connection.idleSince.map { (connection, $0) } }
            .filter { $0.1 + self.courtesy <= now }
            .min { ($0.0.isVouchedFor ? 1 : 0, $0.1) < ($1.0.isVouchedFor ? 1 : 0, $1.1) }?.0
    }

    /// On the connection's loop, so nothing can arrive in between.
    private func evict(_ connection: Connection) {
        guard let since = connection.idleSince, since + courtesy <= .now() else {
            state.withLock { state in
                if let back = state.leaving.removeValue(forKey: connection.id) { state.open[back.id] = back }
            }
            return
        }
        guard connection.channel.isActive else { return connection.channel.close(promise: nil) }
        onEviction(connection.channel)
        connection.channel.close(promise: nil)
    }

    private func leave(_ connection: Connection) {
        let (whenEmpty, resume) = state.withLock { state in
            state.open[connection.id] = nil
            state.leaving[connection.id] = nil
            return (Self.isEmpty(state) ? state.whenEmpty.take() : nil, state.resume.take())
        }
        whenEmpty?.resume()
        resume?()
    }

    private static func isEmpty(_ state: State) -> Bool { state.open.isEmpty && state.leaving.isEmpty }

    // MARK: The listener

    /// When another connection may be accepted: `nil` for now. Otherwise the time to ask again; `resume` is called if one
    /// leaves before.
    func room(orElse resume: @escaping @Sendable () -> Void) -> NIODeadline? {
        state.withLock { state in
            guard !state.isStopping, state.open.count >= limit else { return nil }
            let now = NIODeadline.now()
            guard state.leaving.count >= Self.mostLeaving || next(toLeave: state, now) == nil else { return nil }
            state.resume = resume
            // Who is not idle now will not have been for long before that.
            let soonest = state.open.values.lazy.compactMap(\.idleSince).min() ?? now
            return max(soonest + courtesy, now + Self.pause)
        }
    }

    /// The least time between two looks.
    private static let pause = TimeAmount.milliseconds(10)

    /// Asks every connection to end once it has got what it is owed. One that has no handler to hear it yet finds
    /// ``isStopping``.
    func stop() {
        let all = state.withLock { state in
            state.isStopping = true
            state.resume = nil
            return Self.all(state)
        }
        for connection in all {
            connection.channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        }
    }

    /// Ends every connection, whatever it is owed.
    func cut() {
        for connection in state.withLock({ Self.all($0) }) { connection.channel.close(promise: nil) }
    }

    private static func all(_ state: State) -> [Connection] {
        Array(state.open.values) + Array(state.leaving.values)
    }

    /// Waits until the last connection has ended.
    func empty() async {
        await withCheckedContinuation { continuation in
            let isEmpty = state.withLock { state in
                if !Self.isEmpty(state) { state.whenEmpty = continuation }
                return Self.isEmpty(state)
            }
            if isEmpty { continuation.resume() }
        }
    }
}

/// One connection, as its listener sees it. It is idle at first.
public final class Connection: Sendable {
    let channel: any Channel
    private let owner: Connections
    /// Since when it is idle, in nanoseconds of the loops' clock; 0 while it is not.
    private let since: Atomic<UInt64>
    /// When it was last worth something.
    private let renewed: Atomic<UInt64>
    private let vouchedFor = Atomic(false)

    fileprivate init(_ channel: any Channel, _ owner: Connections) {
        self.channel = channel
        self.owner = owner
        let now = NIODeadline.now().uptimeNanoseconds
        since = Atomic(now)
        renewed = Atomic(now)
    }

    var id: ObjectIdentifier { ObjectIdentifier(channel) }

    fileprivate var idleSince: NIODeadline? {
        let since = since.load(ordering: .relaxed)
        return since == 0 ? nil : .uptimeNanoseconds(since)
    }

    fileprivate var isVouchedFor: Bool { vouchedFor.load(ordering: .relaxed) }

    /// Whether its listener stops: what comes now is not served. On its loop, from the moment that it is active.
    public var isStopping: Bool { owner.isStopping }

    /// Who is at the other end has shown who it is: only then is what it sends a reason to keep it. On its loop.
    public func vouch() {
        vouchedFor.store(true, ordering: .relaxed)
        renewed.store(NIODeadline.now().uptimeNanoseconds, ordering: .relaxed)
    }

    /// Nothing is owed: it may be ended for another. On its loop.
    public func becomeIdle() {
        since.store(renewed.load(ordering: .relaxed), ordering: .relaxed)
    }

    /// A request is complete, and its answer is owed. On its loop.
    public func becomeBusy() {
        since.store(0, ordering: .relaxed)
    }
}
