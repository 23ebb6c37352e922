internal import Delivery
internal import EventModel
internal import Settings
internal import Supervision

/// A provider whose plugin was found, whose manifest was read, and whose settings the manifest accepts.
struct AssembledProvider: Sendable {
    var settings: ResolvedProvider
    var plugin: PluginFile
}

/// A provider that stands in the settings and can have no worker: its plugin, or its file, cannot be used. Its deliveries
/// wait until a start at which it can.
struct StrandedProvider: Sendable {
    /// As if the plugin could do everything.
    var settings: ResolvedProvider
    var reason: String
}

/// What became of the providers of the settings.
struct ProviderAssembly: Sendable {
    var assembled: [AssembledProvider] = []
    /// The others start.
    var stranded: [StrandedProvider] = []
    /// What is wrong in the settings: nothing starts.
    var issues: [SettingsIssue] = []

    /// Looks for each provider's plugin in the folders and checks its settings against the manifest.
    init(_ loaded: LoadedSettings, loader: SettingsLoader) {
        let folders = loaded.daemon.plugins.searched
        for provider in loaded.providers {
            func strand(_ reason: String) {
                stranded.append(
                    StrandedProvider(settings: ResolvedProvider(withoutPlugin: provider), reason: reason))
            }
            if let reason = provider.unreadable {
                strand("\(provider.file) cannot be read: \(reason)")
                continue
            }
            // Without a plugin's name there is nothing to look for; the settings have told.
            guard !provider.plugin.isEmpty else { continue }
            do {
                let plugin = try Self.find(provider.libraryName, in: folders)
                let manifest = try PluginManifest(parsing: plugin.manifest)
                guard manifest.name == provider.plugin else {
                    strand(
                        """
                        \(plugin.path) is the plugin \(manifest.name), as its manifest says, and the settings name \
                        \(provider.plugin): one of the two names is wrong
                        """)
                    continue
                }
                let (resolved, issues) = loader.resolve(provider, against: manifest)
                self.issues += issues
                if let resolved { assembled.append(AssembledProvider(settings: resolved, plugin: plugin)) }
            } catch let error as ManifestError {
                strand("\(provider.libraryName): \(error)")
            } catch {
                strand("\(error)")
            }
        }
    }

    /// The stranded ones by name, and why.
    var unusable: [(provider: String, reason: String)] { stranded.map { ($0.settings.provider.name, $0.reason) } }

    var hasErrors: Bool { issues.contains { $0.severity == .error } }

    /// The first folder that has the file counts.
    private static func find(_ name: String, in folders: [String]) throws -> PluginFile {
        for folder in folders {
            do {
                return try PluginFile(path: "\(folder)/\(name)")
            } catch {
                guard error.reason == .missing else { throw error }
            }
        }
        throw StartFailure("no \(name) in \(folders.joined(separator: ", "))")
    }
}

extension PluginSettings {
    /// The folders where plugins are looked for.
    var searched: [String] { folders.isEmpty ? [Daemon.ownFolder] : folders }
}

extension ResolvedProvider {
    /// What the dispatcher has to know of it.
    ///
    /// - Parameter obstacle: why it can have no worker, if it cannot.
    func route(slot: Int, daemon: DaemonSettings, obstacle: String? = nil) -> ProviderRoute {
        ProviderRoute(
            slot: slot, name: provider.name, targeting: targetingRule(in: daemon),
            classes: Set(DeliveryClass.allCases.filter { manifest.delivers($0) }),
            mapping: EventModel.AttributeMapping(rules: provider.mapping.map(\.rule)),
            disposition: DispositionRule(retry: provider.retry.policy),
            giveUpAfter: provider.retry.giveUpAfter.wholeMilliseconds, deadline: provider.deadline.wholeMilliseconds,
            window: provider.inFlight, canCheck: manifest.capabilities.contains(.check),
            canRead: manifest.capabilities.contains(.readRecord), isObserving: provider.mode == .observe,
            obstacle: obstacle)
    }
}

extension AssembledProvider {
    /// What its worker is started with.
    ///
    /// - Throws: if a file or secret of its settings cannot be read.
    func configuration(daemon: DaemonSettings) throws -> WorkerConfiguration {
        let provider = settings.provider
        var configuration = WorkerConfiguration(
            provider: provider.name, plugin: plugin, settings: settings.settingsJSON)
        configuration.files = try settings.files.map { file in
            WorkerFile(key: file.key, descriptor: try file.sealed(), isSecret: file.isSecret)
        }
        configuration.egress = settings.egress.map { EgressRule(host: $0.host, port: $0.port) }
        configuration.ownListeners = daemon.intake.listen.egressRules
        // A request that timed out holds its slot in the worker until it ends after all; a check needs one as well.
        configuration.window = UInt32(provider.inFlight) + 16
        configuration.dataBytes = UInt64(provider.limits.memory.bytes)
        configuration.descriptors = UInt32(provider.limits.descriptors)
        configuration.logLines = UInt32(provider.limits.logLinesPerSecond)
        configuration.isBestEffort = daemon.sandbox == .bestEffort
        configuration.landlockABICap = UInt32(daemon.plugins.landlockABICap)
        configuration.user = daemon.plugins.workerUser.map { .init(user: $0.uid, group: $0.gid) }
        if !daemon.plugins.worker.isEmpty { configuration.executable = daemon.plugins.worker }
        return configuration
    }
}

extension Settings.AttributeMapping {
    fileprivate var rule: EventModel.AttributeMapping.Rule {
        let origin: EventModel.AttributeMapping.Origin =
            switch source {
            case .username: .username
            case .email: .email
            case .firstName: .firstName
            case .lastName: .lastName
            case .attribute(let name): .attribute(name)
            }
        return .init(target: target, origin: origin)
    }
}

extension ProviderFile {
    /// Whether its key is of the format `secret`.
    fileprivate var isSecret: Bool {
        guard case .secret = source else { return false }
        return true
    }

    /// A copy in memory that nobody can change, for the worker.
    fileprivate func sealed() throws -> Descriptor {
        switch source {
        case .path(let path): try Descriptor.sealedCopy(ofFile: path, name: key)
        case .secret(let secret): try secret.withBytes { try Descriptor.sealed($0, name: key) }
        }
    }
}
