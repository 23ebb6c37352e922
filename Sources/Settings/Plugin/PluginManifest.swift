public import EventModel

/// What a plugin says of itself in its ELF note, before any of its code runs (see `runtime_sync.h`).
public struct PluginManifest: Hashable, Sendable {
    /// What a plugin can be asked for.
    public enum Capability: String, Hashable, Sendable, CaseIterable {
        case credential
        case profile
        case lifecycle
        case notification
        case check
        case verifyPassword = "verify_password"
        case readRecord = "read_record"
        /// Its target can demand that a temporary password be changed at the next login; others get none.
        case temporaryPassword = "temporary_password"
    }

    /// The ABI's major version that this daemon speaks; a plugin's must be the same.
    public static let abiMajor = 1

    /// Such as `LDAPPassword`: the library's name without `lib` and `.so`.
    public let name: String
    public let version: String
    /// `MAJOR.MINOR`.
    public let abi: String
    /// A sentence for lists; may be empty.
    public let about: String
    public let capabilities: Set<Capability>
    /// Deliveries that it is best given at once: the default of a provider's `in_flight`; `nil` if it does not say.
    public let inFlight: Int?
    /// What the plugin's settings may hold.
    let settings: SettingsSchema

    /// Reads a manifest: a JSON object.
    ///
    /// - Throws: ``ManifestError`` with everything that is wrong.
    public init(parsing bytes: [UInt8]) throws(ManifestError) {
        let json: JSONValue
        do {
            json = try JSONValue(parsing: bytes)
        } catch {
            throw ManifestError(problems: ["is not JSON: \(error.reason) at byte \(error.offset)"])
        }
        var problems: [String] = []
        func text(_ key: String, _ accepts: String, _ isFine: (String) -> Bool) -> String {
            if let text = json[key]?.text, isFine(text) { return text }
            problems.append("`\(key)` must be \(accepts)")
            return ""
        }
        name = text("name", "letters, digits and _, beginning with a letter", Syntax.isPluginName)
        version = text("version", "a text that is not empty") { !$0.isEmpty }
        abi = text("abi", "\(Self.abiMajor).MINOR, which is what this daemon speaks") { abi in
            let parts = abi.split(separator: ".", omittingEmptySubsequences: false)
            return parts.count == 2 && Int(parts[0]) == Self.abiMajor && UInt16(parts[1]) != nil
        }
        about = json["description"]?.text ?? ""
        var capabilities: Set<Capability> = []
        let names = Capability.allCases.map(\.rawValue)
        if let elements = json["capabilities"]?.elements {
            for element in elements {
                guard let capability = element.text.flatMap(Capability.init(rawValue:)) else {
                    let hint = element.text.flatMap { NearestName.hint($0, among: names) }
                    problems.append(
                        "`capabilities` may hold \(names.joined(separator: ", "))" + (hint.map { "; \($0)" } ?? ""))
                    continue
                }
                capabilities.insert(capability)
            }
        } else {
            problems.append("`capabilities` must be a list")
        }
        self.capabilities = capabilities
        let limits = ProviderSettings.inFlightLimits
        if case .number(let digits)? = json["in_flight"], let number = Int(digits), limits.contains(number) {
            inFlight = number
        } else {
            inFlight = nil
            if json["in_flight"] != nil {
                problems.append("`in_flight` must be a whole number, \(limits.lowerBound) to \(limits.upperBound)")
            }
        }
        var parser = SchemaParser()
        settings = parser.parse(json["settings"] ?? .object([]), at: "settings")
        problems += parser.problems
        guard problems.isEmpty else { throw ManifestError(problems: problems) }
    }

    /// Stands for the manifest of a plugin that cannot be read: it may be able to do everything.
    init(unreadable name: String) {
        self.name = name
        version = ""
        abi = ""
        about = ""
        capabilities = Set(Capability.allCases)
        inFlight = nil
        var parser = SchemaParser()
        settings = parser.parse(.object([]), at: "settings")
    }

    /// Whether its deliver function takes deliveries of this class.
    public func delivers(_ deliveryClass: DeliveryClass) -> Bool {
        switch deliveryClass {
        case .credential: capabilities.contains(.credential)
        case .profile: capabilities.contains(.profile)
        case .lifecycle: capabilities.contains(.lifecycle)
        case .notification: capabilities.contains(.notification)
        }
    }
}

/// A plugin's manifest that cannot be used: the plugin's fault, not the settings'.
public struct ManifestError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Each a sentence that names the place in the manifest.
    public let problems: [String]

    public var description: String {
        "the plugin's manifest is not usable: \(problems.joined(separator: "; "))"
    }
}
