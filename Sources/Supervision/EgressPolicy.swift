/// One place that a worker may connect to, as the settings write it.
public struct EgressRule: Hashable, Sendable, CustomStringConvertible {
    /// A name, or an address (IPv6 with or without brackets).
    public let host: String
    public let port: UInt16

    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    public var description: String {
        "\(host):\(port)"
    }
}

/// Says where a worker may connect to. Decides; ``EgressBroker`` looks names up and connects.
///
/// - A name may be looked up if a rule has it (case and a dot at the end do not matter), for the ports of its rules.
/// - An address may be connected to, at the ports of a rule, if the rule writes it out or if it was an answer for the
///   rule's name: the worker never chooses an address itself.
/// - An answer that means this machine, this wire or many machines (see ``IPAddress/isSpecial``) is no answer, and so is
///   one where the daemon itself listens: whoever answers for a name could otherwise point a worker at them. Who means
///   such a place writes its address. `localhost` counts as written-out loopback, and is answered without asking.
struct EgressPolicy: Sendable {
    /// May this name be looked up?
    enum Lookup: Hashable {
        /// Ask the resolver, then ``admit(_:for:)`` its answers.
        case ask(String)
        /// These are the answers; the resolver has no say.
        case answer([IPAddress])
        case refuse
        /// The machine's own name, which libraries ask for at their start: it is not known, and nobody is blamed.
        case ownName
    }

    private var portsByName: [String: Set<UInt16>] = [:]
    private var written: Set<SocketEndpoint> = []
    private let ownListeners: Set<SocketEndpoint>
    private let ownName: String
    /// Addresses that were answered for a name, oldest first.
    private var answered: [String: [IPAddress]] = [:]

    /// So many addresses are remembered for each name; a target behind more of them at once is not known.
    static let addressesPerName = 64

    /// - Parameters:
    ///   - rules: Where the settings send the worker.
    ///   - ownListeners: The addresses (not names) and ports where the daemon listens; port 0, which is not known
    ///     before the daemon listens, is every port.
    ///   - machine: What a listener on the unspecified address listens on.
    ///   - ownName: What the machine is called; empty if nothing.
    init(rules: [EgressRule], ownListeners: [EgressRule] = [], machine: [IPAddress] = [], ownName: String = "") {
        self.ownName = Self.normal(ownName)
        self.ownListeners = ownListeners.reduce(into: []) { all, listener in
            guard let address = IPAddress(listener.host) else { return }
            let addresses = address.isUnspecified ? machine : [address]
            all.formUnion(addresses.map { SocketEndpoint($0, port: listener.port) })
        }
        for rule in rules {
            if let address = IPAddress(rule.host) {
                written.insert(SocketEndpoint(address, port: rule.port))
                continue
            }
            let name = Self.normal(rule.host)
            portsByName[name, default: []].insert(rule.port)
            if name == "localhost" {
                written.formUnion(Self.loopback.map { SocketEndpoint($0, port: rule.port) })
            }
        }
    }

    /// - Parameter port: The port that the answer is for; 0 if it was not told.
    func lookup(_ host: String, port: UInt32) -> Lookup {
        if let address = IPAddress(host) {
            let isWritten = written.contains { $0.address == address && (port == 0 || port == $0.port) }
            return isWritten ? .answer([address]) : .refuse
        }
        let name = Self.normal(host)
        guard let ports = portsByName[name] else { return name == ownName && !name.isEmpty ? .ownName : .refuse }
        guard port == 0 || ports.contains(where: { port == $0 }) else { return .refuse }
        return name == "localhost" ? .answer(Self.loopback) : .ask(name)
    }

    /// Which of the resolver's answers for a name the worker gets to see; they may be connected to from now on.
    mutating func admit(_ answers: [IPAddress], for host: String) -> [IPAddress] {
        let name = Self.normal(host)
        guard let ports = portsByName[name] else { return [] }
        let admitted = answers.filter { address in
            !address.isSpecial && !ownListeners.contains(SocketEndpoint(address, port: 0))
                && !ports.contains { ownListeners.contains(SocketEndpoint(address, port: $0)) }
        }
        var known = answered[name, default: []]
        known.removeAll(where: admitted.contains)
        answered[name] = (known + admitted).suffix(Self.addressesPerName)
        return admitted
    }

    func mayConnect(to endpoint: SocketEndpoint) -> Bool {
        written.contains(endpoint)
            || portsByName.contains { name, ports in
                ports.contains(endpoint.port) && answered[name]?.contains(endpoint.address) == true
            }
    }

    private static func normal(_ host: String) -> String {
        let name = host.lowercased()
        return name.hasSuffix(".") ? String(name.dropLast()) : name
    }

    private static let loopback = [IPAddress("127.0.0.1"), IPAddress("::1")].compactMap(\.self)
}
