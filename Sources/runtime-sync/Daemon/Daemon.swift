internal import Control
internal import Credentials
internal import Delivery
internal import EventModel
internal import Glibc
internal import Intake
internal import Journal
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import ServiceLifecycle
internal import Settings
internal import Supervision
internal import Synchronization

/// The daemon, put together top to bottom: keys, journal, dispatcher, workers, doors.
struct Daemon {
    let loaded: LoadedSettings
    let loader: SettingsLoader
    /// Whether the operator gives up a journal that is missing.
    let beginsAnew: Bool
    let logger = Logger(label: "runtime-sync")

    init(_ loaded: LoadedSettings, loader: SettingsLoader, beginsAnew: Bool = false) {
        self.loaded = loaded
        self.loader = loader
        self.beginsAnew = beginsAnew
    }

    private var settings: DaemonSettings { loaded.daemon }

    /// Runs until a signal; returns when everything is in order on disk.
    func run() async throws {
        let assembly = ProviderAssembly(loaded, loader: loader)
        for issue in assembly.issues { printError("\(issue)") }
        guard !assembly.hasErrors else { throw StartFailure("the settings cannot be used", isSettings: true) }
        for (provider, reason) in assembly.unusable {
            logger.error(
                "provider without a worker, its deliveries wait",
                metadata: ["provider": "\(provider)", "reason": "\(reason)"])
        }

        OpenFiles.raise()
        try OpenFiles.check(settings, providers: assembly.assembled.count)
        if !beginsAnew { try settings.checkKeptJournal() }
        let stopSignals = try StopSignals(logger: logger)
        let journal = try Journal(folder: settings.journal.folder, limits: settings.journalLimits)
        let outcome: Result<Void, any Error>
        do {
            outcome = .success(try await serve(assembly, journal: journal, until: stopSignals))
        } catch {
            // A start that fails is no reason to leave the journal in disorder.
            outcome = .failure(error)
        }
        do {
            try journal.close()
        } catch {
            // Why it did not serve is what is to be told last.
            guard case .failure = outcome else { throw error }
            logger.error("journal not closed", metadata: ["error": "\(error)"])
        }
        try outcome.get()
        logger.notice("stopped")
    }

    private func serve(_ assembly: ProviderAssembly, journal: Journal, until stopSignals: StopSignals) async throws {
        try await MultiThreadedEventLoopGroup.withEventLoopGroup(numberOfThreads: max(1, System.coreCount / 2)) {
            try await serve(assembly, journal: journal, until: stopSignals, group: $0)
        }
    }

    /// Everything that can fail comes before the first worker: a delivery is nothing to break off.
    private func serve(
        _ assembly: ProviderAssembly, journal: Journal, until stopSignals: StopSignals,
        group: MultiThreadedEventLoopGroup
    ) async throws {
        let fatal: @Sendable (String) -> Void = { reason in
            // What is on disk is found out at the next start; going on could only make it worse.
            printError("runtime-sync: fatal: \(reason)")
            _exit(1)
        }
        let ring = try keyRing(of: journal)
        let keys = try DataKeys(ring: ring, stored: journal.wrappedKeys(), persist: journal.keep)
        let sealer = Sealer(keys: keys)
        let names = settings.targeting.names
        let address = AddressBox(address: "")
        let listening: @Sendable (any Channel) async -> Void = { channel in
            address.set(channel.localAddress)
            Logger(label: "intake").notice("listening", metadata: ["address": "\(address.value)"])
            // Not before: the disk belongs to the start until the door is open.
            if !journal.wasClosedInOrder { MediaCheck.start(journal, logger: Logger(label: "journal")) }
        }
        let intake = try IntakeServer(
            settings.intake.listener, sources: settings.sources.map { try $0.intakeSource() },
            limits: settings.intake.limits, names: names, idWindow: settings.journal.idWindow.wholeMilliseconds,
            ring: ring, sealer: sealer, journal: journal, clock: Self.now, group: group,
            logger: Logger(label: "intake"), onListening: listening)
        let spawner = try Spawner()

        let dispatcher = Dispatcher(clock: Self.clocks, fatal: fatal)
        let slots = try assembly.assembled.map { try journal.slot(for: $0.settings.provider.name) }
        var routes = zip(assembly.assembled, slots).map { $0.settings.route(slot: $1, daemon: settings) }
        for provider in assembly.stranded {
            let slot = try journal.slot(for: provider.settings.provider.name)
            routes.append(provider.settings.route(slot: slot, daemon: settings, obstacle: provider.reason))
        }
        try dispatcher.start(
            journal: journal, vault: Vault(sealer: sealer, ring: ring), names: names, routes: routes,
            retention: settings.journal.idWindow.wholeMilliseconds, logger: Logger(label: "delivery"))
        journal.start(observer: dispatcher) { fatal("\($0)") }
        let hosts = startWorkers(assembly, slots: slots, dispatcher: dispatcher, spawner: spawner, loop: group.next())

        let (opening, isOpen) = AsyncStream.makeStream(of: Never.self)
        let control = ControlServer(
            socket: settings.control.socket,
            routes: ControlRoutes(dispatcher: dispatcher, hosts: hosts, intake: address, room: intake.room).all,
            group: group, onListening: { isOpen.finish() },
            onTrouble: { error in
                Logger(label: "control").warning(
                    "no command can be taken for the moment", metadata: ["reason": "\(error)"])
            })
        // No event is taken before operators can be answered; and when one door fails, the other is closed in order.
        let doors: [any Service] = [control, FollowingService(intake, after: opening)]
        // What it tells at lower levels are our own types, printed whole.
        var lifecycle = Logger(label: "lifecycle")
        lifecycle.logLevel = max(lifecycle.logLevel, .error)
        let services = ServiceGroup(
            configuration: .init(
                services: doors.map { .init(service: $0, failureTerminationBehavior: .gracefullyShutdownGroup) } + [
                    .init(service: stopSignals, successTerminationBehavior: .gracefullyShutdownGroup)
                ], logger: lifecycle))
        let outcome: Result<Void, any Error>
        do {
            outcome = .success(try await services.run())
        } catch {
            // A door that does not open is no reason to break deliveries off.
            outcome = .failure(error)
        }
        try await drain(dispatcher, hosts)
        try outcome.get()
    }

