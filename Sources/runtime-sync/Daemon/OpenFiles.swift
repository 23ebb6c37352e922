internal import Glibc
internal import Settings

/// How many files and connections this process may have open (RLIMIT_NOFILE).
enum OpenFiles {
    private static let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    /// What the daemon needs beside its connections: the journal's files, sockets that listen, what starts a worker.
    private static let base = 96
    /// What it needs for a provider: its worker's socket and log, and connections that are being made for it.
    private static let perProvider = 16

    /// Takes as many as the system allows; as many as it has if that fails.
    static func raise() {
        guard var limit = try? current(), limit.rlim_cur < limit.rlim_max else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(Self.resource, &limit)
    }

    /// - Throws: ``StartFailure`` if there are not enough for all that the settings allow. Call ``raise()`` before.
    static func check(_ settings: DaemonSettings, providers: Int) throws {
        let needed = base + settings.intake.maxConnections + perProvider * providers
        let allowed = try current().rlim_cur
        guard UInt64(needed) > UInt64(allowed) else { return }
        throw StartFailure(
            """
            intake.max_connections is \(settings.intake.maxConnections), for which \(needed) files may have to be open, and \
            this process may open \(allowed) (RLIMIT_NOFILE; with systemd, LimitNOFILE=): raise that limit, or lower the \
            setting to at most \(max(0, Int(clamping: allowed) - base - perProvider * providers))
            """)
    }

    private static func current() throws -> rlimit {
        var limit = rlimit()
        guard getrlimit(Self.resource, &limit) == 0 else {
            throw StartFailure("the limit of open files is not known: \(String(cString: strerror(errno)))")
        }
        return limit
    }
}
