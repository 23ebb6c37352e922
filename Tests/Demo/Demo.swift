internal import Glibc

/// `make demo`: a password changed in Keycloak, followed to a legacy LDAP and to a workforce system. Everything is real
/// but Keycloak, in whose name `runtime-sync send` signs the events.
@main
enum Demo {
    @MainActor static func main() async {
        let stage = Stage()
        let story = Task { try await Story(stage).tell() }
        let interruption = Interruption(cancelling: story)
        do {
            try await story.value
            stage.end("All of it held", isGood: true)
        } catch {
            stage.fail(interruption.hasHappened ? "interrupted" : "\(error)")
            stage.end("It did not hold", isGood: false)
            exit(interruption.hasHappened ? 130 : 1)
        }
    }
}
