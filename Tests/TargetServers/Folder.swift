internal import Glibc

/// A folder that goes when its owner goes.
public final class Folder: Sendable {
    /// Where it is.
    public let path: String

    /// Makes an empty one, readable by this user only.
    public init() throws {
        var name = Array("/tmp/runtime-sync-XXXXXX".utf8CString)
        guard mkdtemp(&name) != nil else { throw ServerError.failed("mkdtemp: \(String(cString: strerror(errno)))") }
        path = String(decoding: name.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    deinit {
        try? ChildProcess.run("/bin/rm", ["-rf", path], log: "/dev/null")
    }

    /// Writes a file into it and returns the file's path.
    @discardableResult
    public func write(_ name: String, _ text: String) throws -> String {
        let file = "\(path)/\(name)"
        let descriptor = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw ServerError.failed("\(file): \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { throw ServerError.failed("\(file): \(String(cString: strerror(errno)))") }
            rest = rest.dropFirst(count)
        }
        return file
    }

    /// What a text file holds.
    public static func read(_ path: String) throws -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw ServerError.failed("\(path): \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while case let count = Glibc.read(descriptor, &chunk, chunk.count), count > 0 { bytes += chunk[..<count] }
        return String(decoding: bytes, as: UTF8.self)
    }
}
