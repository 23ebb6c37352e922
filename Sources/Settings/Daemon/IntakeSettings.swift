/// Where sources post their events.
public struct IntakeSettings: Hashable, Sendable {
    /// Default `127.0.0.1:8620`. An address that other machines reach needs ``tls``.
    public var listen = ListenAddress.ip(host: "127.0.0.1", port: 8620)
    /// The largest body of a single event; default 256 KiB.
    public var maxBody = ByteCount.kibibytes(256)
    /// The largest body of a batch (NDJSON); default 8 MiB.
    public var maxBatchBody = ByteCount.mebibytes(8)
    /// So many events may wait for the disk; above it the intake answers 503. A batch has at most so many, and at most
    /// 10,000. Default 4,096.
    public var maxPending = 4_096
    /// So many connections may be open; for a further one, an idle one is ended. Default 512.
    public var maxConnections = 512
    /// Off by default: plain HTTP, on this machine only.
    public var tls = TLSSettings()
    /// The users (uid) that may connect to the Unix socket; empty, the default, leaves it to the socket's folder.
    public var peerUIDs: [Int] = []

    public init() {}

    static let fields: [Field<Self>] = [
        .key(
            "listen", \.listen, .listenAddress,
            "Where events are posted. An address that other machines reach needs tls, or the daemon does not start."),
        .key(
            "max_body", \.maxBody, .size(.kibibytes(1)...(.mebibytes(16))),
            "The largest body of a single event; larger ones are answered 413."),
        .key(
            "max_batch_body", \.maxBatchBody, .size(.kibibytes(1)...(.mebibytes(256))),
            "The largest body of a batch (NDJSON)."),
        .key(
            "max_pending", \.maxPending, .integer(1...1_000_000),
            "Events that may wait for the disk; above it the intake answers 503. A batch has at most so many (and 10,000)."
        ),
        .key(
            "max_connections", \.maxConnections, .integer(1...65_536),
            "Connections that may be open; for a further one, an idle one is ended."),
        .section("tls", \.tls, TLSSettings.fields, "Certificate of the intake; both keys or none."),
        .key(
            "peer_uids", \.peerUIDs, .uids,
            "Users (uid) that may connect to a Unix socket. Empty: whom the rights of its folder let in."),
    ]
}

/// The intake's certificate; both files or none.
public struct TLSSettings: Hashable, Sendable {
    /// PEM: the server's certificate, then the intermediate ones; empty by default.
    public var certificate = ""
    /// PEM: the private key; mode 0600; empty by default.
    public var key = ""

    public init() {}

    /// Whether connections are secured.
    public var isOn: Bool { !certificate.isEmpty && !key.isEmpty }

    static let fields: [Field<Self>] = [
        .key(
            "certificate", \.certificate, .path("a path, or empty for plain HTTP", mayBeEmpty: true),
            "PEM file: the server's certificate, then the intermediate ones."),
        .key(
            "key", \.key, .path("a path, or empty for plain HTTP", mayBeEmpty: true),
            "PEM file: the private key; mode 0600."),
    ]
}

extension Syntax<ListenAddress> {
    static let listenAddress = word(
        "an IP address or localhost, and a port, such as 127.0.0.1:8620 or [::1]:8620, or unix:/absolute/path",
        "is not an address to listen on", parse: { ListenAddress($0) }, write: { YAMLScalar.write("\($0)") })
}

extension Syntax<[Int]> {
    static let uids = list(of: .integer(0...4_294_967_294), "a list of user ids, such as [998]")
}
