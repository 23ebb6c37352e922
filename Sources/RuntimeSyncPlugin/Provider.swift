public import CRuntimeSync

/// A provider: one configured instance of a plugin, serving one target. Conform a final class to it and hand it out in
/// the library's one exported function:
///
/// ```swift
/// @c(runtime_sync_plugin)
/// public func entry(_ host: UnsafePointer<rts_host>?) -> UnsafePointer<rts_plugin>? {
///     pluginTable(host, offering: [.check]) { try MyProvider(host: $0, start: $1) }
/// }
/// ```
///
/// The host calls every method from one thread, one at a time, and expects it back within milliseconds. Each request is
/// answered exactly once with ``PluginHost/complete(_:_:)``, from any thread.
public protocol Provider: AnyObject, Sendable {
    /// Write `delivery` to the target; complete it later or at once. `delivery` is valid during the call only.
    func deliver(_ delivery: borrowing Delivery)

    /// The time for this request is over. Complete it all the same: if you do not within 5 seconds, the host ends this
    /// process, for a newer change of the same user must not be sent while this one may still be under way.
    func cancel(_ id: UInt64)

    /// Could deliveries succeed? Connects and authenticates; changes nothing.
    func check(_ id: UInt64)

    /// Answer ``Outcome/delivered`` if the delivery's secret is the account's password, ``Outcome/refused`` if not.
    func verifyPassword(_ delivery: borrowing Delivery)

    /// Find the account and answer its stable id, changing nothing.
    func readRecord(_ delivery: borrowing Delivery)

    /// The last call. Let go of the target.
    func stop()
}

extension Provider {
    public func cancel(_ id: UInt64) {}
    public func check(_ id: UInt64) {}
    public func verifyPassword(_ delivery: borrowing Delivery) {}
    public func readRecord(_ delivery: borrowing Delivery) {}
}

/// A function of the contract that a plugin may leave out.
public enum OptionalFunction: Sendable {
    case check, verifyPassword, readRecord
}

/// Makes provider and table meet. One process holds one provider, so a global is what it says it is.
private nonisolated(unsafe) var make: ((PluginHost, StartRequest) throws -> any Provider)?
private nonisolated(unsafe) var host: UnsafePointer<rts_host>?

/// Builds the table that the exported function returns. Call it once, from there.
///
/// - Parameters:
///   - theHost: what the exported function was given.
///   - offering: the optional functions that the provider implements.
///   - provider: makes the provider at start; an error it throws is reported as the reason.
/// - Returns: the table, which lives as long as the process; `nil` if the host's ABI does not fit.
public func pluginTable(
    _ theHost: UnsafePointer<rts_host>?, offering: Set<OptionalFunction>,
    provider: @escaping (PluginHost, StartRequest) throws -> any Provider
) -> UnsafePointer<rts_plugin>? {
    guard let theHost, theHost.pointee.abi_major == UInt32(RTS_ABI_MAJOR) else { return nil }
    host = theHost
    make = provider
    let table = UnsafeMutablePointer<rts_plugin>.allocate(capacity: 1)
    table.initialize(to: rts_plugin())
    table.pointee.size = MemoryLayout<rts_plugin>.size
    table.pointee.abi_major = UInt32(RTS_ABI_MAJOR)
    table.pointee.abi_minor = UInt32(RTS_ABI_MINOR)
    table.pointee.start = { start, state in
        guard let start, let state, let host, let make else { return copied("start was called without its arguments") }
        do {
            let provider = try make(PluginHost(host), StartRequest(start.pointee))
            state.pointee = Unmanaged.passRetained(Box(provider)).toOpaque()
            return nil
        } catch let error as StartError {
            return copied(error.reason)
        } catch {
            return copied("\(error)")
        }
    }
    table.pointee.deliver = { state, delivery in
        if let delivery { Box.of(state).deliver(Delivery(delivery)) }
    }
    table.pointee.cancel = { Box.of($0).cancel($1) }
    if offering.contains(.check) { table.pointee.check = { Box.of($0).check($1) } }
    if offering.contains(.verifyPassword) {
        table.pointee.verify_password = { state, delivery in
            if let delivery { Box.of(state).verifyPassword(Delivery(delivery)) }
        }
    }
    if offering.contains(.readRecord) {
        table.pointee.read_record = { state, delivery in
            if let delivery { Box.of(state).readRecord(Delivery(delivery)) }
        }
    }
    table.pointee.stop = { state in
        Box.of(state).stop()
        // The last call: what the provider holds ends with it.
        if let state { Unmanaged<Box>.fromOpaque(state).release() }
    }
    return UnsafePointer(table)
}

/// Carries the existential through the contract's `void *state`.
private final class Box {
    let provider: any Provider

    init(_ provider: any Provider) {
        self.provider = provider
    }

    static func of(_ state: UnsafeMutableRawPointer?) -> any Provider {
        guard let state else { preconditionFailure("the host calls nothing without the state that start returned") }
        return Unmanaged<Box>.fromOpaque(state).takeUnretainedValue().provider
    }
}

/// The contract wants a static text: this one is never freed, and start is called once in a process.
private func copied(_ text: String) -> UnsafePointer<CChar> {
    let bytes = Array(text.utf8CString)
    let copy = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
    copy.initialize(from: bytes, count: bytes.count)
    return UnsafePointer(copy)
}