    /// The ring that the journal was sealed with; a new one only if nothing was sealed yet.
    private func keyRing(of journal: Journal) throws -> KeyRing {
        let path = settings.journal.keyFile
        if let ring = try KeyRing.existing(path: path) { return ring }
        guard try journal.dataKeys().isEmpty else {
            throw StartFailure(
                """
                key file \(path) is missing, and the journal in \(settings.journal.folder) was sealed with it; put it back \
                from its backup. Without it nothing in the journal can be read: who gives that up moves the journal's \
                folder away and starts anew
                """)
        }
        return try KeyRing.open(path: path, now: Self.now())
    }

    private func startWorkers(
        _ assembly: ProviderAssembly, slots: [Int], dispatcher: Dispatcher, spawner: Spawner, loop: any EventLoop
    ) -> [ProviderHost] {
        var hosts: [ProviderHost] = []
        for (provider, slot) in zip(assembly.assembled, slots)
        where provider.settings.provider.isEnabled && provider.settings.provider.mode == .active && settings.isEnabled {
            let configuration: WorkerConfiguration
            do {
                configuration = try provider.configuration(daemon: settings)
            } catch {
                // One provider's file is no reason to take no events: its deliveries wait.
                let name = provider.settings.provider.name
                logger.error(
                    "provider without a worker, its deliveries wait",
                    metadata: ["provider": "\(name)", "reason": "\(error)"])
                dispatcher.obstruct(slot: slot, reason: "\(error)")
                continue
            }
            let host = ProviderHost(
                configuration, slot: slot, dispatcher: dispatcher, eventLoop: loop, spawner: spawner,
                logger: Logger(label: "worker"))
            host.start()
            hosts.append(host)
        }
        return hosts
    }

    /// Lets what is in flight end, for a while; then lets the workers go. What is not done by then stays queued.
    private func drain(_ dispatcher: Dispatcher, _ hosts: [ProviderHost]) async throws {
        try await dispatcher.holdAll()
        let end = ContinuousClock.now + settings.shutdown.drain
        while await dispatcher.inFlight() > 0, ContinuousClock.now < end {
            try await Task.sleep(for: .milliseconds(20))
        }
        await withTaskGroup { group in
            for host in hosts { group.addTask { await host.stop(patience: .seconds(2)) } }
        }
        await dispatcher.stop()
    }

    /// Wall-clock time.
    @Sendable static func now() -> Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(milliseconds: Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000)
    }

    /// The wall clock beside one that nobody sets, and that goes on while the machine sleeps.
    @Sendable static func clocks() -> ClockReading {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return ClockReading(
            wall: now(), steady: Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000)
    }

    /// This executable.
    static let ownPath: String = {
        var path = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = max(0, readlink("/proc/self/exe", &path, path.count - 1))
        return String(decoding: path[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }()

    /// Its folder.
    static var ownFolder: String {
        ownPath.lastIndex(of: "/").map { String(ownPath[..<$0]) } ?? "."
    }
}

/// Where the intake listens, once it does: with port 0, only then is it known.
final class AddressBox: Sendable {
    private let address: Mutex<String>

    init(address: String) {
        self.address = Mutex(address)
    }

    var value: String { address.withLock { $0 } }

    func set(_ socket: SocketAddress?) {
        let text =
            switch socket {
            case .unixDomainSocket: "unix:\(socket?.pathname ?? "")"
            case .v4: "\(socket?.ipAddress ?? ""):\(socket?.port ?? 0)"
            case .v6: "[\(socket?.ipAddress ?? "")]:\(socket?.port ?? 0)"
            case nil: ""
            }
        address.withLock { $0 = text }
    }
}

extension Journal {
    /// The data keys that were kept.
    fileprivate func wrappedKeys() throws -> [WrappedKey] {
        try dataKeys().compactMap {
            WrappedKey(
                id: $0.id, purpose: $0.purpose, ringKey: $0.ringKey, created: $0.created, wrapped: $0.wrapped)
        }
    }

    /// Keeps a data key: it is committed before, or together with, the first event that was sealed with it.
    @Sendable fileprivate func keep(_ key: WrappedKey) {
        var changes = JournalChanges()
        changes.dataKeys.append(
            .put(
                DataKeyRow(
                    id: key.id, purpose: key.purpose.rawValue, ringKey: key.ringKey, created: key.created,
                    wrapped: key.wrapped)))
        // A journal that is closed takes no events either, so nothing is sealed in vain.
        try? submit(changes)
    }
}
