internal import Glibc
public import NIOCore

/// Who is at the other end of a Unix socket, as the kernel says (unix(7), SO_PEERCRED).
public struct PeerCredentials: Hashable, Sendable {
    // The layout of `struct ucred`, which Swift does not see because the C library hides it behind _GNU_SOURCE.
    public let pid: Int32
    public let uid: UInt32
    public let gid: UInt32

    /// Asks the kernel about a channel's peer.
    ///
    /// - Returns: fails if the channel is no Unix socket; answered at once when asked on the channel's loop.
    public static func of(_ channel: any Channel) -> EventLoopFuture<PeerCredentials> {
        guard let provider = channel as? any SocketOptionProvider else {
            return channel.eventLoop.makeFailedFuture(ChannelError.operationUnsupported)
        }
        return provider.unsafeGetSocketOption(level: .socket, name: NIOBSDSocket.Option(rawValue: SO_PEERCRED))
    }
}
