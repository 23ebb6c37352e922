internal import ArgumentParser
internal import Control
internal import Delivery
internal import FoundationEssentials
internal import HTTPTypes

struct Providers: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The providers of a running daemon.", subcommands: [List.self, Pause.self, Resume.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "How each provider and its worker stand.")

        @OptionGroup var control: ControlOptions

        func run() async throws {
            try await control.warnOfWant()
            let answer = try await control.call(.get, "/providers")
            try control.show(answer, as: [ProviderStatus].self) { providers in
                Table(
                    headings: [
                        "PROVIDER", "STATE", "WAITING", "IN FLIGHT", "DELIVERED", "DEAD", "WORKER", "RESTARTS",
                        "SANDBOX",
                        "REASON",
                    ],
                    rows: providers.map { provider in
                        [
                            provider.report.name, provider.report.state, "\(provider.report.waiting)",
                            "\(provider.report.inFlight)", "\(provider.report.counters["delivered"] ?? 0)",
                            "\(provider.report.counters["dead"] ?? 0)", provider.worker ?? "-", "\(provider.restarts)",
                            provider.layers.map {
                                "landlock \(provider.landlockABI ?? 0), \($0.joined(separator: " "))"
                            }
                                ?? "-",
                            Self.reason(provider),
                        ]
                    }, whenEmpty: "no provider is configured")
            }
        }

        private static func reason(_ provider: ProviderStatus) -> String {
            let isKnown = provider.report.state != ProviderReport.notInSettings
            let reason = isKnown ? provider.report.reason : provider.report.wordsWithoutSettings
            let why = reason.isEmpty ? provider.lastLoss : reason
            let unreadable = provider.report.unreadable.sorted { $0.key < $1.key }
                .map { "not readable in the journal: \($0.value) \($0.key)" }
            return ([provider.want?.words, why, provider.report.nothingExpires].compactMap(\.self) + unreadable)
                .joined(separator: "; ")
        }
    }

    struct Pause: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Hold a provider's deliveries back until `resume`; the daemon's restarts do not end it.")

        @OptionGroup var control: ControlOptions
        @Argument var provider: String

        func run() async throws {
            try await control.tell("pause", provider)
        }
    }

    struct Resume: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Let a paused provider's deliveries go.")

        @OptionGroup var control: ControlOptions
        @Argument var provider: String

        func run() async throws {
            try await control.tell("resume", provider)
        }
    }
}

extension ControlOptions {
    /// Sends a command for a provider, and prints how it stands then.
    fileprivate func tell(_ command: String, _ provider: String) async throws {
        let answer = try await call(.post, "/providers/\(ControlClient.encoded(provider))/\(command)")
        if json { return print(String(decoding: answer, as: UTF8.self)) }
        print(forTerminal(try JSONDecoder().decode(ProviderReport.self, from: Data(answer)).words))
    }
}
