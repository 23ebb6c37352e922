public import NIOCore

/// The way to one provider's worker.
public protocol ProviderPort: AnyObject, Sendable {
    /// Sends frames to the worker of this generation; those for an earlier one are dropped. The buffer is wiped when it
    /// has been written. May be called from any thread; does not block.
    func send(_ frames: ByteBuffer, generation: Int)

    /// The worker does not answer any more: end it and start another.
    func restart(reason: String)
}
