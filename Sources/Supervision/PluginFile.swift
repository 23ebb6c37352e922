internal import CSpawn
internal import Glibc

/// A plugin: a shared library that carries our manifest, as a copy that nobody can change any more.
///
/// Whoever can write the file decides what runs in the worker, so a file is taken only if nobody but root and the
/// daemon's own user can: file and folder belong to one of the two and are not writable for group or others. It is then
/// copied into sealed memory, and from there on only the copy counts: for the manifest, and for every worker.
public final class PluginFile: Sendable {
    public let path: String
    /// JSON object, not yet looked at.
    public let manifest: [UInt8]
    /// Sealed memory; every worker of this plugin gets it as a descriptor.
    public let library: Descriptor

    /// The largest library that is taken; bytes. (A plugin with its own Swift runtime and Foundation has 21 MB.)
    public static let maxSize: UInt64 = 256 << 20

    /// Whose files are taken.
    fileprivate static var acceptedOwners: String {
        geteuid() == 0 ? "root, who runs this" : "root or to user \(geteuid()), who runs this"
    }

    /// Opens, checks, copies and seals.
    ///
    /// - Parameter path: The file itself, not a symbolic link to it. (Its folder may be reached through links.)
    public convenience init(path: String) throws(PluginFileError) {
        let slash = path.lastIndex(of: "/")
        let folder = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let name = slash.map { path[path.index(after: $0)...] } ?? path[...]
        try self.init(name: String(name), in: PluginFolder(path: folder), path: path)
    }

    init(name: String, in folder: PluginFolder, path: String) throws(PluginFileError) {
        func fail(_ reason: PluginFileError.Reason) -> PluginFileError { PluginFileError(path: path, reason) }

        let file = try Self.open(name, in: folder, path: path)
        var status = stat()
        guard fstat(file.number, &status) == 0 else { throw fail(.unreadable(errno)) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw fail(.notAFile) }
        try checkOwnership(status, as: fail)
        let copy = rsp_sealed_copy(file.number, Self.maxSize, "plugin")
        guard copy >= 0 else { throw fail(errno == EFBIG ? .tooLarge : .unreadable(errno)) }
        let library = Descriptor(owning: copy)
        guard let manifest = try Self.manifest(in: library, as: fail) else { throw fail(.notAPlugin) }
        try Self.checkLayout(of: library, as: fail)
        self.path = path
        self.library = library
        self.manifest = manifest
    }

