internal import ArgumentParser
internal import Control
internal import Delivery
internal import FoundationEssentials
internal import HTTPTypes

struct Explain: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "What is known of a user, and what each provider does about it.")

    @OptionGroup var control: ControlOptions
    @Option(help: "The Keycloak installation: `source.instance` of its events.") var instance: String
    @Option(help: "The realm's id.") var realm: String
    @Argument(help: "The user's id in the realm.") var user: String

    @Flag(name: .long, help: "Leave attribute values out: for a help desk.") var noValues = false

    func run() async throws {
        let query = "instance=\(ControlClient.encoded(instance))&realm=\(ControlClient.encoded(realm))"
        var answer = try await control.call(.get, "/explain?\(query)&user=\(ControlClient.encoded(user))")
        if noValues { answer = try Self.withoutValues(answer) }
        try control.show(answer, as: SubjectReport.self) { report in
            print(facts(report))
            return Table(
                headings: ["PROVIDER", "DECISION", "EXTERNAL ID", "ACCOUNT", "WAITING"],
                rows: report.providers.map { provider in
                    [
                        provider.provider, provider.decision, provider.externalID ?? "-", provider.account ?? "-",
                        provider.waiting.map { "\($0.kind) (\($0.state), attempt \($0.attempt))" }
                            .joined(separator: ", "),
                    ]
                }, whenEmpty: "no provider is configured")
        }
    }

    private func facts(_ report: SubjectReport) -> String {
        func list(_ values: [String]?) -> String {
            guard let values else { return "unknown" }
            return values.isEmpty ? "absent" : values.map(forTerminal).joined(separator: ", ")
        }
        let newest = report.newest.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
        return """
            user \(forTerminal(report.user)) of realm \(forTerminal(report.realm)) at \(forTerminal(report.instance))
              sync enabled: \(list(report.syncEnabled))
              user type:    \(list(report.userType))
              external id:  \(list(report.attributeExternalID))
              newest:       \(newest.isEmpty ? "-" : newest)
              not captured: \(report.notCapturedSince.map { "since \($0)" } ?? "-")

            """
    }

    /// The same report, in which `set` stands for every value, and the targets' own words are left out.
    static func withoutValues(_ answer: [UInt8]) throws -> [UInt8] {
        var report = try JSONDecoder().decode(SubjectReport.self, from: Data(answer))
        func set(_ values: [String]?) -> [String]? { values.map { $0.isEmpty ? [] : ["set"] } }
        report.syncEnabled = set(report.syncEnabled)
        report.userType = set(report.userType)
        report.attributeExternalID = set(report.attributeExternalID)
        for index in report.providers.indices {
            report.providers[index].externalID = report.providers[index].externalID.map { _ in "set" }
            report.providers[index].account = report.providers[index].account.map { _ in "set" }
            for place in report.providers[index].waiting.indices {
                report.providers[index].waiting[place].detail = nil
            }
        }
        return try ControlRoutes.json(report)
    }
}
