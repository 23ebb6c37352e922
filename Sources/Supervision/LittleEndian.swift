/// Numbers in bytes, lowest first. Whoever asks has checked that they are there.
struct LittleEndian {
    let bytes: [UInt8]

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    func u16(at offset: Int) -> UInt16 { number(at: offset) }
    func u32(at offset: Int) -> UInt32 { number(at: offset) }
    func u64(at offset: Int) -> UInt64 { number(at: offset) }

    private func number<Number: FixedWidthInteger>(at offset: Int) -> Number {
        bytes[offset..<(offset + Number.bitWidth / 8)].reversed().reduce(0) { $0 << 8 | Number($1) }
    }
}
