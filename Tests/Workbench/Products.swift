internal import Glibc

/// What the build put beside the running test bundle.
public enum Products: Sendable {
    /// The folder of the running executable: SwiftPM puts every product of one build there.
    public static var folder: String {
        var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let path = String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
        return String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
    }

    /// The path of a dynamic library product.
    public static func library(_ product: String) -> String {
        "\(folder)/lib\(product).so"
    }
}
