internal import ArgumentParser
internal import Control
internal import Delivery
internal import FoundationEssentials
internal import HTTPTypes

struct Queue: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Deliveries that wait, and dead letters.",
        subcommands: [List.self, Show.self, Retry.self, Drop.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "What waits and what is dead, the oldest first.")

        @OptionGroup var control: ControlOptions
        @OptionGroup var filter: FilterOptions
        @Option(help: "At most so many that wait, and so many that are dead.") var limit = 100

        func validate() throws {
            guard limit >= 1 else { throw ValidationError("--limit is a whole number, 1 or more") }
        }

        func run() async throws {
            try await control.warnOfWant()
            var list = control.json ? DeliveryListing.json() : .table()
            var (shown, isCut) = (0, false)
            for state in filter.states {
                var (left, after) = (limit, nil as Int64?)
                repeat {
                    let part = try await part(state, after: after, limit: min(left, QueueList.sizes.upperBound))
                    try list.print(part.deliveries)
                    shown += part.deliveries.count
                    left -= part.deliveries.count
                    after = part.next
                } while left > 0 && after != nil
                isCut = isCut || after != nil
            }
            list.end()
            if isCut { try await tellOfMore(shown: shown) }
        }

        private func part(_ state: QueueFilter.State, after: Int64?, limit: Int) async throws -> QueueList {
            var filter = filter
            filter.state = state.rawValue
            let query = ["limit=\(limit)"] + filter.query + (after.map { ["after=\($0)"] } ?? [])
            let answer = try await control.call(.get, "/queue?\(query.joined(separator: "&"))")
            return try JSONDecoder().decode(QueueList.self, from: Data(answer))
        }

        private func tellOfMore(shown: Int) async throws {
            let answer = try await control.call(.get, "/queue/count?\(filter.query.joined(separator: "&"))")
            let all = try JSONDecoder().decode(QueueCount.self, from: Data(answer))
            let more = all.waiting + all.dead - shown
            guard more > 0 else { return }
            printError(
                "\(more) more: \(all.waiting) wait and \(all.dead) are dead letters; "
                    + "--limit \(max(all.waiting, all.dead)) shows all, --provider, --state, --reason and --kind fewer")
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "One delivery.")

        @OptionGroup var control: ControlOptions
        @Argument var delivery: Int64

        func run() async throws {
            let answer = try await control.call(.get, "/queue/\(delivery)")
            try control.show(answer, as: DeliveryReport.self) { report in
                Table(
                    headings: ["FIELD", "VALUE"],
                    rows: [
                        ["id", "\(report.id)"], ["provider", report.provider], ["kind", report.kind],
                        ["event", report.event], ["user", report.user], ["received", report.received],
                        ["state", report.state], ["attempts", "\(report.attempt)"], ["due", report.due ?? "-"],
                        ["reason", report.reason ?? "-"], ["detail", report.detail ?? "-"],
                        ["password", report.hasSecret.map { $0 ? "kept, sealed" : "gone" } ?? "-"],
                    ])
            }
        }
    }

    struct Retry: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Try waiting deliveries now, and dead letters again.",
            discussion: """
                A dead letter goes under a new idempotency key: the target is to carry it out again. Several go one after \
                the other, at most 100 a second to each provider. A provider that is held back is asked at once; what \
                keeps its deliveries from going is told.
                """)

        @OptionGroup var control: ControlOptions
        @OptionGroup var filter: FilterOptions
        @Flag(help: "Every one that waits or is dead.") var all = false
        @Argument(help: "One delivery; or an option says which.") var delivery: Int64?

        func validate() throws { try filter.validate(delivery: delivery, all: all) }

        func run() async throws {
            let words = { (many: String) in "\(many) to be tried again" }
            if let delivery {
                try control.show(try await control.call(.post, "/queue/\(delivery)/retry"), words: words)
            } else {
                try await filter.call("retry", over: control, words: words)
            }
        }
    }

    struct Drop: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give waiting deliveries and dead letters up; their passwords are destroyed.")

        @OptionGroup var control: ControlOptions
        @OptionGroup var filter: FilterOptions
        @Flag(help: "Every one that waits or is dead.") var all = false
        @Argument(help: "One delivery; or an option says which.") var delivery: Int64?

        func validate() throws { try filter.validate(delivery: delivery, all: all) }

        func run() async throws {
            if let delivery {
                _ = try await control.call(.delete, "/queue/\(delivery)")
            } else {
                try await filter.call("drop", over: control) { "\($0) dropped" }
            }
        }
    }
}
