internal import Glibc
public import Workbench

extension Products {
    /// The manifest in the library at `path`: the JSON of its `RuntimeSync` note.
    ///
    /// This finds the note by its header's bytes, not by the section table; the daemon's own reader does it properly.
    public static func manifest(at path: String) throws -> String {
        guard let file = fopen(path, "rb") else { throw HarnessError.system(call: "open \(path)", code: errno) }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 20)
        while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
        // namesz = 12, four bytes of descsz, type = 1, the name: see RTS_MANIFEST in runtime_sync.h.
        let before: [UInt8] = [12, 0, 0, 0]
        let after: [UInt8] = [1, 0, 0, 0] + Array("RuntimeSync\0".utf8)
        for start in stride(from: 0, to: bytes.count - 24, by: 4)
        where bytes[start] == 12 && bytes[start + 8] == 1 {
            guard bytes[start..<start + 4].elementsEqual(before),
                bytes[start + 8..<start + 24].elementsEqual(after)
            else { continue }
            let size = (0..<4).reduce(0) { $0 | Int(bytes[start + 4 + $1]) << (8 * $1) }
            guard start + 24 + size <= bytes.count else { break }
            return String(decoding: bytes[(start + 24)..<(start + 24 + size)], as: UTF8.self)
        }
        throw HarnessError.noManifest(path)
    }
}
