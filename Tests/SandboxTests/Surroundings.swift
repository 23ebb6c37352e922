import CSpawn
import Glibc

/// What the attacks of the probe plugin are aimed at: a folder with a secret, listening sockets, another process. Goes
/// with the object.
final class Surroundings {
    let folder: String
    let victim: pid_t
    private(set) var descriptors: [Int32] = []
    let tcpPort: UInt16
    let udpPort: UInt16

    init() throws {
        var template = Array("/tmp/runtime-sync-attacks-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Missing(description: "no temporary folder") }
        folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        try check(chmod(folder, 0o755), folder)
        try check(mkdir("\(folder)/empty", 0o755), folder)
        let file = try check(open("\(folder)/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0o644), folder)
        close(file)

        let stream = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let datagram = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let tcp = try Surroundings.bound(inet: stream)
        let udp = try Surroundings.bound(inet: datagram)
        let unixStream = try Surroundings.bound(unix: stream, to: "\(folder)/stream")
        let unixDatagram = try Surroundings.bound(unix: datagram, to: "\(folder)/datagram")
        let abstract = try Surroundings.bound(unix: stream, to: "\0\(Surroundings.abstractName(folder))")
        for socket in [tcp, unixStream, abstract] { try check(listen(socket, 64), "listen") }
        tcpPort = try Surroundings.port(of: tcp)
        udpPort = try Surroundings.port(of: udp)
        descriptors = [tcp, udp, unixStream, unixDatagram, abstract]

        var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("sleep"), strdup("1000"), nil]
        defer { for argument in arguments { free(argument) } }
        var pid: pid_t = 0
        guard posix_spawn(&pid, "/bin/sleep", nil, nil, &arguments, nil) == 0 else {
            throw Missing(description: "no process to attack")
        }
        victim = pid
    }

    deinit {
        for descriptor in descriptors { close(descriptor) }
        kill(victim, SIGKILL)
        var status: Int32 = 0
        waitpid(victim, &status, 0)
        // An attack that hits leaves one of these.
        for name in ["file", "other", "new", "stream", "datagram"] { unlink("\(folder)/\(name)") }
        for name in ["other", "empty", ""] { rmdir("\(folder)/\(name)") }
    }

    /// As `probe_read_surroundings` reads it.
    var text: String {
        "\(tcpPort) \(udpPort) \(victim) \(folder) \(Surroundings.abstractName(folder))"
    }

    private static func abstractName(_ folder: String) -> String {
        String(folder.split(separator: "/").last ?? "")
    }

    private static func bound(inet type: Int32) throws -> Int32 {
        let descriptor = try check(socket(AF_INET, type, 0), "socket")
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try check(result, "bind")
        return descriptor
    }

    private static func bound(unix type: Int32, to path: String) throws -> Int32 {
        let descriptor = try check(socket(AF_UNIX, type, 0), "socket")
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        // An abstract name's length counts; with a path the rest is zeros.
        let size = path.hasPrefix("\0") ? 2 + path.utf8.count : MemoryLayout<sockaddr_un>.size
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, socklen_t(size)) }
        }
        try check(result, path)
        if !path.hasPrefix("\0") { try check(chmod(path, 0o777), path) }
        return descriptor
    }

    static func port(of descriptor: Int32) throws -> UInt16 {
        var address = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) }
        }
        try check(result, "getsockname")
        return UInt16(bigEndian: address.sin_port)
    }
}
