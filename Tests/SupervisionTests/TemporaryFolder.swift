import Glibc
import Supervision

/// A folder of a test's own; it goes with everything in it.
final class TemporaryFolder: Sendable {
    let path: String

    init() {
        var template = Array("/tmp/supervision-tests-XXXXXX".utf8CString)
        path = mkdtemp(&template).map { String(cString: $0) } ?? "/nonexistent"
    }

    /// Writes a file and answers its path.
    func file(_ name: String, _ bytes: some Collection<UInt8>, mode: mode_t = 0o644) -> String {
        let path = "\(self.path)/\(name)"
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        Array(bytes).withUnsafeBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = write(file, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                guard count > 0 else { break }
                rest = rest.dropFirst(count)
            }
        }
        fchmod(file, mode)
        close(file)
        return path
    }

    deinit {
        for name in names(in: path) { remove("\(path)/\(name)") }
        rmdir(path)
    }
}

func names(in folder: String) -> [String] {
    guard let listing = opendir(folder) else { return [] }
    defer { closedir(listing) }
    var names: [String] = []
    while let entry = readdir(listing) {
        let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        if name != ".", name != ".." { names.append(name) }
    }
    return names
}

/// Everything in a file; empty if it cannot be read.
func contents(of path: String) -> [UInt8] {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return [] }
    defer { close(file) }
    return contents(of: file)
}

func contents(of file: Int32) -> [UInt8] {
    var all: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = pread(file, &part, part.count, off_t(all.count)), count > 0 { all += part.prefix(count) }
    return all
}

/// What this build has made: the worker and the plugins of the tests.
enum Built {
    static let folder: String = {
        var path = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &path, path.count)
        let whole = String(decoding: path.prefix(max(count, 0)).map(UInt8.init(bitPattern:)), as: UTF8.self)
        return whole.lastIndex(of: "/").map { String(whole[..<$0]) } ?? "."
    }()

    static let puppet = "\(folder)/libPuppet.so"
}
