@preconcurrency internal import Glibc

/// What reading settings needs from the machine: files and environment variables. The default is the machine itself;
/// tests bring their own.
public struct Surroundings: Sendable {
    /// What is known of a file without opening it.
    public struct FileStatus: Hashable, Sendable {
        public var isRegularFile: Bool
        /// The permission bits, such as `0o600`.
        public var mode: UInt32

        public init(isRegularFile: Bool, mode: UInt32) {
            self.isRegularFile = isRegularFile
            self.mode = mode
        }
    }

    /// Why a file could not be used, in the system's words: "No such file or directory".
    public struct Failure: Error, Hashable, Sendable {
        public let reason: String

        public init(_ reason: String) {
            self.reason = reason
        }
    }

    /// Environment variables by name.
    public var environment: [String: String]
    /// The folder that a relative path of the settings file starts from; absolute.
    public var workingFolder: String
    /// The status of the file at a path, links followed.
    public var status: @Sendable (_ path: String) -> Result<FileStatus, Failure>
    /// The names in a folder, `.` and `..` left out.
    public var names: @Sendable (_ folder: String) -> Result<[String], Failure>
    /// Lends the contents of a regular file of at most `limit` bytes. They are valid during the call and wiped after it.
    public var read:
        @Sendable (_ path: String, _ limit: Int, _ use: (UnsafeRawBufferPointer) -> Void) -> Result<Void, Failure>

    public init(
        environment: [String: String], workingFolder: String,
        status: @escaping @Sendable (_ path: String) -> Result<FileStatus, Failure>,
        names: @escaping @Sendable (_ folder: String) -> Result<[String], Failure>,
        read:
            @escaping @Sendable (_ path: String, _ limit: Int, _ use: (UnsafeRawBufferPointer) -> Void)
            -> Result<Void, Failure>
    ) {
        self.environment = environment
        self.workingFolder = workingFolder
        self.status = status
        self.names = names
        self.read = read
    }
}

extension Surroundings {
    /// This machine: its file system, and this process's environment as it is now.
    public static var machine: Self {
        machine(environment: processEnvironment)
    }

    /// This machine's file system with another environment.
    public static func machine(environment: [String: String]) -> Self {
        Self(
            environment: environment, workingFolder: currentFolder, status: fileStatus, names: fileNames,
            read: lendFile)
    }

    private static var currentFolder: String {
        guard let path = getcwd(nil, 0) else { return "/" }
        defer { free(path) }
        return String(cString: path)
    }

    private static var processEnvironment: [String: String] {
        var environment: [String: String] = [:]
        var next = environ
        while let entry = next.pointee {
            let line = String(cString: entry)
            if let equals = line.firstIndex(of: "=") {
                environment[String(line[..<equals])] = String(line[line.index(after: equals)...])
            }
            next = next.advanced(by: 1)
        }
        return environment
    }
}

private func failure() -> Surroundings.Failure {
    Surroundings.Failure(String(cString: strerror(errno)))
}

@Sendable private func fileStatus(_ path: String) -> Result<Surroundings.FileStatus, Surroundings.Failure> {
    var status = stat()
    guard stat(path, &status) == 0 else { return .failure(failure()) }
    return .success(
        Surroundings.FileStatus(
            isRegularFile: status.st_mode & S_IFMT == S_IFREG, mode: status.st_mode & 0o7777))
}

@Sendable private func fileNames(_ folder: String) -> Result<[String], Surroundings.Failure> {
    guard let stream = opendir(folder) else { return .failure(failure()) }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
        let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        if name != ".", name != ".." { names.append(name) }
    }
    return .success(names)
}

@Sendable private func lendFile(
    _ path: String, _ limit: Int, _ use: (UnsafeRawBufferPointer) -> Void
) -> Result<Void, Surroundings.Failure> {
    // O_NONBLOCK: a named pipe without a writer would hold us here for ever.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { return .failure(failure()) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { return .failure(failure()) }
    guard status.st_mode & S_IFMT == S_IFREG else { return .failure(.init("it is not a regular file")) }
    guard status.st_size <= limit else { return .failure(.init("it has more than \(limit) bytes")) }
    // One byte more than there should be, to notice a file that grows meanwhile.
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(status.st_size) + 1, alignment: 1)
    defer {
        if let start = buffer.baseAddress { explicit_bzero(start, buffer.count) }
        buffer.deallocate()
    }
    var filled = 0
    while filled < buffer.count {
        let count = Glibc.read(descriptor, buffer.baseAddress?.advanced(by: filled), buffer.count - filled)
        if count < 0, errno == EINTR { continue }
        guard count >= 0 else { return .failure(failure()) }
        guard count > 0 else { break }
        filled += count
    }
    guard filled <= status.st_size else { return .failure(.init("it grew while it was read")) }
    use(UnsafeRawBufferPointer(rebasing: buffer[..<filled]))
    return .success(())
}
