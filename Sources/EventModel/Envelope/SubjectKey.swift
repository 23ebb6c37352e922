/// Names the user that an event is about. Realm names and usernames change; these three do not.
public struct SubjectKey: Hashable, Sendable {
    /// The Keycloak installation, as its source is called in the settings.
    public var instance: String
    /// The realm's id (not its name).
    public var realmID: String
    /// The user's id in the realm.
    public var userID: String

    public init(instance: String, realmID: String, userID: String) {
        self.instance = instance
        self.realmID = realmID
        self.userID = userID
    }

    /// One text that no two keys share: the parts behind their lengths.
    public var canonical: String {
        "\(instance.utf8.count):\(instance)\(realmID.utf8.count):\(realmID)\(userID)"
    }
}
