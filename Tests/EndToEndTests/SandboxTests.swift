import Delivery
import Installations
import TargetServers
import Testing

extension `End to end` {
    @Suite struct `In every sandbox` {
        @Test(arguments: [1, 2, 4])
        func `a password is delivered where the kernel has Landlock ABI`(_ abi: Int) async throws {
            let directory = try OpenLDAP(entries: OpenLDAP.account("u1"))
            let workforce = try HTTPReceiver()
            let installation = try Installation()
            try installation.add(directory)
            try installation.add(workforce)
            try await installation.start(environment: ["RUNTIME_SYNC_PLUGINS_LANDLOCK_ABI_CAP=\(abi)"])
            try installation.post(Event(password: "one secret"))
            _ = try await workforce.requests(1)
            try await installation.settled(1)
            #expect(directory.bind(OpenLDAP.name("u1"), password: "one secret") == 0)
            for status in try installation.providers() {
                #expect(status.landlockABI == UInt32(abi))
                #expect(Set(status.layers ?? []).isSuperset(of: ["seccomp"]), "\(status.layers ?? [])")
                #expect(status.layers?.contains { $0.contains("landlock") } == true, "\(status.layers ?? [])")
            }
            let list = try await installation.run("providers", "list")
            #expect(list.output.contains("landlock \(abi)"))
        }
    }
}
