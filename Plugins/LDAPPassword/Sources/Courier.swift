internal import Glibc
internal import LDAPDecisions
internal import RuntimeSyncPlugin

/// What the courier is asked to do.
enum CourierOrder: Sendable {
    case submit(Request)
    case cancel(UInt64)
    /// Another connection was just made: the server is there.
    case reachable
    case stop
}

/// Carries requests to the directory over one connection, many at a time. It lives on a thread of its own, which sleeps
/// until an order, an answer or a deadline comes.
///
/// What to do is decided elsewhere: ``ConnectionState`` about the connection, ``DeliveryCourse`` about each request.
struct Courier {
    /// A request whose answer is awaited.
    private struct Flight {
        let request: Request
        let deadline: UInt64
    }

    private let directory: Directory
    private let orders: Mailbox<CourierOrder>
    private let inspections: Mailbox<Inspection>
    private let lifeline: Lifeline

    private var state: ConnectionState
    private var cache = AccountCache()
    private var connection: Connection?
    /// Not begun yet.
    private var waiting: [Request] = []
    /// Begun, and their next step could not be sent because an earlier request is still going out.
    private var stalled: [(request: Request, step: Step)] = []
    /// By the number of the message that was sent.
    private var inFlight: [Int32: Flight] = [:]

    init(
        _ directory: Directory, orders: Mailbox<CourierOrder>, inspections: Mailbox<Inspection>, lifeline: Lifeline
    ) {
        self.directory = directory
        self.orders = orders
        self.inspections = inspections
        self.lifeline = lifeline
        state = ConnectionState(limit: directory.settings.inFlight)
    }

    private var now: UInt64 { directory.host.now }

    mutating func run() {
        while follow(orders.take()) {
            expire()
            advance()
            sleep()
            receive()
        }
        endAll(.stopping)
        connection = nil
    }

    /// - Returns: `false` if the courier is to stop.
    private mutating func follow(_ orders: [CourierOrder]) -> Bool {
        var goesOn = true
        for order in orders {
            switch order {
            case .submit(let request): waiting.append(request)
            case .cancel(let id): cancel(id)
            case .reachable: state.isReachable()
            case .stop: goesOn = false
            }
        }
        return goesOn
    }

    // MARK: Forward

    private mutating func advance() {
        while true {
            let outstanding = inFlight.count + stalled.count
            switch state.next(waiting: waiting.count, inFlight: outstanding, now: now) {
            case .wait:
                return resume()
            case .open:
                open()
            case .answer(let completion):
                answerWaiting(completion)
            case .send(let count):
                if isStalled { return resume() }
                let requests = waiting.prefix(count)
                waiting.removeFirst(requests.count)
                for request in requests {
                    let remembered = cache.account(for: request.course.query, now: now)
                    perform(request.course.begin(remembered: remembered, facts: facts), for: request)
                }
            case .close:
                connection = nil
                state.closed()
            }
        }
    }

    private var facts: ServerFacts { connection?.facts ?? ServerFacts() }

    private mutating func open() {
        let host = directory.host
        let server = directory.settings.server
        do {
            connection = try ConnectionOpening(directory: directory, lifeline: lifeline).authenticated()
            state.opened()
            host.count("connections")
            host.log(.info, "connected to \(server.host) port \(server.port) as \(directory.settings.bindDN)")
        } catch {
            host.count("connection_failures")
            host.log(.warning, error.completion.detail)
            answerWaiting(state.failed(error.completion, now: now, random: .random(in: 0...1)))
        }
    }

    private mutating func answerWaiting(_ completion: Completion) {
        for request in waiting { complete(request, completion) }
        waiting = []
    }

    /// Whether a request is half out. Nothing else is sent until the server has answered it: that it is out whole is
    /// known no sooner.
    private var isStalled: Bool { connection?.unfinished != nil || !stalled.isEmpty }

    /// Goes on with what had to wait.
    private mutating func resume() {
        if connection?.unfinished != nil { return }
        let again = stalled
        stalled = []
        for (request, step) in again { perform(step, for: request) }
    }

    private mutating func perform(_ step: Step, for request: Request) {
        switch step {
        case .finish(let completion):
            return complete(request, completion)
        case .report(let account, let values, let detail):
            return complete(
                request,
                Completion(.delivered, detail: detail, account: account.stableID?.text, record: record(values)))
        case .bind(let account):
            return inspections.post(.verify(request, account))
        case .locate, .confirm, .write:
            break
        }
        if isStalled { return stalled.append((request, step)) }
        switch send(step, for: request) {
        case .sent(let message):
            let timeout = directory.settings.operationTimeout
            inFlight[message] = Flight(request: request, deadline: min(request.deadline, now + timeout))
            if connection?.unfinished == message { directory.host.count("stalls") }
        case .busy:
            stalled.append((request, step))
        case .lost:
            request.course.withdraw()
            complete(request, request.course.interrupted(.connectionLost))
            lose()
        case .failed(let answer):
            complete(request, Completion(answer.code.outcome(.sending), detail: answer.detail("encoding the request")))
        }
    }

