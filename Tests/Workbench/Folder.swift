internal import Glibc

/// A folder that goes when its owner goes.
public final class Folder: Sendable {
    /// Where it is.
    public let path: String

    /// Makes an empty one, readable by this user only.
    public init() throws(ServerError) {
        var name = Array("/tmp/runtime-sync-XXXXXX".utf8CString)
        guard mkdtemp(&name) != nil else { throw ServerError(call: "mkdtemp") }
        path = String(decoding: name.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    deinit {
        _ = try? ChildProcess.run(["/bin/rm", "-rf", "--", path])
    }

    /// What lies in it.
    public var names: [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    /// Makes a folder in it and returns the folder's path.
    @discardableResult
    public func makeFolder(_ name: String) throws(ServerError) -> String {
        let folder = "\(path)/\(name)"
        guard mkdir(folder, 0o700) == 0 else { throw ServerError(call: folder) }
        return folder
    }

    /// Writes a file into it that only this user can read, and returns the file's path.
    @discardableResult
    public func write(_ name: String, _ text: String) throws(ServerError) -> String {
        let file = "\(path)/\(name)"
        let descriptor = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw ServerError(call: file) }
        defer { close(descriptor) }
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { throw ServerError(call: file) }
            rest = rest.dropFirst(count)
        }
        return file
    }

    /// What a text file holds.
    public static func read(_ path: String) throws(ServerError) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw ServerError(call: path) }
        defer { close(descriptor) }
        return read(descriptor)
    }

    /// What there is to read up to the end.
    static func read(_ descriptor: Int32) -> String {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
            bytes += chunk[..<count]
        }
    }
}
