import CRuntimeSync
import Synchronization
import Testing

@testable import RuntimeSyncPlugin

@Suite struct `A plugin's table` {
    /// How many providers there are.
    private static let count = Mutex(0)

    private final class Quiet: Provider {
        init() { count.withLock { $0 += 1 } }
        deinit { count.withLock { $0 -= 1 } }

        func deliver(_ delivery: borrowing Delivery) {}
        func stop() {}
    }

    @Test func `keeps the provider from the start to the stop, and no longer`() throws {
        var host = rts_host()
        host.size = MemoryLayout<rts_host>.size
        host.abi_major = UInt32(RTS_ABI_MAJOR)
        try withUnsafePointer(to: host) { host in
            let table = try #require(pluginTable(host, offering: []) { _, _ in Quiet() }).pointee
            var (start, state) = (rts_start(), UnsafeMutableRawPointer?.none)
            #expect(table.start(&start, &state) == nil)
            #expect(Self.count.withLock { $0 } == 1)
            table.stop(state)
            #expect(Self.count.withLock { $0 } == 0)
        }
    }
}
