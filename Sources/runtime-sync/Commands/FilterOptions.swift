internal import ArgumentParser
internal import Control
internal import Delivery
internal import EventModel
internal import FoundationEssentials
internal import HTTPTypes

/// `--provider`, `--state`, `--reason` and `--kind`: which deliveries a command is for. All that are given must be true.
struct FilterOptions: ParsableArguments {
    @Option(help: "Only this provider's.") var provider: String?
    @Option(help: "Only those that wait, or are dead: waiting or dead.") var state: String?
    @Option(help: "Only dead letters with this reason, such as refused.") var reason: String?
    @Option(help: "Only this kind of event, such as password.updated.") var kind: String?

    func validate() throws {
        if let state, QueueFilter.State(rawValue: state) == nil {
            throw ValidationError("--state \(state) is no state; there are: waiting, dead")
        }
        if let kind, EventKind(name: kind) == nil {
            let kinds = EventKind.allCases.map(\.name).joined(separator: ", ")
            throw ValidationError("--kind \(kind) is no kind of event; there are: \(kinds)")
        }
        if reason != nil, state == "waiting" {
            throw ValidationError("--reason is one of dead letters; with --state waiting it finds nothing")
        }
    }

    /// Either one delivery is named, or some are described, or all are meant.
    func validate(delivery: Int64?, all: Bool) throws {
        guard [delivery != nil, !query.isEmpty, all].count(where: \.self) == 1 else {
            throw ValidationError(
                "say which: a delivery's number, or some of --provider, --state, --reason and --kind, or --all")
        }
    }

    /// Of which there may be some.
    var states: [QueueFilter.State] {
        if let state { return [QueueFilter.State(rawValue: state)].compactMap(\.self) }
        return reason == nil ? [.waiting, .dead] : [.dead]
    }

    /// The same for the daemon: `NAME=VALUE` each.
    var query: [String] {
        let given = [("provider", provider), ("state", state), ("reason", reason), ("kind", kind)]
        return given.compactMap { name, value in value.map { "\(name)=\(ControlClient.encoded($0))" } }
    }

    /// Sends a command for many, and prints what became of it.
    func call(_ command: String, over control: ControlOptions, words: (String) -> String) async throws {
        // A million deliveries take the daemon a while.
        let answer = try await control.call(
            .post, "/queue/\(command)?\(query.joined(separator: "&"))", seconds: 600)
        try control.show(answer, words: words)
    }
}

extension ControlOptions {
    /// Prints what became of a command for deliveries.
    func show(_ answer: [UInt8], words: (String) -> String) throws {
        if json { return print(String(decoding: answer, as: UTF8.self)) }
        let report = try JSONDecoder().decode(BulkReport.self, from: Data(answer))
        print(words("\(report.done) \(report.done == 1 ? "delivery" : "deliveries")"))
        for (reason, count) in report.refused.sorted(by: { $0.key < $1.key }) {
            print(forTerminal("\(count) not: \(reason)"))
        }
        for (_, why) in report.held.sorted(by: { $0.key < $1.key }) { print(forTerminal(why)) }
    }
}

extension QueueFilter {
    /// - Throws: if a value is none that there is.
    init(query: [String: String]) throws(ControlError) {
        self.init()
        provider = query["provider"]
        reason = query["reason"]
        if let text = query["state"] {
            state = State(rawValue: text)
            guard state != nil else { throw ControlError(status: 400, "state is waiting or dead") }
        }
        if let text = query["kind"] {
            kind = EventKind(name: text)
            guard kind != nil else {
                throw ControlError(status: 400, "kind is a kind of event, such as password.updated")
            }
        }
    }
}
