import Glibc
import Supervision
import Testing

@Suite struct PluginFileTests {
    private let folder = TemporaryFolder()
    private let puppet = contents(of: Built.puppet)

    @Test func `a plugin's manifest is read without loading it`() throws {
        let path = folder.file("libPuppet.so", puppet)
        let plugin = try PluginFile(path: path)
        #expect(plugin.path == path)
        #expect(
            String(decoding: plugin.manifest, as: UTF8.self)
                == #"{"name": "Puppet", "version": "1.0.0", "abi": "1.0", "capabilities": ["credential", "check"]}"#)
    }

    @Test func `what was checked is what is loaded, whatever becomes of the file`() throws {
        let path = folder.file("libPuppet.so", puppet)
        let plugin = try PluginFile(path: path)
        _ = folder.file("libPuppet.so", Array("something else".utf8))
        #expect(contents(of: plugin.library.number) == puppet)
        #expect(write(plugin.library.number, "x", 1) == -1)
        #expect(ftruncate(plugin.library.number, 0) == -1)
    }

    @Test func `what is no plugin is refused with its path and the reason`() throws {
        let cases: [(String, PluginFileError.Reason)] = [
            ("\(folder.path)/absent.so", .missing),
            (folder.file("group.so", puppet, mode: 0o664), .writableByOthers(mode: 0o664)),
            (folder.file("others.so", puppet, mode: 0o646), .writableByOthers(mode: 0o646)),
            (folder.file("text.so", Array("hello".utf8)), .notAPlugin),
            (folder.file("noteless.so", elf([note("GNU", type: 1, "x")])), .notAPlugin),
            (folder.file("cut.so", puppet.prefix(100)), .damaged("program headers")),
            (
                folder.file("half.so", puppet.prefix(puppet.count - 1)),
                .cutOff(size: UInt64(puppet.count - 1), needed: UInt64(puppet.count))
            ),
            (folder.file("arm.so", patched(18, to: 183)), .otherMachine("aarch64")),
            (folder.file("narrow.so", patched(4, to: 1)), .foreign),
            (folder.file("program.so", patched(16, to: 2)), .notALibrary),
            (link("link.so", to: Built.puppet), .symbolicLink),
            (subfolder("folder.so"), .notAFile),
            (fifo("fifo.so"), .notAFile),
            ("\(Built.puppet)/x.so", .notAFolder),
            ("\(folder.path)/absent/x.so", .missing),
        ]
        for (path, reason) in cases {
            let error = #expect(throws: PluginFileError.self, "\(path)") { try PluginFile(path: path) }
            #expect(error?.reason == reason, "\(path)")
            #expect(error?.description.hasPrefix(error?.path ?? "?") == true)
        }
    }

    @Test func `a folder that others can write to holds no plugins`() throws {
        let path = folder.file("libPuppet.so", puppet)
        chmod(folder.path, 0o777)
        let error = #expect(throws: PluginFileError.self) { try PluginFile(path: path) }
        #expect(error?.reason == .writableByOthers(mode: 0o777))
        #expect(error?.path == folder.path)
        #expect(error?.description.contains("chmod go-w") == true)
    }

    @Test(.enabled(if: geteuid() == 0, "only root can give files away"))
    func `a stranger's file is refused`() throws {
        let path = folder.file("libPuppet.so", puppet)
        chown(path, 65_534, 65_534)
        let error = #expect(throws: PluginFileError.self) { try PluginFile(path: path) }
        #expect(error?.reason == .strangersFile(owner: 65_534))
    }

    @Test func `a scan lists plugins, mentions what cannot be used, and is silent about the rest`() {
        _ = folder.file("libPuppet.so", puppet)
        _ = folder.file("libOther.so", elf([note("GNU", type: 1, "x")]))
        _ = folder.file("notes.txt", Array("hello".utf8), mode: 0o666)
        _ = folder.file("libOpen.so", puppet, mode: 0o666)
        _ = folder.file("libOpenOther.so", elf([]), mode: 0o666)
        _ = fifo("pipe.so")
        _ = link("libLinked.so", to: Built.puppet)
        let (plugins, issues) = PluginFolder.scan([folder.path, "\(folder.path)/absent"])
        #expect(plugins.map(\.path) == ["\(folder.path)/libPuppet.so"])
        #expect(
            issues.map(\.path) == [
                "\(folder.path)/libLinked.so", "\(folder.path)/libOpen.so", "\(folder.path)/absent",
            ])
        #expect(issues.map(\.reason) == [.symbolicLink, .writableByOthers(mode: 0o666), .missing])
    }

    /// The puppet with another byte.
    private func patched(_ offset: Int, to byte: UInt8) -> [UInt8] {
        var bytes = puppet
        bytes[offset] = byte
        return bytes
    }

    private func link(_ name: String, to target: String) -> String {
        symlink(target, "\(folder.path)/\(name)")
        return "\(folder.path)/\(name)"
    }

    private func subfolder(_ name: String) -> String {
        mkdir("\(folder.path)/\(name)", 0o755)
        return "\(folder.path)/\(name)"
    }

    private func fifo(_ name: String) -> String {
        mkfifo("\(folder.path)/\(name)", 0o644)
        return "\(folder.path)/\(name)"
    }
}