    /// Whether the file, or what it links to, is worth a closer look: it has our note, or cannot be read well enough to
    /// tell. The answer binds nobody, because the file can still change.
    static func looksLikePlugin(_ name: String, in folder: PluginFolder) -> Bool {
        let number = openat(folder.descriptor.number, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard number >= 0 else { return true }
        let file = Descriptor(owning: number)
        do throws(PluginFileError) {
            return try manifest(in: file) { PluginFileError(path: name, $0) } != nil
        } catch {
            return error.reason != .foreign
        }
    }

    private static func open(
        _ name: String, in folder: PluginFolder, path: String
    ) throws(PluginFileError) -> Descriptor {
        // NONBLOCK: to open a FIFO must not wait for a writer.
        let file = openat(folder.descriptor.number, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard file >= 0 else {
            switch errno {
            case ENOENT: throw PluginFileError(path: path, .missing)
            case ELOOP: throw PluginFileError(path: path, .symbolicLink)
            default: throw PluginFileError(path: path, .unreadable(errno))
            }
        }
        return Descriptor(owning: file)
    }

    private static func manifest(
        in file: Descriptor, as fail: (PluginFileError.Reason) -> PluginFileError
    ) throws(PluginFileError) -> [UInt8]? {
        do throws(ELFNoteError) {
            return try ELFNote.find("RuntimeSync", type: 1) { offset, count in
                bytes(of: file, from: offset, count: count)
            }
        } catch {
            switch error {
            case .foreign: throw fail(.foreign)
            case .damaged(let part): throw fail(.damaged(part))
            case .tooLarge(let size): throw fail(.manifestTooLarge(size))
            }
        }
    }

    /// Whether the loader would find all that the library's headers speak of.
    private static func checkLayout(
        of library: Descriptor, as fail: (PluginFileError.Reason) -> PluginFileError
    ) throws(PluginFileError) {
        var status = stat()
        guard fstat(library.number, &status) == 0 else { throw fail(.unreadable(errno)) }
        let size = UInt64(status.st_size)
        do throws(ELFLayoutError) {
            try ELFLayout.check(size: size) { offset, count in bytes(of: library, from: offset, count: count) }
        } catch {
            switch error {
            case .otherMachine(let machine): throw fail(.otherMachine(ELFLayout.name(ofMachine: machine)))
            case .notShared: throw fail(.notALibrary)
            case .cutOff(let needed): throw fail(.cutOff(size: size, needed: needed))
            }
        }
    }

    private static func bytes(of file: Descriptor, from offset: UInt64, count: Int) -> [UInt8]? {
        guard let offset = off_t(exactly: offset) else { return nil }
        var got = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            while got < count {
                let step = pread(file.number, buffer.baseAddress.map { $0 + got }, count - got, offset + off_t(got))
                if step < 0, errno == EINTR { continue }
                guard step > 0 else { break }
                got += step
            }
            initialized = got
        }
        return got == count ? bytes : nil
    }
}

/// Only root and we may have written it.
func checkOwnership(
    _ status: stat, as fail: (PluginFileError.Reason) -> PluginFileError
) throws(PluginFileError) {
    guard status.st_uid == 0 || status.st_uid == geteuid() else { throw fail(.strangersFile(owner: status.st_uid)) }
    guard status.st_mode & 0o022 == 0 else { throw fail(.writableByOthers(mode: status.st_mode & 0o7777)) }
}

/// Why a file is not taken as a plugin, or a folder not as one of plugins.
public struct PluginFileError: Error, Hashable, Sendable, CustomStringConvertible {
    public let path: String
    public let reason: Reason

    public enum Reason: Hashable, Sendable {
        case missing
        /// `errno`.
        case unreadable(Int32)
        case symbolicLink
        case notAFile
        case notAFolder
        case strangersFile(owner: UInt32)
        case writableByOthers(mode: UInt32)
        case tooLarge
        /// An ELF file of another class or byte order.
        case foreign
        /// An ELF file for another machine; its name.
        case otherMachine(String)
        /// An ELF file that is no shared library.
        case notALibrary
        /// It has fewer bytes than its headers speak of.
        case cutOff(size: UInt64, needed: UInt64)
        /// Which part of the ELF file points out of it.
        case damaged(String)
        /// Bytes of the manifest.
        case manifestTooLarge(Int)
        case notAPlugin
    }

    init(path: String, _ reason: Reason) {
        self.path = path
        self.reason = reason
    }

    public var description: String {
        "\(path): \(explanation)"
    }

    private var explanation: String {
        switch reason {
        case .missing: "there is no such file"
        case .unreadable(let number): "cannot be read: \(systemText(number))"
        case .symbolicLink: "is a symbolic link; name the file that it points to"
        case .notAFile: "is not a regular file"
        case .notAFolder: "is not a folder"
        case .strangersFile(let owner):
            "belongs to user \(owner); a plugin and its folder belong to \(PluginFile.acceptedOwners)"
        case .writableByOthers(let mode):
            "has mode \(String(mode, radix: 8)); group and others may not write a plugin or its folder (chmod go-w)"
        case .tooLarge: "has more than \(PluginFile.maxSize >> 20) MiB"
        case .foreign: "is not a 64-bit little-endian ELF file"
        case .otherMachine(let name):
            "is built for another machine (\(name)); this one is \(ELFLayout.name(ofMachine: ELFLayout.ownMachine))"
        case .notALibrary: "is not a shared library (cc -shared)"
        case .cutOff(let size, let needed): "is cut off: it has \(size) bytes, and its headers speak of \(needed)"
        case .damaged(let part): "is damaged: its \(part) lies outside the file or is too large"
        case .manifestTooLarge(let size): "has a manifest of \(size) bytes; at most \(ELFNote.maxNote) are read"
        case .notAPlugin: "is not a plugin: it has no note \"RuntimeSync\" (RTS_MANIFEST in runtime_sync.h)"
        }
    }
}
