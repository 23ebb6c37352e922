// swift-tools-version: 6.2
import PackageDescription

// The floors of the house, top to bottom; a target may depend on its own floor's C helpers and on the floors below it.
// CI builds with `--explicit-target-dependency-import-check error`, so an import that is not declared here is refused.
//
//   top      runtime-sync                                  runtime-sync-worker (C)
//   second   Intake  Control  Delivery  Supervision        CSandbox
//   first    Credentials  Journal  WorkerProtocol  Settings  Sockets
//   ground   EventModel, Threads (import nothing)   CRuntimeSync (the public C header)   CWorkerProtocol (frame numbers)
//
// Plugins stand beside the house: they see CRuntimeSync, and the bundled ones RuntimeSyncPlugin, its Swift face.

/// What every Swift target is compiled with: Swift 6 with the features that Swift 7 will switch on, and no warnings.
let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("InferIsolatedConformances"),
    .enableUpcomingFeature("ImmutableWeakCaptures"),
    .treatAllWarnings(as: .error),
    .treatWarning("ExplicitSendable", as: .error),
]

/// What every C target is compiled with: nothing visible that is not exported on purpose, and no warnings.
let strictC: [CSetting] = [
    .unsafeFlags(["-fvisibility=hidden"]),
    .enableWarning("all"), .enableWarning("extra"), .enableWarning("pedantic"),
    .treatAllWarnings(as: .error),
]

/// A plugin carries its own Swift runtime: the worker has none, and the target machine needs none.
let staticRuntime: [SwiftSetting] = strict + [.unsafeFlags(["-static-stdlib"])]
/// … and shows one symbol, the entry, in every build.
let staticLink: [LinkerSetting] = [
    .unsafeFlags(["-static-stdlib", "-Xlinker", "--version-script=\(Context.packageDirectory)/Plugins/exports.map"])
]
/// C without Swift's start-up object: nothing of the Swift runtime is wanted (see Sources/runtime-sync-worker/autolink.c).
let plainC: [LinkerSetting] = [.unsafeFlags(["-nostartfiles"])]

/// Calls of libldap, libcurl and libdispatch that the worker answers in their place (see Sources/runtime-sync-worker).
let workerExports = ["open", "open64", "connect", "getaddrinfo", "freeaddrinfo"]
    .flatMap { ["-Xlinker", "--export-dynamic-symbol=\($0)"] }

let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let httpTypes = Target.Dependency.product(name: "HTTPTypes", package: "swift-http-types")
let lifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let sqlite = Target.Dependency.product(name: "GRDBSQLite", package: "GRDB.swift")
let httpClient = Target.Dependency.product(name: "AsyncHTTPClient", package: "async-http-client")