    private func send(_ step: Step, for request: Request) -> Connection.Sending {
        guard let connection else { return .lost }
        switch step {
        case .locate(let query, let attributes):
            return connection.search(query, attributes: attributes)
        case .confirm(let query):
            return connection.search(query, attributes: ["1.1"])
        case .write(let account, let condition):
            if case .profile(let attributes) = request.course.purpose {
                return connection.modify(account.name, attributes, condition: condition)
            }
            guard connection.mayCarrySecrets else { return .lost }
            let sending = request.withSecret { password in
                connection.facts.passwordByExtendedOperation
                    ? connection.setPassword(account.name, password)
                    : connection.modifyPassword(account.name, password, condition: condition)
            }
            if case .sent = sending { request.wipeSecret() }
            return sending ?? .lost
        case .bind, .report, .finish:
            return .lost
        }
    }

    // MARK: Back

    private mutating func receive() {
        while let connection {
            switch connection.receive() {
            case .nothing: return
            case .lost: return lose()
            case .answer(let answer):
                guard let flight = inFlight.removeValue(forKey: answer.message) else { continue }
                take(answer.search(hiding: flight.request.trace), for: flight.request)
            }
        }
    }

    private mutating func take(_ answer: SearchAnswer, for request: Request) {
        let step: Step
        switch request.course.stage {
        case .locating:
            step = request.course.located(answer, facts: facts)
            if let account = request.course.account { cache.store(account, for: request.course.query, now: now) }
        case .confirming:
            step = request.course.confirmed(answer, facts: facts)
        case .writing:
            step = request.course.written(answer.end)
        case .waiting:
            return
        }
        if case .finish(let completion) = step, completion.outcome != .delivered { cache.drop(request.course.query) }
        perform(step, for: request)
    }

    // MARK: What does not come back

    /// The connection is gone: every request on it ends, each by what it had sent.
    private mutating func lose() {
        connection = nil
        state.closed()
        end(inFlight.values.map(\.request), .connectionLost)
        inFlight = [:]
        endStalled(.connectionLost)
    }

    private mutating func expire() {
        let now = now
        for (message, flight) in inFlight where flight.deadline <= now {
            // A server that answers nothing in time may have forgotten the connection.
            retire()
            giveUp(message, flight.request, .timedOut)
        }
        if waiting.contains(where: { $0.deadline <= now }) {
            end(waiting.filter { $0.deadline <= now }, .timedOut)
            waiting.removeAll { $0.deadline <= now }
        }
        if stalled.contains(where: { $0.request.deadline <= now }) {
            // What stalls everybody is a server that reads nothing.
            lose()
        }
    }

    private mutating func cancel(_ id: UInt64) {
        if let index = waiting.firstIndex(where: { $0.id == id }) {
            end([waiting.remove(at: index)], .cancelled)
        } else if let (message, flight) = inFlight.first(where: { $0.value.request.id == id }) {
            if flight.request.course.isAmbiguous { retire() }
            giveUp(message, flight.request, .cancelled)
        } else if let index = stalled.firstIndex(where: { $0.request.id == id }) {
            let request = stalled.remove(at: index).request
            request.course.withdraw()
            end([request], .cancelled)
        }
        // Otherwise it has ended, or the inspector has it, whose work ends by itself and changes nothing.
    }

    private mutating func giveUp(_ message: Int32, _ request: Request, _ reason: Interruption) {
        guard inFlight.removeValue(forKey: message) != nil else { return }
        end([request], reason)
        if connection?.unfinished == message {
            // The rest of it will never be sent, and nothing else can be sent in its place.
            lose()
        } else {
            connection?.abandon(message)
        }
    }

    /// Sends nothing new on this connection. What could not be sent begins again on the next one.
    private mutating func retire() {
        state.retire()
        let requests = stalled.map(\.request)
        stalled = []
        for request in requests { request.course.withdraw() }
        waiting = requests + waiting
    }

    private mutating func endAll(_ reason: Interruption) {
        end(inFlight.values.map(\.request) + waiting, reason)
        inFlight = [:]
        waiting = []
        endStalled(reason)
    }

    private mutating func endStalled(_ reason: Interruption) {
        let requests = stalled.map(\.request)
        stalled = []
        for request in requests { request.course.withdraw() }
        end(requests, reason)
    }

    private mutating func end(_ requests: [Request], _ reason: Interruption) {
        for request in requests {
            cache.drop(request.course.query)
            complete(request, request.course.interrupted(reason))
        }
    }

    private func complete(_ request: Request, _ completion: Completion) {
        request.wipeSecret()
        directory.host.complete(request.id, completion)
    }

    // MARK: Sleep

    /// Sleeps until something happens. With nothing to do, that is until the next order, however long.
    private func sleep() {
        var deadline = UInt64.max
        for flight in inFlight.values { deadline = min(deadline, flight.deadline) }
        for request in waiting { deadline = min(deadline, request.deadline) }
        for (request, _) in stalled { deadline = min(deadline, request.deadline) }
        if isStalled { deadline = min(deadline, now + Self.look) }
        let now = now
        let timeout = deadline == .max ? -1 : Int32(clamping: max(deadline, now) - now)
        var entries = [pollfd(fd: orders.bell, events: Int16(POLLIN), revents: 0)]
        if let connection { entries.append(pollfd(fd: connection.descriptor, events: Int16(POLLIN), revents: 0)) }
        _ = poll(&entries, nfds_t(entries.count), timeout)
    }

    /// Milliseconds between two attempts to write the rest of a request that was too big for the socket.
    private static let look: UInt64 = 5
}

/// A record as the host wants it: a JSON object, attribute to array of strings.
private func record(_ values: [String: [String]]) -> String {
    String(decoding: JSON.object(values.mapValues { .array($0.map(JSON.string)) }).bytes, as: UTF8.self)
}
