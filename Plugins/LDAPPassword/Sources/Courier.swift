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
        /// It asks again what a joint answer left out.
        let wasLeftOut: Bool
    }

    /// A request and what is to be confirmed for it.
    private typealias Asking = (request: Request, proof: AccountProof)

    /// Requests whose proofs were sent as one search.
    private struct JointFlight {
        let message: Int32
        let question: JointProof
        var asking: [Asking]
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
    /// To be confirmed together with whatever else comes while the last joint question is out: the busier it gets, the
    /// fewer questions a request costs.
    private var gathered: [Asking] = []
    private var joint: JointFlight?
    /// The attribute that names entries for ever at this server, once an entry has shown it.
    private var idAttribute: String?
    /// Questions sent since the host was last told, by the counter's name.
    private var asked: [String: Int64] = [:]

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
        let host = directory.host
        var isCalled = true
        while follow(isCalled ? orders.take() : []) {
            expire()
            advance()
            tellAsked()
            connection?.letGo()
            isCalled = sleep()
            host.together { receive() }
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
            let outstanding = inFlight.count + stalled.count + gathered.count + (joint?.asking.count ?? 0)
            switch state.next(waiting: waiting.count, inFlight: outstanding, now: now) {
            case .wait:
                resume()
                return confirmTogether()
            case .open:
                open()
            case .answer(let completion):
                answerWaiting(completion)
            case .send(let count):
                if isStalled {
                    resume()
                    return confirmTogether()
                }
                if count > 1 { connection?.hold() }
                let requests = waiting.prefix(count)
                waiting.removeFirst(requests.count)
                for request in requests {
                    perform(request.course.begin(known: known(request.course), facts: facts), for: request)
                }
            case .close:
                // A question that nobody waits for any more; the next connection counts its messages anew.
                joint = nil
                connection = nil
                state.closed()
            }
        }
    }

    /// Where the account should be.
    private mutating func known(_ course: DeliveryCourse) -> LocatedAccount? {
        if let idAttribute, let boundTo = course.boundTo,
            let account = directory.settings.accounts.account(
                named: course.query, boundTo: boundTo, attribute: idAttribute)
        {
            return account
        }
        return cache.account(for: course.query, boundTo: course.boundTo, now: now)
    }

    private var facts: ServerFacts { connection?.facts ?? ServerFacts() }

    private mutating func open() {
        let host = directory.host
        let server = directory.settings.server
        do {
            let opening = ConnectionOpening(directory: directory, lifeline: lifeline)
            connection = try opening.authenticated(until: patience)
            state.opened()
            host.count("connections")
            host.log(.info, "connected to \(server.host) port \(server.port) as \(directory.settings.bindDN)")
        } catch {
            host.count("connection_failures")
            host.log(.warning, error.completion.detail)
            answerWaiting(state.failed(error.completion, now: now, random: .random(in: 0...1)))
        }
    }

    /// How long a connection may be in the making. Cancels are not read meanwhile, and whoever waits has to be answered
    /// soon after its deadline: the host ends a plugin that leaves a cancel unanswered for 5 seconds.
    private var patience: UInt64 {
        guard let deadline = waiting.map(\.deadline).min(), deadline < .max - Self.overtime else { return .max }
        return deadline + Self.overtime
    }

    /// Milliseconds.
    private static let overtime: UInt64 = 2_000

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
        case .confirm(let proof) where proof.canBeJoined && facts.nameSearch != .useless:
            return gathered.append((request, proof))
        case .locate, .confirm, .write:
            break
        }
        if isStalled { return stalled.append((request, step)) }
        switch send(step, for: request) {
        case .sent(let message):
            let timeout = directory.settings.operationTimeout
            inFlight[message] = Flight(
                request: request, deadline: min(request.deadline, now + timeout), wasLeftOut: step.wasLeftOut)
            if connection?.unfinished == message { directory.host.count("stalls") }
            count(step)
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
        case .confirm(let proof):
            return connection.search(proof.query, attributes: ["1.1"])
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
            if case .sent = sending, !request.course.mayWriteAgain { request.wipeSecret() }
            return sending ?? .lost
        case .bind, .report, .finish:
            return .lost
        }
    }

    /// Asks for what was gathered, unless the last joint question is still out.
    private mutating func confirmTogether() {
        guard joint == nil, !gathered.isEmpty, !isStalled, let connection else { return }
        let asking = Array(gathered.prefix(JointProof.limit))
        let question = JointProof(
            asking.map(\.proof), below: directory.settings.accounts.base)
        let sending = connection.search(question.query, attributes: question.attributes, limit: asking.count + 1)
        if case .busy = sending { return }
        gathered.removeFirst(asking.count)
        switch sending {
        case .sent(let message):
            let deadline = now + directory.settings.operationTimeout
            joint = JointFlight(message: message, question: question, asking: asking, deadline: deadline)
            if connection.unfinished == message { directory.host.count("stalls") }
            asked["confirmations", default: 0] += 1
        case .lost:
            gathered = asking + gathered
            lose()
        case .failed, .busy:
            askOneByOne(asking)
        }
    }

    /// No joint question on this connection any more.
    private mutating func askOneByOne(_ asking: [Asking]) {
        connection?.facts.nameSearch = .useless
        let all = asking + gathered
        gathered = []
        for (request, proof) in all { perform(.confirm(proof), for: request) }
    }

    private mutating func count(_ step: Step) {
        switch step {
        case .locate: asked["searches", default: 0] += 1
        case .confirm: asked["confirmations", default: 0] += 1
        case .write, .bind, .report, .finish: break
        }
    }

    private mutating func tellAsked() {
        if asked.isEmpty { return }
        for (name, count) in asked { directory.host.count(name, count) }
        asked = [:]
    }

    // MARK: Back

    private mutating func receive() {
        while let connection {
            switch connection.receive() {
            case .nothing: return
            case .lost: return lose()
            case .answer(let answer):
                if let joint, joint.message == answer.message {
                    self.joint = nil
                    take(answer.search(hiding: nil), for: joint)
                    continue
                }
                guard let flight = inFlight.removeValue(forKey: answer.message) else { continue }
                let found = answer.search(hiding: flight.request.trace)
                if flight.wasLeftOut, found.confirms { namesAreLeftOut() }
                take(found, for: flight.request)
            }
        }
    }

    private mutating func take(_ answer: SearchAnswer, for joint: JointFlight) {
        guard let answers = joint.question.answers(answer, to: joint.asking.map(\.proof)) else {
            return askOneByOne(joint.asking)
        }
        if answers.count > 1 { connection?.hold() }
        for ((request, proof), answer) in zip(joint.asking, answers) {
            if let answer {
                connection?.facts.nameSearch.found()
                take(answer, for: request)
            } else {
                perform(.confirm(proof.leftOut), for: request)
            }
        }
    }

    /// A joint answer did not have an entry that is there.
    private mutating func namesAreLeftOut() {
        connection?.facts.nameSearch.leftOut()
        if facts.nameSearch == .useless { askOneByOne([]) }
    }

    private mutating func take(_ answer: SearchAnswer, for request: Request) {
        let step: Step
        switch request.course.stage {
        case .locating:
            step = request.course.located(answer, facts: facts)
            if let account = request.course.account { remember(account, request.course) }
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

    private mutating func remember(_ account: LocatedAccount, _ course: DeliveryCourse) {
        if let attribute = account.stableID?.attribute { idAttribute = attribute }
        cache.store(account, for: course.query, now: now)
    }

    // MARK: What does not come back

    /// The connection is gone: every request on it ends, each by what it had sent.
    private mutating func lose() {
        connection = nil
        state.closed()
        end(inFlight.values.map(\.request) + takeUnconfirmed(), .connectionLost)
        inFlight = [:]
        endStalled(.connectionLost)
    }

    /// Those that wait for a proof, asked for or not.
    private mutating func takeUnconfirmed() -> [Request] {
        defer {
            joint = nil
            gathered = []
        }
        return ((joint?.asking ?? []) + gathered).map(\.request)
    }

    private mutating func expire() {
        let now = now
        for (message, flight) in inFlight where flight.deadline <= now {
            // A server that answers nothing in time may have forgotten the connection.
            retire()
            giveUp(message, flight.request, .timedOut)
        }
        if let joint, joint.deadline <= now {
            retire()
            abandonJoint()
            end(joint.asking.map(\.request), .timedOut)
        }
        let late = ((joint?.asking ?? []) + gathered).map(\.request).filter { $0.deadline <= now }
        if !late.isEmpty {
            // Others still wait for the answer.
            joint?.asking.removeAll { $0.request.deadline <= now }
            gathered.removeAll { $0.request.deadline <= now }
            end(late, .timedOut)
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
        } else if let index = gathered.firstIndex(where: { $0.request.id == id }) {
            end([gathered.remove(at: index).request], .cancelled)
        } else if let index = joint?.asking.firstIndex(where: { $0.request.id == id }) {
            // The question stays: others wait for its answer, and it changes nothing.
            if let request = joint?.asking.remove(at: index).request { end([request], .cancelled) }
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

    private mutating func abandonJoint() {
        guard let message = joint?.message else { return }
        joint = nil
        if connection?.unfinished == message { lose() } else { connection?.abandon(message) }
    }

    /// Sends nothing new on this connection. What could not be sent begins again on the next one.
    private mutating func retire() {
        state.retire()
        let requests = stalled.map(\.request) + gathered.map(\.request)
        stalled = []
        gathered = []
        for request in requests { request.course.withdraw() }
        waiting = requests + waiting
    }

    private mutating func endAll(_ reason: Interruption) {
        end(inFlight.values.map(\.request) + takeUnconfirmed() + waiting, reason)
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
    ///
    /// - Returns: whether there may be orders.
    private func sleep() -> Bool {
        var deadline = UInt64.max
        for flight in inFlight.values { deadline = min(deadline, flight.deadline) }
        for request in waiting { deadline = min(deadline, request.deadline) }
        for (request, _) in stalled { deadline = min(deadline, request.deadline) }
        for (request, _) in gathered { deadline = min(deadline, request.deadline) }
        if let joint {
            deadline = min(deadline, joint.deadline)
            for (request, _) in joint.asking { deadline = min(deadline, request.deadline) }
        }
        if isStalled { deadline = min(deadline, now + Self.look) }
        let now = now
        let timeout = deadline == .max ? -1 : Int32(clamping: max(deadline, now) - now)
        var entries = [pollfd(fd: orders.bell, events: Int16(POLLIN), revents: 0)]
        if let connection { entries.append(pollfd(fd: connection.descriptor, events: Int16(POLLIN), revents: 0)) }
        _ = poll(&entries, nfds_t(entries.count), timeout)
        return entries[0].revents != 0
    }

    /// Milliseconds between two attempts to write the rest of a request that was too big for the socket.
    private static let look: UInt64 = 5
}

/// A record as the host wants it: a JSON object, attribute to array of strings.
private func record(_ values: [String: [String]]) -> String {
    String(decoding: JSON.object(values.mapValues { .array($0.map(JSON.string)) }).bytes, as: UTF8.self)
}
