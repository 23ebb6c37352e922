/// How many deliveries of a provider are in flight at once, and when their number is made up again.
///
/// Each refill costs a wake-up of the worker, of the plugin and of the target, whether it brings one delivery or many.
/// So one answer does not call for one request: a window is left alone until a quarter of it is free, and then filled.
public struct DeliveryWindow: Hashable, Sendable {
    /// The largest number in flight.
    public var size: Int

    public init(size: Int) {
        self.size = size
    }

    /// Whether the window is to be filled now.
    ///
    /// - Parameter inFlight: how many are under way. Their answers, or their deadlines, are what the next look waits for.
    public func isOpen(inFlight: Int) -> Bool {
        size - inFlight >= max(1, size / 4)
    }
}
