/// Which of the subject's values a provider writes into which attribute of its target.
public struct AttributeMapping: Hashable, Sendable {
    /// Where a value comes from.
    public enum Origin: Hashable, Sendable {
        case username, email, firstName, lastName
        /// A custom attribute of the subject.
        case attribute(String)

        /// Reads `email`, `attributes.department`.
        public init?(name: String) {
            switch name {
            case "username": self = .username
            case "email": self = .email
            case "firstName": self = .firstName
            case "lastName": self = .lastName
            default:
                guard name.hasPrefix("attributes."), name.utf8.count > 11 else { return nil }
                self = .attribute(String(name.dropFirst(11)))
            }
        }
    }

    /// One line of the mapping.
    public struct Rule: Hashable, Sendable {
        /// The target's attribute.
        public var target: String
        public var origin: Origin

        public init(target: String, origin: Origin) {
            self.target = target
            self.origin = origin
        }
    }

    public var rules: [Rule]

    public init(rules: [Rule] = []) {
        self.rules = rules
    }

    /// The state to write: target attribute to array of strings.
    ///
    /// Absent, empty and unknown are three things: what a full snapshot does not have, or any snapshot says is null or
    /// empty, becomes an empty array (has no value); what a partial snapshot does not mention is left out (unknown).
    ///
    /// - Parameter subject: the event's `subject`.
    public func attributes(of subject: JSONValue?) -> JSONValue {
        let isComplete = subject?["complete"] == .boolean(true)
        var members: [JSONValue.Member] = []
        for rule in rules {
            let value: JSONValue? =
                switch rule.origin {
                case .username: subject?["username"]
                case .email: subject?["email"]
                case .firstName: subject?["firstName"]
                case .lastName: subject?["lastName"]
                case .attribute(let name): subject?["attributes"]?[name]
                }
            guard let value else {
                if isComplete { members.append(.init(rule.target, .array([]))) }
                continue
            }
            let texts: [JSONValue] =
                switch value {
                case .string(let text): text.isEmpty ? [] : [value]
                case .array(let elements): elements.filter { $0.text?.isEmpty == false }
                default: []
                }
            members.append(.init(rule.target, .array(texts)))
        }
        return .object(members)
    }
}
