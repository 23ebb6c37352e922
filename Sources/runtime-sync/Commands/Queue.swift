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
        @Option(help: "At most so many that wait, and so many that are dead; 1 to 100000.") var limit = 100

        func validate() throws {
            guard QueueCount.limits.contains(limit) else {
                throw ValidationError("--limit is a whole number, 1 to 100000")
            }
        }

        func run() async throws {
            let query = filter.query
            try await control.warnOfWant()
            let answer = try await control.call(.get, "/queue?limit=\(limit)\(query.map { "&\($0)" }.joined())")
            try control.show(answer, as: [DeliveryReport].self) { Table(deliveries: $0) }
            let shown = try JSONDecoder().decode([DeliveryReport].self, from: Data(answer))
            // Fewer of both than asked for: there are no more.
            guard shown.count >= limit else { return }
            let count = try await control.call(.get, "/queue/count?\(query.joined(separator: "&"))")
            let all = try JSONDecoder().decode(QueueCount.self, from: Data(count))
            let more = all.waiting + all.dead - shown.count
            guard more > 0 else { return }
            let howToSeeAll = all.limitOfAll.map { "--limit \($0) shows all, " } ?? ""
            printError(
                "\(more) more: \(all.waiting) wait and \(all.dead) are dead letters; \(howToSeeAll)"
                    + "--provider, --state, --reason and --kind\(howToSeeAll.isEmpty ? " show" : "") fewer")
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

extension Table {
    init(deliveries: [DeliveryReport]) {
        self.init(
            headings: ["ID", "PROVIDER", "KIND", "USER", "STATE", "ATTEMPTS", "DUE", "REASON", "DETAIL"],
            rows: deliveries.map {
                [
                    "\($0.id)", $0.provider, $0.kind, $0.user.isEmpty ? "-" : $0.user, $0.state, "\($0.attempt)",
                    $0.due ?? "-", $0.reason ?? "-", $0.detail ?? "-",
                ]
            }, whenEmpty: "nothing waits, and there are no dead letters")
    }
}
