internal import ArgumentParser
internal import Control
internal import Delivery

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
        let answer = try await control.call(.get, "/explain?\(query)&user=\(ControlClient.encoded(user))")
        try control.show(answer, as: SubjectReport.self) { report in
            if !control.json { print(facts(report)) }
            return Table(
                headings: ["PROVIDER", "DECISION", "EXTERNAL ID", "ACCOUNT", "WAITING"],
                rows: report.providers.map { provider in
                    [
                        provider.provider, provider.decision, shown(provider.externalID), shown(provider.account),
                        provider.waiting.map { "\($0.kind) (\($0.state), attempt \($0.attempt))" }
                            .joined(separator: ", "),
                    ]
                }, whenEmpty: "no provider is configured")
        }
    }

    private func facts(_ report: SubjectReport) -> String {
        func list(_ values: [String]?) -> String {
            guard let values else { return "unknown" }
            return values.isEmpty ? "absent" : noValues ? "set" : values.joined(separator: ", ")
        }
        let newest = report.newest.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
        return """
            user \(report.user) of realm \(report.realm) at \(report.instance)
              sync enabled: \(list(report.syncEnabled))
              user type:    \(list(report.userType))
              external id:  \(list(report.attributeExternalID))
              newest:       \(newest.isEmpty ? "-" : newest)
              not captured: \(report.notCapturedSince.map { "since \($0)" } ?? "-")

            """
    }

    private func shown(_ value: String?) -> String {
        value.map { noValues ? "set" : $0 } ?? "-"
    }
}
