internal import Glibc
internal import TargetServers

/// `make demo`: a password changed in Keycloak, followed to a legacy LDAP and to a workforce system. Everything is real
/// but Keycloak, in whose name `runtime-sync send` signs the events.
@main
enum Demo {
    static func main() async {
        let interruption = Interruption()
        let stage = Stage()
        let story = Task { try await Story(stage).tell() }
        interruption.cancels(story)
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
