/// Which attributes of a Keycloak user decide where the user's changes go.
public struct TargetingSettings: Hashable, Sendable {
    /// Default `syncEnabled`. Only `true` opts in.
    public var syncEnabledAttribute = "syncEnabled"
    /// Default `userType`.
    public var userTypeAttribute = "userType"
    /// Default `externalId`.
    public var externalIDAttribute = "externalId"
    /// The type of users who are told to have none; empty, the default: they are of no type.
    public var defaultUserType = ""

    public init() {}

    static let fields: [Field<Self>] = [
        .key(
            "sync_enabled_attribute", \.syncEnabledAttribute, .text("the name of an attribute"),
            "Attribute that opts a user in; only the value true does, in any letter case."),
        .key(
            "user_type_attribute", \.userTypeAttribute, .text("the name of an attribute"),
            "Attribute that names the user's type; a provider serves the types in its user_types."),
        .key(
            "external_id_attribute", \.externalIDAttribute, .text("the name of an attribute"),
            "Attribute that names the user's account at the targets."),
        .key(
            "default_user_type", \.defaultUserType, .text("a user type, or empty for none", mayBeEmpty: true),
            "The type of users who are told to have none. Empty: they are of no type.",
            variable: "RUNTIME_SYNC_DEFAULT_USER_TYPE"),
    ]
}
