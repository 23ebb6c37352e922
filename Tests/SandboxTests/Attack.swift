import Testing

/// An attack that the probe plugin knows by name, and what has to become of it.
struct Attack: Sendable, CustomTestStringConvertible {
    enum Fate: Sendable {
        /// It fails with one of `refusals`.
        case refused
        /// It kills the worker.
        case deadly
        /// It succeeds, and that is no harm.
        case harmless(because: String)
    }

    let name: String
    let fate: Fate
    /// Whether it hits outside the sandbox on every Linux that runs these tests as root; else a refusal shows little.
    let hitsOutside: Bool

    var testDescription: String { name }

    /// What a refusal may say: anything else is a mistake of the attack's.
    static let refusals = ["EPERM", "EACCES", "ENOSYS", "ENOPROTOOPT", "ENOTTY"]

    private static func refused(_ names: String...) -> [Attack] {
        names.map { Attack(name: $0, fate: .refused, hitsOutside: true) }
    }

    /// Needs what a kernel may be built or started without, or what a container may not do.
    private static func refusedWhereItExists(_ names: String...) -> [Attack] {
        names.map { Attack(name: $0, fate: .refused, hitsOutside: false) }
    }

    static let all: [Attack] = processes + files + network + system + special

    private static let processes =
        refusedWhereItExists("clone into a user namespace")
        + refused(
            "execute", "execute at", "posix_spawn", "fork", "clone a process",
            "clone3 a process", "trace another process", "be traced", "read another's memory", "write another's memory",
            "open another's memory", "open another's environment", "open another's command line", "open another's maps",
            "open another's stat", "open the first process's status", "read another's executable link", "kill another",
            "kill everybody", "tkill another", "tgkill another", "queue a signal", "open a pidfd",
            "signal by a peer's pidfd", "steal a peer's descriptor", "enter a peer's namespace", "compare with another",
            "read another's limits", "set own limits", "set own limits the old way", "become dumpable",
            "outlive the parent", "change personality", "move another's pages", "receive signals for another",
            "change user", "change group", "change groups", "lead a process group", "set capabilities",
            "change affinity", "change priority")

    private static let files = refused(
        "read a file", "read a file by libc", "read a file by the old call", "list a directory", "read the users",
        "read the shadow file", "read the groups", "read a kernel setting", "read kernel symbols",
        "list processes", "read by its own root link", "read by a path descriptor", "read by openat2",
        "get a file's handle", "open by handle", "write a file", "open a file for both", "append to a file",
        "truncate while opening", "create a file", "create a nameless file", "write a device",
        "write its own process entry", "write its own memory file", "open a terminal", "truncate a file",
        "truncate a descriptor", "remove a file", "remove a file at", "rename a file", "rename a file at",
        "link a file", "make a symbolic link", "make a directory", "remove a directory", "make a named pipe",
        "change a mode", "change a mode by the new call", "change an owner", "change times",
        "change times the old way", "set an attribute", "remove an attribute", "change the working directory",
        "watch a directory", "watch a file system")

    private static let network = refused(
        "connect by TCP", "connect by multipath TCP", "fast open by sendto", "fast open by sendmsg",
        "fast open by sendmmsg", "fast open by an option", "set IP options",
        "open a multipath TCP socket", "routing header", "bind to a device",
        "share a port", "bind a port", "listen without bind", "accept a connection", "send by UDP",
        "open a UDP socket", "open a UDP-Lite socket", "open a raw socket", "open a ping socket",
        "open a packet socket", "open a netlink socket", "open a virtual machine socket", "connect to a UNIX socket",
        "connect to an abstract UNIX socket", "send to a UNIX socket", "send from a datagram pair",
        "open a packet pair", "list interfaces")

    private static let system = refused(
        "mount a file system", "unmount", "open a file system", "open a mount tree", "unshare",
        "unshare the network", "enter a namespace", "change the root", "read a keyring", "add a key",
        "request a key", "load BPF", "set up io_uring", "catch page faults", "measure performance",
        "make a memory file", "make secret memory", "ask for filters", "ask for filters by prctl", "share memory",
        "make a message queue", "make semaphores", "open a message queue", "restart the system", "name the host",
        "set the clock", "read the kernel's log", "map writable code", "make memory writable code")

    private static let special =
        refusedWhereItExists(
            "let others trace", "open a crypto socket", "load a module", "load a kernel", "make data code",
            "make data code with a key") + onlyOnIntel + [
            Attack(
                name: "see metadata",
                fate: .harmless(because: "Landlock does not cover stat: names, sizes and owners can be seen"),
                hitsOutside: true),
            Attack(
                name: "map empty code",
                fate: .harmless(because: "an executable page of zeros that cannot be written holds no code"),
                hitsOutside: true),
        ]

    #if arch(x86_64)
        private static let onlyOnIntel =
            refused("change segments") + refusedWhereItExists("use an I/O port", "use all I/O ports") + [
                Attack(name: "call as 32 bit", fate: .deadly, hitsOutside: false),
                Attack(name: "call as x32", fate: .deadly, hitsOutside: false),
            ]
    #else
        private static let onlyOnIntel: [Attack] = []
    #endif
}
