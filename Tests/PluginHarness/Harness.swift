internal import CRuntimeSync
internal import Glibc
internal import Synchronization
internal import Workbench

/// A plugin loaded into the test's own process, with the test in the place of the daemon.
///
/// ```swift
/// let harness = try Harness(product: "WorkforceHTTP", settings: #"{"base_url": "http://127.0.0.1:8080"}"#)
/// let id = harness.deliver(Request(.credential, kind: "password.updated", secret: "correct horse"))
/// #expect(try await harness.completion(of: id).outcome == .delivered)
/// harness.stop()
/// ```
///
/// The contract's rules hold here as they do in the worker: every call into the plugin is made from one thread, one at
/// a time, and what is lent for a call is overwritten as soon as the call returns. There is no sandbox. A plugin brings
/// its own Swift runtime, so two live in this process; that is safe because only C crosses the border and because the
/// library is bound to its own symbols first (`RTLD_DEEPBIND`). It is never unloaded.
public final class Harness: Sendable {
    private let started: Started
    private let reader: ReaderThread
    private let recorder: Recorder
    private let descriptors: [Int32]
    private let lifetime = Mutex(Lifetime())

    private struct Started: @unchecked Sendable {  // only ever used on the reader thread
        let table: UnsafePointer<rts_plugin>
        let state: UnsafeMutableRawPointer?
    }

    private struct Lifetime {
        var lastID: UInt64 = 0
        var stopped = false
    }

    /// One plugin library keeps its host in a global: entry and start of one harness must not mix with another's.
    private static let starting = Mutex(())

    /// Loads `lib<product>.so` from the folder of the running test bundle and starts it.
    ///
    /// - Parameters:
    ///   - product: the library product's name in `Package.swift`.
    ///   - provider: the provider's name.
    ///   - settings: a JSON object; nothing checks it against the manifest's schema or fills defaults in.
    ///   - files: what the settings' files and secrets hold, by settings key; each reaches the plugin as a descriptor.
    ///   - window: how many requests the plugin is told to expect at once.
    /// - Throws: ``HarnessError``; `startRefused` carries the plugin's own words.
    public convenience init(
        product: String, provider: String = "test", settings: String = "{}", files: [String: String] = [:],
        window: UInt32 = 64
    ) throws {
        try self.init(
            path: Products.library(product), provider: provider, settings: settings, files: files, window: window)
    }

    /// Loads the library at `path` and starts it; see ``init(product:provider:settings:files:window:)``.
    public init(
        path: String, provider: String = "test", settings: String = "{}", files: [String: String] = [:],
        window: UInt32 = 64
    ) throws {
        signal(SIGPIPE, SIG_IGN)  // as the contract promises
        let entry = try Self.entry(of: path)
        let recorder = Recorder()
        let descriptors = try files.sorted { $0.key < $1.key }.map { try (key: $0.key, fd: namelessFile($0.value)) }
        let reader = ReaderThread()
        let started = Self.starting.withLock { _ in
            reader.run { () -> Result<Started, HarnessError> in
                guard let table = entry(recorder.makeHost()) else { return .failure(.entryRefused(path)) }
                let lent = Lent()
                defer { lent.takeBack() }
                let keys = descriptors.map { file in
                    rts_file(size: MemoryLayout<rts_file>.size, key: lent.bytes(file.key), fd: file.fd, flags: 0)
                }
                var state: UnsafeMutableRawPointer?
                let reason = keys.withUnsafeBufferPointer { files in
                    var start = rts_start()
                    start.size = MemoryLayout<rts_start>.size
                    start.provider = lent.bytes(provider)
                    start.settings = lent.bytes(settings)
                    start.files = files.baseAddress
                    start.file_count = files.count
                    start.window = window
                    return table.pointee.start(&start, &state)
                }
                if let reason { return .failure(.startRefused(String(cString: reason))) }
                return .success(Started(table: table, state: state))
            }
        }
        switch started {
        case .success(let started):
            self.started = started
            self.reader = reader
            self.recorder = recorder
            self.descriptors = descriptors.map(\.fd)
        case .failure(let error):
            reader.end()
            descriptors.forEach { _ = close($0.fd) }
            throw error
        }
    }

    deinit {
        stop()
    }

