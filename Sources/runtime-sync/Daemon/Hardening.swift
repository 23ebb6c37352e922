internal import CSpawn
internal import Glibc

/// What the daemon and its tools deny themselves before they hold the first secret.
enum Hardening {
    /// No core files, no tracing by other processes of the same user, files for the owner only, and no crash handler
    /// that prints registers: with a password in memory, each would be a leak.
    ///
    /// What the runtime itself still prints at a trap, its message and a list of return addresses, holds no memory.
    ///
    /// Swift's crash handler takes its orders from the environment the process was started with, so a process that was
    /// started without them starts itself anew, once.
    static func apply() throws {
        umask(0o077)
        guard rsp_forbid_dumps() == 0 else {
            throw StartFailure("core dumps cannot be switched off: \(String(cString: strerror(errno)))")
        }
        signal(SIGPIPE, SIG_IGN)
        let variable = "SWIFT_BACKTRACE"
        let wanted = "enable=no"
        guard getenv(variable).map({ String(cString: $0) }) != wanted else { return }
        setenv(variable, wanted, 1)
        var arguments = CommandLine.arguments.map { strdup($0) } + [nil]
        // By its own name, or lists of processes would call it `exe`; that one is for an executable that was replaced.
        execv(Daemon.ownPath, &arguments)
        execv("/proc/self/exe", &arguments)
        throw StartFailure("\(Daemon.ownPath) cannot be started: \(String(cString: strerror(errno)))")
    }
}
