/// Why the daemon does not start.
struct StartFailure: Error, CustomStringConvertible {
    let description: String
    /// The settings are at fault.
    let isSettings: Bool

    init(_ description: String, isSettings: Bool = false) {
        self.description = description
        self.isSettings = isSettings
    }
}
