/// Finds a note in an ELF file without loading it: this is how a plugin's manifest is read before any of its code runs.
///
/// Only what we load ourselves is understood: 64-bit, little-endian shared objects (elf(5); notes in the generic ABI,
/// chapter 5). The file may be anybody's, so every offset and size in it is doubted.
enum ELFNote {
    /// The largest note segment and the largest note that are looked at; bytes.
    static let maxSegment: UInt64 = 1 << 20
    static let maxNote = 256 << 10

    /// The descriptor of the first note with this name and type; `nil` if the file has none, or is no ELF file.
    ///
    /// - Parameter read: Answers exactly so many bytes of the file from an offset on, or `nil` where the file ends before.
    static func find(
        _ name: String, type: UInt32, read: (_ offset: UInt64, _ count: Int) -> [UInt8]?
    ) throws(ELFNoteError) -> [UInt8]? {
        guard let header = read(0, 64).map(LittleEndian.init), header.bytes.starts(with: [0x7f, 0x45, 0x4c, 0x46])
        else {
            return nil
        }
        // 64-bit, little-endian, version 1.
        guard header.bytes[4...6].elementsEqual([2, 1, 1]) else { throw .foreign }
        let table = header.u64(at: 32)
        let entrySize = Int(header.u16(at: 54))
        let entries = Int(header.u16(at: 56))
        guard entries > 0 else { return nil }
        guard entrySize == 56, let bytes = read(table, entries * entrySize) else { throw .damaged("program headers") }
        let headers = LittleEndian(bytes)
        for entry in stride(from: 0, to: entries * entrySize, by: entrySize) where headers.u32(at: entry) == noteSegment
        {
            let size = headers.u64(at: entry + 32)
            guard size <= maxSegment, let segment = read(headers.u64(at: entry + 8), Int(size)) else {
                throw .damaged("note segment")
            }
            // Only segments that say 8 pad to 8; 0, 1, 2 and 4 all mean 4.
            let alignment = headers.u64(at: entry + 48) == 8 ? 8 : 4
            if let found = try find(name, type: type, in: LittleEndian(segment), alignment: alignment) { return found }
        }
        return nil
    }

    private static let noteSegment: UInt32 = 4

    private static func find(
        _ name: String, type: UInt32, in segment: LittleEndian, alignment: Int
    ) throws(ELFNoteError) -> [UInt8]? {
        func padded(_ size: Int) -> Int { (size + alignment - 1) & -alignment }
        let wanted = Array(name.utf8) + [0]
        let end = segment.bytes.count
        var start = 0
        while start + 12 <= end {
            let nameSize = Int(segment.u32(at: start))
            let size = Int(segment.u32(at: start + 4))
            // With at most 2³² for each size, nothing here overflows an Int.
            let content = start + padded(12 + nameSize)
            guard content + size <= end else { throw .damaged("note") }
            if segment.u32(at: start + 8) == type, segment.bytes[(start + 12)...].prefix(nameSize).elementsEqual(wanted)
            {
                guard size <= maxNote else { throw .tooLarge(size) }
                return Array(segment.bytes[content..<(content + size)])
            }
            start = content + padded(size)
        }
        return nil
    }
}

/// Why no note can be read from an ELF file.
enum ELFNoteError: Error, Hashable {
    /// 32-bit, big-endian or of another version.
    case foreign
    /// An offset or size that points out of the file.
    case damaged(String)
    /// So many bytes.
    case tooLarge(Int)
}
