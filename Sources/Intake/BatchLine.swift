internal import Glibc

/// A line of a batch that holds something.
struct BatchLine {
    /// From 1; lines without an event count too.
    var number: Int
    var bytes: UnsafeMutableRawBufferPointer

    /// The lines of a body, blank ones left out.
    static func lines(
        of body: UnsafeMutableRawBufferPointer, limits: IntakeLimits
    ) throws(Refusal) -> [BatchLine] {
        var lines: [BatchLine] = []
        var rest = body
        var number = 0
        while let start = rest.baseAddress, !rest.isEmpty {
            number += 1
            let end = memchr(start, Int32(UInt8(ascii: "\n")), rest.count).map { start.distance(to: $0) } ?? rest.count
            let line = UnsafeMutableRawBufferPointer(rebasing: rest[..<end])
            if line.contains(where: { $0 != 0x20 && $0 != 0x09 && $0 != 0x0d }) {
                lines.append(BatchLine(number: number, bytes: line))
            }
            rest = UnsafeMutableRawBufferPointer(rebasing: rest[min(end + 1, rest.count)...])
        }
        guard !lines.isEmpty else { throw .invalid("", "the body is empty; one event a line is accepted") }
        guard lines.count <= limits.batchLines else {
            throw .tooManyLines(limits.batchLines)
        }
        return lines
    }
}
