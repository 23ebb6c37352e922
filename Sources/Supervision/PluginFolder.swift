internal import Glibc

/// A folder that plugins are looked for in.
public final class PluginFolder: Sendable {
    let path: String
    let descriptor: Descriptor

    /// Opens the folder; it must belong to root or to us, and nobody else may write to it.
    init(path: String) throws(PluginFileError) {
        func fail(_ reason: PluginFileError.Reason) -> PluginFileError { PluginFileError(path: path, reason) }

        let folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else {
            switch errno {
            case ENOENT: throw fail(.missing)
            case ENOTDIR: throw fail(.notAFolder)
            default: throw fail(.unreadable(errno))
            }
        }
        descriptor = Descriptor(owning: folder)
        self.path = path
        var status = stat()
        guard fstat(folder, &status) == 0 else { throw fail(.unreadable(errno)) }
        try checkOwnership(status, as: fail)
    }

    /// Looks through folders, in their order, for files `*.so` that carry our note. Other libraries may lie beside them
    /// and are not mentioned; a plugin or a folder that cannot be used is an issue.
    public static func scan(_ folders: [String]) -> (plugins: [PluginFile], issues: [PluginFileError]) {
        var plugins: [PluginFile] = []
        var issues: [PluginFileError] = []
        for path in folders {
            do throws(PluginFileError) {
                let folder = try PluginFolder(path: path)
                for name in try folder.libraries() where PluginFile.looksLikePlugin(name, in: folder) {
                    do throws(PluginFileError) {
                        plugins.append(try PluginFile(name: name, in: folder, path: "\(path)/\(name)"))
                    } catch {
                        issues.append(error)
                    }
                }
            } catch {
                issues.append(error)
            }
        }
        return (plugins, issues)
    }

    /// The names that end in `.so`, sorted.
    private func libraries() throws(PluginFileError) -> [String] {
        guard let listing = opendir("/proc/self/fd/\(descriptor.number)") else {
            throw PluginFileError(path: path, .unreadable(errno))
        }
        defer { closedir(listing) }
        var names: [String] = []
        while let entry = readdir(listing) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name.hasSuffix(".so") { names.append(name) }
        }
        return names.sorted()
    }
}
