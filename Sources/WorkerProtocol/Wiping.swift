internal import Glibc
public import NIOCore

/// Overwrites everything a buffer has ever held with zeros, where it lies.
///
/// NIO's own ways do not: `clear()` keeps the bytes, and a mutation of a buffer that somebody else still refers to (NIO
/// does, until its write future has fired and a little longer) first copies it and then zeroes the copy. So this writes
/// through the storage itself: every `ByteBuffer` that shares it reads zeros afterwards. Call it once nobody needs the
/// bytes any more, from the thread that owned them.
///
/// - Parameter buffer: Its whole storage is zeroed; for a slice, the part of the storage that the slice covers.
public func wipe(_ buffer: ByteBuffer) {
    buffer.withVeryUnsafeBytes { bytes in
        guard let start = bytes.baseAddress else { return }
        explicit_bzero(UnsafeMutableRawPointer(mutating: start), bytes.count)
    }
}
