public import CRuntimeSync
internal import RuntimeSyncPlugin

/// The library's one exported function: `rts_plugin_entry` in `runtime_sync.h`.
@c(runtime_sync_plugin)
public func entry(_ host: UnsafePointer<rts_host>?) -> UnsafePointer<rts_plugin>? {
    pluginTable(host, offering: [.check, .verifyPassword, .readRecord]) { host, start in
        try LDAPPasswordProvider(host: host, start: start)
    }
}
