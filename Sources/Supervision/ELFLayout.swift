/// What an ELF file promises of itself, held against the file: a library for another machine, or one that was cut off on
/// its way here, is told from a good one before a worker is started with it. The loader would map what is not there, and
/// the worker die of a bus error.
enum ELFLayout {
    /// - Parameters:
    ///   - size: of the file; bytes.
    ///   - read: as for ``ELFNote/find(_:type:read:)``, with which the headers have been looked at.
    static func check(size: UInt64, read: (_ offset: UInt64, _ count: Int) -> [UInt8]?) throws(ELFLayoutError) {
        guard let header = read(0, 64).map(LittleEndian.init) else { throw .cutOff(needed: 64) }
        let machine = header.u16(at: 18)
        guard machine == ownMachine else { throw .otherMachine(machine) }
        guard header.u16(at: 16) == sharedObject else { throw .notShared }
        let sections = (header.u64(at: 40), UInt64(header.u16(at: 58)) * UInt64(header.u16(at: 60)))
        // A stripped library has no section headers, and says so with a 0.
        if sections.0 > 0 { try check(sections.0, sections.1, size) }
        let (table, entries) = (header.u64(at: 32), Int(header.u16(at: 56)))
        guard let bytes = read(table, entries * 56) else { throw .cutOff(needed: table &+ UInt64(entries) * 56) }
        let headers = LittleEndian(bytes)
        for entry in stride(from: 0, to: entries * 56, by: 56) where headers.u32(at: entry) == loadSegment {
            try check(headers.u64(at: entry + 8), headers.u64(at: entry + 32), size)
        }
    }

    private static func check(_ offset: UInt64, _ count: UInt64, _ size: UInt64) throws(ELFLayoutError) {
        let (end, overflow) = offset.addingReportingOverflow(count)
        guard !overflow, end <= size else { throw .cutOff(needed: overflow ? .max : end) }
    }

    private static let sharedObject: UInt16 = 3
    private static let loadSegment: UInt32 = 1

    #if arch(x86_64)
        static let ownMachine: UInt16 = 62
    #elseif arch(arm64)
        static let ownMachine: UInt16 = 183
    #endif

    /// A machine's name, from its number in the header (elf(5), and the registry of the generic ABI).
    static func name(ofMachine number: UInt16) -> String {
        switch number {
        case 3: "x86"
        case 21: "ppc64"
        case 22: "s390x"
        case 40: "arm"
        case 62: "x86_64"
        case 183: "aarch64"
        case 243: "riscv64"
        default: "number \(number)"
        }
    }
}

/// Why an ELF file cannot be loaded here.
enum ELFLayoutError: Error, Hashable {
    /// `e_machine`.
    case otherMachine(UInt16)
    /// A program, or something to be linked.
    case notShared
    /// The headers speak of so many bytes, and there are fewer.
    case cutOff(needed: UInt64)
}