    private static func entry(
        of path: String
    ) throws -> @convention(c) (UnsafePointer<rts_host>?) -> UnsafePointer<rts_plugin>? {
        guard let library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE | RTLD_DEEPBIND) else {
            throw HarnessError.notLoaded(path, reason: String(cString: dlerror()))
        }
        guard let symbol = dlsym(library, RTS_ENTRY_NAME) else { throw HarnessError.noEntry(path) }
        return unsafeBitCast(symbol, to: rts_plugin_entry.self)
    }

    // MARK: Requests

    /// Hands the plugin a delivery.
    ///
    /// - Returns: the request's id, for ``completion(of:within:)``.
    @discardableResult
    public func deliver(_ request: Request) -> UInt64 {
        lend(request, to: started.table.pointee.deliver)
    }

    /// Asks the plugin whether the request's secret is the account's password; the plugin must offer that.
    @discardableResult
    public func verifyPassword(_ request: Request) -> UInt64 {
        lend(request, to: started.table.pointee.verify_password)
    }

    /// Asks the plugin for the account's record; the plugin must offer that.
    @discardableResult
    public func readRecord(_ request: Request) -> UInt64 {
        lend(request, to: started.table.pointee.read_record)
    }

    /// Asks the plugin whether deliveries could succeed; the plugin must offer that.
    @discardableResult
    public func check() -> UInt64 {
        let id = nextID()
        recorder.expect(id)
        reader.run { [started] in started.table.pointee.check(started.state, id) }
        return id
    }

    /// Tells the plugin that nobody waits for `id` any longer. The request stays open until the plugin completes it.
    public func cancel(_ id: UInt64) {
        reader.run { [started] in started.table.pointee.cancel?(started.state, id) }
    }

    /// Stops the plugin. The second call does nothing, and the last reference stops it too.
    public func stop() {
        let first = lifetime.withLock { lifetime in
            defer { lifetime.stopped = true }
            return !lifetime.stopped
        }
        guard first else { return }
        reader.run { [started] in started.table.pointee.stop(started.state) }
        reader.end()
        descriptors.forEach { _ = close($0) }
    }

    private func nextID() -> UInt64 {
        lifetime.withLock { lifetime in
            lifetime.lastID += 1
            return lifetime.lastID
        }
    }

    private func lend(
        _ request: Request, to call: (@convention(c) (UnsafeMutableRawPointer?, UnsafePointer<rts_delivery>?) -> Void)?
    ) -> UInt64 {
        guard let call else { preconditionFailure("the plugin does not offer this function") }
        let id = nextID()
        recorder.expect(id)
        reader.run { [started] in
            let lent = Lent()
            defer { lent.takeBack() }
            var delivery = request.raw(id: id, lent: lent)
            call(started.state, &delivery)
        }
        return id
    }

    // MARK: What the plugin said

    /// Waits for the end of a request.
    ///
    /// - Parameters:
    ///   - id: what ``deliver(_:)`` or its relatives returned.
    ///   - limit: how long at most, so that a plugin that never answers fails the test instead of hanging it.
    /// - Throws: ``HarnessError/noCompletion(id:)`` once the limit has passed.
    public func completion(of id: UInt64, within limit: Duration = .seconds(60)) async throws -> Completion {
        guard let found = await recorder.first(within: limit, { $0.completions[id] }) else {
            throw HarnessError.noCompletion(id: id)
        }
        return found
    }

    /// Waits for the ends of several requests and returns them in the order of `ids`.
    public func completions(of ids: [UInt64], within limit: Duration = .seconds(60)) async throws -> [Completion] {
        guard
            let found = await recorder.first(
                within: limit,
                { record in
                    record.open.isDisjoint(with: ids) ? ids.compactMap { record.completions[$0] } : nil
                })
        else {
            let completions = recorder.snapshot.completions
            throw HarnessError.noCompletion(id: ids.first { completions[$0] == nil } ?? 0)
        }
        return found
    }

    /// Waits for a log line that contains `text`; `nil` once the limit has passed.
    public func log(containing text: String, within limit: Duration = .seconds(60)) async -> LogLine? {
        await recorder.first(within: limit) { $0.logs.first { $0.message.contains(text) } }
    }

    /// Every log line so far.
    public var logs: [LogLine] { recorder.snapshot.logs }
    /// The counters so far.
    public var metrics: [String: Int64] { recorder.snapshot.metrics }
    /// Requests that were handed over and not completed yet.
    public var open: Set<UInt64> { recorder.snapshot.open }
    /// Completions of requests that did not exist or were completed before: a correct plugin makes none.
    public var strayCompletions: [UInt64] { recorder.snapshot.strays }
}

/// Why a plugin could not be used.
public enum HarnessError: Error, Equatable {
    /// `dlopen` refused the library.
    case notLoaded(String, reason: String)
    /// The library does not export `runtime_sync_plugin`.
    case noEntry(String)
    /// The entry returned no table.
    case entryRefused(String)
    /// `start` said why it cannot work with these settings.
    case startRefused(String)
    /// The library carries no manifest note.
    case noManifest(String)
    /// A request was not completed in time.
    case noCompletion(id: UInt64)
    /// A system call failed.
    case system(call: String, code: Int32)
}

/// Puts text into a file without a name: what the daemon does with the files and secrets of the settings.
private func namelessFile(_ text: String) throws -> Int32 {
    var name = Array("/tmp/runtime-sync-test-XXXXXX".utf8CString)
    let fd = mkstemp(&name)
    guard fd >= 0 else { throw HarnessError.system(call: "mkstemp", code: errno) }
    unlink(name)
    _ = fcntl(fd, F_SETFD, FD_CLOEXEC)
    let bytes = Array(text.utf8)
    guard bytes.isEmpty || pwrite(fd, bytes, bytes.count, 0) == bytes.count else {
        throw HarnessError.system(call: "pwrite", code: errno)
    }
    return fd
}
