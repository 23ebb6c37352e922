public import NIOCore

/// The way to one provider's worker.
public protocol ProviderPort: AnyObject, Sendable {
    /// Sends frames to the worker of this generation; those for an earlier one are dropped. The buffer is wiped when it
    /// has been written. May be called from any thread; does not block.
    func send(_ frames: ByteBuffer, generation: Int)

    /// The worker of this generation is not trusted any more: end it and start another. If it is over, nothing happens.
    ///
    /// - Parameter reason: what it did, such as `it did not answer`.
    func restart(generation: Int, reason: String)
}
