public import NIOCore
internal import Synchronization

/// The connections of a listener: no more than a number of them, and the way to end them all.
///
/// At the limit, the connection that has been idle longest goes for a new one, if it has been idle long enough to have
/// said something. While there is none, new ones wait in the kernel's backlog. Any thread.
public final class Connections: Sendable {
    private struct State {
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
    ///   - limit: connections at a time; a few more while they are being accepted, for the kernel gives several at once.
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

    /// Takes a connection in, which leaves by closing. On its loop.
    func enter(_ channel: any Channel) -> Connection {
        let connection = Connection(channel, self)
        let evicted = state.withLock { state in
            defer { state.open[connection.id] = connection }
            guard state.open.count >= limit, let (eldest, since) = Self.eldest(state), since + courtesy <= .now() else {
                return nil as Connection?
            }
            state.leaving[eldest.id] = state.open.removeValue(forKey: eldest.id)
            return eldest
        }
        channel.closeFuture.whenComplete { _ in self.leave(connection) }
        if let evicted { evicted.channel.eventLoop.execute { self.evict(evicted) } }
        return connection
    }

    private static func eldest(_ state: State) -> (connection: Connection, since: NIODeadline)? {
        state.open.values.lazy.compactMap { connection in connection.idleSince.map { (connection, $0) } }
            .min { $0.1 < $1.1 }
    }

    /// On the connection's loop, so nothing can arrive in between.
    private func evict(_ connection: Connection) {
        guard connection.idleSince != nil else {
            state.withLock { state in
                if let back = state.leaving.removeValue(forKey: connection.id) { state.open[back.id] = back }
            }
            return
        }
        guard connection.channel.isActive else { return }
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
            let since = Self.eldest(state)?.since
            guard state.leaving.count >= Self.mostLeaving || since.map({ $0 + courtesy > now }) ?? true else {
                return nil
            }
            state.resume = resume
            // Who is not idle now will not have been for long before that.
            return max((since ?? now) + courtesy, now + Self.pause)
        }
    }

    /// The least time between two looks.
    private static let pause = TimeAmount.milliseconds(10)

    /// Asks every connection to end once it has got what it is owed.
    func stop() {
        let all = state.withLock { state in
            state.isStopping = true
            state.resume = nil
            return Array(state.open.values) + Array(state.leaving.values)
        }
        for connection in all {
            connection.channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        }
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

    fileprivate init(_ channel: any Channel, _ owner: Connections) {
        self.channel = channel
        self.owner = owner
        since = Atomic(NIODeadline.now().uptimeNanoseconds)
    }

    var id: ObjectIdentifier { ObjectIdentifier(self) }

    fileprivate var idleSince: NIODeadline? {
        let since = since.load(ordering: .relaxed)
        return since == 0 ? nil : .uptimeNanoseconds(since)
    }

    /// Whether its listener stops: what comes now is not served. On its loop, from the moment that it is active.
    public var isStopping: Bool { owner.isStopping }

    /// Nothing is owed: it may be ended for another. On its loop.
    public func becomeIdle() {
        since.store(NIODeadline.now().uptimeNanoseconds, ordering: .relaxed)
    }

    /// A request is complete, and its answer is owed. On its loop.
    public func becomeBusy() {
        since.store(0, ordering: .relaxed)
    }
}
