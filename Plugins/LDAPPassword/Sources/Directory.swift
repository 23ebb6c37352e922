internal import LDAPDecisions
internal import RuntimeSyncPlugin

/// What it takes to reach the directory: the settings, and the descriptors that stand for its secrets and files.
struct Directory: Sendable {
    let settings: LDAPSettings
    /// Holds the service account's password; read at each bind and wiped, never kept.
    let bindPassword: Int32
    /// Holds the certificates of the authorities, PEM; there whenever TLS is used.
    let authorities: Int32?
    let host: PluginHost
}