let package = Package(
    name: "runtime-sync",
    products: [
        .executable(name: "runtime-sync", targets: ["runtime-sync"]),
        .executable(name: "runtime-sync-worker", targets: ["runtime-sync-worker"]),
        .library(name: "LDAPPassword", type: .dynamic, targets: ["LDAPPassword"]),
        .library(name: "WorkforceHTTP", type: .dynamic, targets: ["WorkforceHTTP"]),
        // Plugins that the tests load
        .library(name: "Probe", type: .dynamic, targets: ["Probe"]),
        .library(name: "Puppet", type: .dynamic, targets: ["Puppet"]),
        .library(name: "SwiftProbe", type: .dynamic, targets: ["SwiftProbe"]),
        .library(name: "WrongABI", type: .dynamic, targets: ["WrongABI"]),
        .library(name: "NoEntry", type: .dynamic, targets: ["NoEntry"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        // Ground floor
        .target(name: "CRuntimeSync"),
        .target(name: "CWorkerProtocol"),
        .target(name: "EventModel", swiftSettings: strict),
        .target(name: "Threads", swiftSettings: strict),

        // First floor
        .target(name: "Credentials", dependencies: ["EventModel", crypto], swiftSettings: strict),
        .target(name: "Journal", dependencies: ["EventModel", "Threads", grdb, sqlite], swiftSettings: strict),
        .target(
            name: "WorkerProtocol", dependencies: ["EventModel", "CWorkerProtocol", nioCore], swiftSettings: strict),
        .target(name: "Sockets", dependencies: [nioCore, nioPosix, lifecycle], swiftSettings: strict),
        .target(
            name: "Settings", dependencies: ["EventModel", .product(name: "Yams", package: "Yams")],
            swiftSettings: strict),

        // Second floor
        .target(
            name: "Intake",
            dependencies: [
                "EventModel", "Credentials", "Journal", "Sockets", nioCore, nioHTTP1, nioSSL, logging, lifecycle,
            ],
            swiftSettings: strict),
        .target(
            name: "Control",
            dependencies: [
                "Sockets", httpClient, httpTypes, nioCore, nioHTTP1, lifecycle,
            ],
            swiftSettings: strict),
        .target(
            name: "Delivery",
            dependencies: ["EventModel", "Credentials", "Journal", "Threads", "WorkerProtocol", nioCore, logging],
            swiftSettings: strict),
        .target(
            name: "Supervision",
            dependencies: [
                "EventModel", "Threads", "WorkerProtocol", "CWorkerProtocol", "CSpawn", nioCore, nioPosix, logging,
            ],
            swiftSettings: strict),
        .target(name: "CSpawn", dependencies: ["CWorkerProtocol"], cSettings: strictC),
        .target(name: "CSandbox", dependencies: ["CWorkerProtocol"], cSettings: strictC),

        // Top floor
        .executableTarget(
            name: "runtime-sync",
            dependencies: [
                "EventModel", "Credentials", "Journal", "Settings", "WorkerProtocol", "Intake", "Control", "Delivery",
                "Supervision", "Sockets", "Threads", "CSpawn", httpClient, logging, nioCore, nioPosix, nioHTTP1, nioSSL,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                lifecycle, httpTypes,
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "runtime-sync-worker", dependencies: ["CRuntimeSync", "CWorkerProtocol", "CSandbox"],
            cSettings: strictC, linkerSettings: [.unsafeFlags(["-nostartfiles"] + workerExports)]),

        // Plugins
        .target(name: "RuntimeSyncPlugin", dependencies: ["CRuntimeSync"], swiftSettings: staticRuntime),
        .systemLibrary(
            name: "CLDAP", path: "Plugins/LDAPPassword/CLDAP", pkgConfig: "ldap",
            providers: [.apt(["libldap2-dev"])]),
        .systemLibrary(
            name: "CCurl", path: "Plugins/WorkforceHTTP/CCurl", pkgConfig: "libcurl",
            providers: [.apt(["libcurl4-openssl-dev"])]),
        .target(
            name: "LDAPPasswordManifest", dependencies: ["CRuntimeSync"], path: "Plugins/LDAPPassword/Manifest",
            cSettings: strictC),
        .target(
            name: "WorkforceHTTPManifest", dependencies: ["CRuntimeSync"], path: "Plugins/WorkforceHTTP/Manifest",
            cSettings: strictC),
        .target(
            name: "LDAPDecisions", dependencies: ["RuntimeSyncPlugin", "CLDAP"],
            path: "Plugins/LDAPPassword/Decisions", swiftSettings: staticRuntime),
        .target(
            name: "LDAPPassword",
            dependencies: ["CRuntimeSync", "RuntimeSyncPlugin", "CLDAP", "LDAPPasswordManifest", "LDAPDecisions"],
            path: "Plugins/LDAPPassword/Sources", swiftSettings: staticRuntime, linkerSettings: staticLink),
        .target(
            name: "WorkforceRequests", dependencies: ["RuntimeSyncPlugin"], path: "Plugins/WorkforceHTTP/Requests",
            swiftSettings: staticRuntime),
        .target(
            name: "WorkforceHTTP",
            dependencies: ["CRuntimeSync", "RuntimeSyncPlugin", "CCurl", "WorkforceHTTPManifest", "WorkforceRequests"],
            path: "Plugins/WorkforceHTTP/Sources", swiftSettings: staticRuntime, linkerSettings: staticLink),

        // What the tests stand on: folders and processes, real servers, a host for one plugin, whole installations,
        // plugins that misbehave
        .target(name: "Workbench", dependencies: ["Threads"], path: "Tests/Workbench", swiftSettings: strict),
        .target(
            name: "TargetServers", dependencies: ["CLDAP", "Workbench"], path: "Tests/TargetServers",
            swiftSettings: strict),
        .target(
            name: "PluginHarness", dependencies: ["CRuntimeSync", "Threads", "Workbench"], path: "Tests/PluginHarness",
            swiftSettings: strict),
        .target(
            name: "Installations", dependencies: ["TargetServers", "Workbench"], path: "Tests/Installations",
            swiftSettings: strict),
        .executableTarget(
            name: "demo", dependencies: ["EventModel", "Installations", "TargetServers", "Workbench"],
            path: "Tests/Demo", swiftSettings: strict),
        .target(
            name: "Probe", dependencies: ["CRuntimeSync"], path: "Tests/Plugins/Probe", cSettings: strictC,
            linkerSettings: plainC),
        .target(
            name: "Puppet", dependencies: ["CRuntimeSync", "CWorkerProtocol"], path: "Tests/Plugins/Puppet",
            cSettings: strictC, linkerSettings: plainC),
        .target(
            name: "SwiftProbe", dependencies: ["CRuntimeSync", "RuntimeSyncPlugin"], path: "Tests/Plugins/SwiftProbe",
            swiftSettings: staticRuntime, linkerSettings: staticLink),
        .target(
            name: "WrongABI", dependencies: ["CRuntimeSync"], path: "Tests/Plugins/WrongABI", cSettings: strictC,
            linkerSettings: plainC),
        .target(
            name: "NoEntry", dependencies: ["CRuntimeSync"], path: "Tests/Plugins/NoEntry", cSettings: strictC,
            linkerSettings: plainC),
        .executableTarget(
            name: "ProbeOutside", dependencies: ["Probe"], path: "Tests/Plugins/ProbeOutside", cSettings: strictC),
        .executableTarget(
            name: "StandInDaemon", dependencies: ["CSpawn", "CWorkerProtocol"], path: "Tests/Plugins/StandInDaemon",
            cSettings: strictC),
        .target(name: "CSandboxTests", dependencies: ["CSpawn"], path: "Tests/CSandboxTests", cSettings: strictC),

        // Tests
        .testTarget(name: "ThreadsTests", dependencies: ["Threads"], swiftSettings: strict),
        .testTarget(name: "EventModelTests", dependencies: ["EventModel", "Workbench"], swiftSettings: strict),
        .testTarget(
            name: "CredentialsTests", dependencies: ["Credentials", "EventModel", "Workbench", crypto],
            swiftSettings: strict),
        .testTarget(
            name: "JournalTests", dependencies: ["Journal", "EventModel", "Workbench", grdb], swiftSettings: strict),
        .testTarget(
            name: "WorkerProtocolTests",
            dependencies: ["WorkerProtocol", "CWorkerProtocol", "EventModel", "Workbench", nioCore],
            swiftSettings: strict),
        .testTarget(
            name: "DeliveryTests",
            dependencies: [
                "Delivery", "EventModel", "Credentials", "Journal", "WorkerProtocol", "CWorkerProtocol", "Workbench",
                nioCore, logging, grdb,
            ],
            swiftSettings: strict),
        .testTarget(name: "SettingsTests", dependencies: ["Settings", "EventModel"], swiftSettings: strict),
        .testTarget(
            name: "IntakeTests",
            dependencies: [
                "Intake", "Credentials", "EventModel", "Journal", "Sockets", "TargetServers", lifecycle, logging,
                nioCore,
                nioPosix, nioSSL,
            ],
            swiftSettings: strict),
        .testTarget(
            name: "ControlTests",
            dependencies: ["Control", "Sockets", "TargetServers", httpTypes, lifecycle, logging, nioCore, nioPosix],
            swiftSettings: strict),
        .testTarget(
            // The program and the plugins are run as they are built; linking them would bring their linker settings along.
            name: "RuntimeSyncTests",
            dependencies: ["EventModel", "Installations", "TargetServers", "Workbench", nioPosix],
            swiftSettings: strict),
        .testTarget(
            name: "SandboxTests", dependencies: ["CSandboxTests", "CSpawn", "CWorkerProtocol", "Workbench"],
            swiftSettings: strict),
        .testTarget(
            name: "SupervisionTests",
            dependencies: [
                "Supervision", "WorkerProtocol", "CWorkerProtocol", "CSpawn", "EventModel", "Workbench", nioCore,
                nioPosix, logging,
            ],
            swiftSettings: strict),
        .testTarget(name: "RuntimeSyncPluginTests", dependencies: ["RuntimeSyncPlugin"], swiftSettings: strict),
        .testTarget(
            name: "LDAPDecisionsTests", dependencies: ["LDAPDecisions", "RuntimeSyncPlugin"], swiftSettings: strict),
        .testTarget(
            name: "ReadmeTests", dependencies: ["TargetServers", "Workbench"], swiftSettings: strict),
        .testTarget(
            name: "LDAPPasswordTests",
            dependencies: ["LDAPDecisions", "PluginHarness", "RuntimeSyncPlugin", "TargetServers", "Workbench"],
            swiftSettings: strict),
        .testTarget(
            name: "WorkforceHTTPTests",
            dependencies: ["PluginHarness", "RuntimeSyncPlugin", "TargetServers", "Workbench", "WorkforceRequests"],
            swiftSettings: strict),
        // The executables themselves, with real servers around them; `swift build --build-tests` puts them in place.
        .testTarget(
            name: "EndToEndTests",
            dependencies: [
                "Credentials", "Delivery", "EventModel", "Installations", "Journal", "TargetServers", "Workbench",
            ],
            swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
