internal import Glibc

/// What the daemon denies itself before it holds the first secret.
enum Hardening {
    /// No core files, no tracing by other processes of the same user, files for the owner only, and no crash handler
    /// that prints registers: with a password in memory, each would be a leak.
    ///
    /// Swift's crash handler takes its orders from the environment the process was started with, so a process that was
    /// started without them starts itself anew, once.
    static func apply() throws {
        umask(0o077)
        var none = rlimit(rlim_cur: 0, rlim_max: 0)
        guard setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none) == 0, prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 else {
            throw StartFailure("core dumps cannot be switched off: \(String(cString: strerror(errno)))")
        }
        signal(SIGPIPE, SIG_IGN)
        let variable = "SWIFT_BACKTRACE"
        let wanted = "enable=no"
        guard getenv(variable).map({ String(cString: $0) }) != wanted else { return }
        setenv(variable, wanted, 1)
        var arguments: [UnsafeMutablePointer<CChar>?] = CommandLine.arguments.map { strdup($0) }
        arguments.append(nil)
        execv("/proc/self/exe", &arguments)
        throw StartFailure("/proc/self/exe cannot be started: \(String(cString: strerror(errno)))")
    }
}
