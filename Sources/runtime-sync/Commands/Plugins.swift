internal import ArgumentParser
internal import EventModel
internal import Settings
internal import Supervision

struct Plugins: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The plugins in the folders of the settings; none of their code is run.",
        subcommands: [List.self, Inspect.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Every plugin found, files that look like one and cannot be used, and providers without one.",
            discussion: "`providers list` tells how the workers of a running daemon are sandboxed.")

        @OptionGroup var options: SettingsOption
        @Flag(name: .long, help: "Print JSON.") var json = false

        /// One plugin, as `--json` tells it.
        private struct Entry: Encodable {
            var name: String
            var version: String
            var abi: String
            var capabilities: [String]
            var file: String
        }

        func run() async throws {
            let loaded = try options.load()
            let (plugins, issues) = PluginFolder.scan(loaded.daemon.plugins.searched)
            let stranded = ProviderAssembly(loaded, loader: options.loader).stranded
            for issue in issues { printError("\(issue)") }
            for provider in stranded {
                printError("provider \(provider.settings.provider.name) has no worker: \(provider.reason)")
            }
            var entries: [Entry] = []
            for plugin in plugins {
                do {
                    let manifest = try PluginManifest(parsing: plugin.manifest)
                    entries.append(
                        Entry(
                            name: manifest.name, version: manifest.version, abi: manifest.abi,
                            capabilities: manifest.capabilities.map(\.rawValue).sorted(), file: plugin.path))
                } catch {
                    printError("\(plugin.path): \(error)")
                }
            }
            if json {
                try printJSON(entries)
            } else {
                Table(
                    headings: ["PLUGIN", "VERSION", "ABI", "CAPABILITIES", "FILE"],
                    rows: entries.map {
                        [$0.name, $0.version, $0.abi, $0.capabilities.joined(separator: " "), $0.file]
                    }, whenEmpty: "no plugin in \(loaded.daemon.plugins.searched.joined(separator: ", "))"
                ).print()
            }
            if !issues.isEmpty || !stranded.isEmpty { throw ExitCode.failure }
        }
    }

    struct Inspect: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Print a plugin's manifest.")

        @Argument(help: "The library.") var file: String

        func run() async throws {
            do {
                print(String(decoding: try PluginFile(path: file).manifest, as: UTF8.self))
            } catch {
                printError("runtime-sync: error: \(error)")
                throw ExitCode.failure
            }
        }
    }
}
