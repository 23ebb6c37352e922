import Credentials
import EventModel
import Journal
import TargetServers
import Testing

@testable import Intake

/// The same id with another password: told apart as long as somebody could read the password anyway, and no longer.
@Suite struct `A repeated password event` {
    private let folder: Folder
    private let ring: KeyRing
    private let journal: Journal
    private let noon = Timestamp(milliseconds: 1_800_014_400_000)

    init() throws {
        folder = try Folder()
        ring = try KeyRing.open(path: "\(folder.path)/key", now: noon)
        journal = try Journal(folder: "\(folder.path)/journal")
    }

    /// One with data keys of its own.
    private func gate() throws -> Gatekeeper {
        Gatekeeper(
            sources: [], reader: EnvelopeReader(),
            sealer: Sealer(keys: try DataKeys(ring: ring, stored: [], persist: { _ in })),
            bodyHash: KeyedHash(.body, ring: ring), idHash: KeyedHash(.eventID, ring: ring),
            seen: SeenEvents(window: 86_400_000), journal: journal,
            room: JournalRoom(clock: Door.now, logger: Door.quiet))
    }

    private func post(_ password: String, to gate: Gatekeeper, after milliseconds: Int64 = 0) -> String {
        var body = Array(event("e1", kind: "password.updated", password: password, time: noon).utf8)
        let fate = body.withUnsafeMutableBytes {
            gate.admit(
                $0, from: Door.source { $0.maximumAge = 86_400_000 }, now: noon + milliseconds, group: Nobody(),
                token: 0)
        }
        return switch fate {
        case .waits: "accepted"
        case .waitsForCopy, .duplicate: "duplicate"
        case .refused(let refusal): "\(refusal.status)"
        }
    }

    private func mac(_ gate: Gatekeeper) throws -> Hash128 {
        try #require(gate.seen.earlier(gate.idHash("kc\ne1"))).body
    }

    @Test func `is a conflict with another password, until the data key of the first is destroyed`() throws {
        let gate = try gate()
        #expect(post("one", to: gate) == "accepted")
        // Also in another hour, whose secrets have another key.
        for later in [0, 2 * 3_600_000] as [Int64] {
            #expect(post("one", to: gate, after: later) == "duplicate")
            #expect(post("two", to: gate, after: later) == "409")
        }
        gate.sealer.keys.forget(DataKeys.id(of: .secret, at: noon))
        #expect(post("one", to: gate, after: 3 * 3_600_000) == "duplicate")
        #expect(post("two", to: gate, after: 3 * 3_600_000) == "duplicate")
    }

    @Test func `leaves nothing against which a password could be tried with the key ring alone`() throws {
        let (one, two, again) = (try gate(), try gate(), try gate())
        #expect(post("one", to: one) == "accepted" && post("two", to: two) == "accepted")
        #expect(post("one", to: again) == "accepted")
        let (first, second, third) = (try mac(one), try mac(two), try mac(again))
        #expect(first[0] == second[0] && first[0] == third[0], "what the ring hashes does not hold the password")
        #expect(Set([first[1], second[1], third[1]]).count == 3, "what the data key hashes needs the data key")
    }
}

private final class Nobody: CommitGroup {
    func committed(_ results: [CommitResult]) {}
    func failed(_ tokens: [UInt64], _ failure: CommitFailure) {}
}
