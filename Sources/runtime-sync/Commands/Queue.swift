internal import ArgumentParser
internal import Control
internal import Delivery
internal import HTTPTypes

struct Queue: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Deliveries that wait, and dead letters.",
        subcommands: [List.self, Show.self, Retry.self, Drop.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "What waits and what is dead, the oldest first.")

        @OptionGroup var control: ControlOptions
        @Option(help: "Only this provider's.") var provider: String?
        @Option(help: "At most so many of each.") var limit = 100

        func run() async throws {
            let filter = provider.map { "&provider=\(ControlClient.encoded($0))" } ?? ""
            try await control.warnOfWant()
            let answer = try await control.call(.get, "/queue?limit=\(limit)\(filter)")
            try control.show(answer, as: [DeliveryReport].self) { Table(deliveries: $0) }
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
            abstract: "Try a waiting delivery now, or a dead letter again.",
            discussion: "A dead letter goes under a new idempotency key: the target is to carry it out again.")

        @OptionGroup var control: ControlOptions
        @Argument var delivery: Int64

        func run() async throws {
            _ = try await control.call(.post, "/queue/\(delivery)/retry")
        }
    }

    struct Drop: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give a waiting delivery or a dead letter up; its password is destroyed.")

        @OptionGroup var control: ControlOptions
        @Argument var delivery: Int64

        func run() async throws {
            _ = try await control.call(.delete, "/queue/\(delivery)")
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
