import Testing
import Workbench

@testable import Supervision

@Suite struct ELFNoteTests {
    @Test func `a note is found among others, in any note segment`() throws {
        let other = note("GNU", type: 3, "build id")
        let mine = note("RuntimeSync", type: 1, #"{"name":"X"}"#)
        for segments in [
            [mine], [other + mine], [other, mine], [mine + other], [other, other + other + mine + other],
        ] {
            #expect(try find(in: elf(segments)) == #"{"name":"X"}"#)
        }
    }

    @Test func `another name, another type or a longer name is another note`() throws {
        for bytes in [
            note("RuntimeSync", type: 2, "{}"), note("RuntimeSynk", type: 1, "{}"), note("RuntimeSyncs", type: 1, "{}"),
            note("Runtime", type: 1, "{}"),
        ] {
            #expect(try find(in: elf([bytes])) == nil)
        }
    }

    @Test func `a segment aligned to 8 pads to 8`() throws {
        let bytes = note("GNU", type: 5, "12345", alignment: 8) + note("RuntimeSync", type: 1, "{}", alignment: 8)
        #expect(try find(in: elf([bytes], alignment: 8)) == "{}")
    }

    @Test func `what the macro of the header leaves after the text does no harm`() throws {
        #expect(try find(in: elf([note("RuntimeSync", type: 1, "1234") + [0, 0, 0, 0]])) == "1234")
    }

    @Test func `a file that is not ELF, or has no segments, has no note`() throws {
        #expect(try find(in: []) == nil)
        #expect(try find(in: Array("#!/bin/sh\n".utf8)) == nil)
        #expect(try find(in: Array(elf([]).prefix(63))) == nil)
        #expect(try find(in: elf([])) == nil)
    }

    @Test func `files that lie about sizes are refused`() {
        let good = elf([note("RuntimeSync", type: 1, "{}")])
        func changed(at offset: Int, to bytes: [UInt8]) -> [UInt8] {
            var copy = good
            copy.replaceSubrange(offset..<(offset + bytes.count), with: bytes)
            return copy
        }
        let most = [UInt8](repeating: 0xff, count: 8)
        let segment = 64 + 56
        let lies: [([UInt8], ELFNoteError)] = [
            (changed(at: 4, to: [1]), .foreign),
            (changed(at: 5, to: [2]), .foreign),
            (changed(at: 32, to: most), .damaged("program headers")),
            (changed(at: 54, to: [55, 0]), .damaged("program headers")),
            (changed(at: 56, to: [0xff, 0xff]), .damaged("program headers")),
            (changed(at: 64 + 8, to: most), .damaged("note segment")),
            (changed(at: 64 + 32, to: most), .damaged("note segment")),
            (changed(at: 64 + 32, to: [0, 0, 0x10, 1]), .damaged("note segment")),
            (changed(at: segment, to: [0xff, 0xff, 0xff, 0xff]), .damaged("note")),
            (changed(at: segment + 4, to: [0xff, 0xff, 0xff, 0xff]), .damaged("note")),
            (
                elf([note("RuntimeSync", type: 1, String(repeating: "x", count: (256 << 10) + 1))]),
                .tooLarge((256 << 10) + 1)
            ),
        ]
        for (index, (bytes, reason)) in lies.enumerated() {
            #expect(throws: reason, "lie \(index)") { try find(in: bytes) }
        }
    }

    @Test func `no damage makes the reader trip`() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(state: seed)
        let good = elf([
            note("GNU", type: 3, "build id"), note("RuntimeSync", type: 1, #"{"name":"X"}"#) + note("GNU", type: 1, ""),
        ])
        var ends: Set<String> = []
        for _ in 0..<20_000 {
            var bytes = good
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let value: UInt8 =
                    [0, 1, 0x7f, 0x80, 0xff, UInt8.random(in: 0...255, using: &random)]
                    .randomElement(using: &random) ?? 0
                bytes[Int.random(in: bytes.indices, using: &random)] = value
            }
            bytes.removeLast(Int.random(in: 0...1, using: &random) * Int.random(in: 0..<bytes.count, using: &random))
            do {
                ends.insert(try find(in: bytes) == nil ? "none" : "found")
            } catch {
                ends.insert("refused")
            }
        }
        #expect(ends == ["none", "found", "refused"], "seed \(seed)")
    }

    private func find(in file: [UInt8]) throws -> String? {
        let found = try ELFNote.find("RuntimeSync", type: 1) { offset, count in
            guard let start = Int(exactly: offset), start <= file.count, count <= file.count - start else { return nil }
            return Array(file[start..<(start + count)])
        }
        return found.map { String(decoding: $0, as: UTF8.self) }
    }
}

/// One note of the generic ABI.
func note(_ name: String, type: UInt32, _ content: String, alignment: Int = 4) -> [UInt8] {
    func padded(_ bytes: [UInt8]) -> [UInt8] {
        bytes + [UInt8](repeating: 0, count: (alignment - bytes.count % alignment) % alignment)
    }
    let name = Array(name.utf8) + [0]
    return padded(little(UInt32(name.count)) + little(UInt32(content.utf8.count)) + little(type) + name)
        + padded(Array(content.utf8))
}

/// A 64-bit ELF library for this machine, of nothing but note segments.
func elf(_ segments: [[UInt8]], alignment: UInt64 = 4) -> [UInt8] {
    var header: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1] + [UInt8](repeating: 0, count: 9)
    header += little(UInt16(3)) + little(ELFLayout.ownMachine) + [UInt8](repeating: 0, count: 12)
    header += little(UInt64(64)) + [UInt8](repeating: 0, count: 14)
    header += little(UInt16(56)) + little(UInt16(segments.count)) + [UInt8](repeating: 0, count: 6)
    var offset = UInt64(64 + 56 * segments.count)
    var table: [UInt8] = []
    for segment in segments {
        table += little(UInt32(4)) + little(UInt32(4)) + little(offset) + little(UInt64(0)) + little(UInt64(0))
        table += little(UInt64(segment.count)) + little(UInt64(segment.count)) + little(alignment)
        offset += UInt64(segment.count)
    }
    return header + table + segments.flatMap(\.self)
}

private func little(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian, Array.init)
}
