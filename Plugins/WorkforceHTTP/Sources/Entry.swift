public import CRuntimeSync
internal import RuntimeSyncPlugin

/// The plugin's one exported function; see `rts_plugin_entry`.
@c(runtime_sync_plugin)
public func entry(_ host: UnsafePointer<rts_host>?) -> UnsafePointer<rts_plugin>? {
    pluginTable(host, offering: [.check]) { try WorkforceProvider(host: $0, start: $1) }
}
