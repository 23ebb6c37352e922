/// Why a change does not go to a provider. Each is counted, and a word that operators meet in lists.
public enum SkipReason: String, Hashable, Sendable, CaseIterable {
    /// `enabled: false` in the daemon's settings.
    case syncOff = "sync-off"
    /// `enabled: false` in the provider's settings.
    case providerOff = "provider-off"
    /// The provider's `kinds`, or its plugin's capabilities, do not include this.
    case kindNotRouted = "kind-not-routed"
    /// The event is about nobody we know, and the provider wants eligible subjects only.
    case noSubject = "no-subject"
    /// Nothing is known yet of the subject's attributes.
    case attributesUnknown = "attributes-unknown"
    /// The subject did not opt in.
    case notEnabled = "not-enabled"
    /// The provider does not serve this user type.
    case otherUserType = "other-user-type"
    /// The subject has no external id, and the provider needs one.
    case noExternalID = "no-external-id"
    /// The external id has several values.
    case ambiguousExternalID = "ambiguous-external-id"
    /// A password changed but was not captured: there is nothing to deliver.
    case notCaptured = "not-captured"
    /// The password is temporary, and the plugin cannot make its target demand a change: written, it would be permanent.
    case temporaryPassword = "temporary-password"
    /// A delete of a subject that has no account at this provider.
    case notBound = "not-bound"
    /// The provider only observes: this is what it would have sent.
    case observed = "observed"
}

/// What a provider wants, as far as targeting goes; from its settings and its plugin's capabilities.
public struct TargetingRule: Hashable, Sendable {
    /// Whom notifications are about.
    public enum Notify: String, Hashable, Sendable {
        /// Only subjects whose changes this provider gets.
        case eligible
        /// Everybody, unknown users included: for feeds.
        case all
    }

    /// Which user types are served.
    public enum UserTypes: Hashable, Sendable {
        case all
        case some(Set<String>)
    }

    /// Sync is on, for the daemon as a whole and for this provider.
    public var syncIsOn: Bool
    public var providerIsOn: Bool
    public var kinds: Set<EventKind>
    public var userTypes: UserTypes
    public var notify: Notify
    /// Whether the account is found by the external id only.
    public var needsExternalID: Bool
    /// The type of a user who has none; `nil` if such a user is of no type.
    public var defaultUserType: String?
    /// Whether the target can demand a change of a temporary password at the next login.
    public var takesTemporaryPasswords: Bool

    public init(
        syncIsOn: Bool = true, providerIsOn: Bool = true, kinds: Set<EventKind>, userTypes: UserTypes,
        notify: Notify = .eligible, needsExternalID: Bool = true, defaultUserType: String? = nil,
        takesTemporaryPasswords: Bool = false
    ) {
        self.syncIsOn = syncIsOn
        self.providerIsOn = providerIsOn
        self.kinds = kinds
        self.userTypes = userTypes
        self.notify = notify
        self.needsExternalID = needsExternalID
        self.defaultUserType = defaultUserType
        self.takesTemporaryPasswords = takesTemporaryPasswords
    }
}

/// Whether an event goes to a provider.
public enum TargetingDecision: Hashable, Sendable {
    case deliver(externalID: String?)
    case skip(SkipReason)
}

extension TargetingRule {
    /// Decides for one event and one provider. Asked when the event is fanned out, and again, with the newest facts,
    /// right before a delivery is sent: opting out wins.
    ///
    /// - Parameters:
    ///   - kind: what happened.
    ///   - facts: the newest known facts of the subject; `nil` if the event names no subject.
    ///   - isBound: whether the subject has an account at this provider; deletes are targeted by that alone.
    ///   - isTemporary: whether the event's password must be changed at the next login.
    public func decide(
        _ kind: EventKind, facts: SubjectFacts?, isBound: Bool, isTemporary: Bool = false
    ) -> TargetingDecision {
        guard syncIsOn else { return .skip(.syncOff) }
        guard providerIsOn else { return .skip(.providerOff) }
        guard kinds.contains(kind) else { return .skip(.kindNotRouted) }
        if kind == .userDeleted {
            return isBound ? .deliver(externalID: facts?.externalID.value?.first) : .skip(.notBound)
        }
        let isFeed = kind.deliveryClass == .notification && notify == .all
        guard let facts else { return isFeed ? .deliver(externalID: nil) : .skip(.noSubject) }
        if isFeed { return .deliver(externalID: facts.externalID.value?.first) }
        let decision = eligible(facts)
        guard case .deliver = decision, kind.deliveryClass == .credential, isTemporary else { return decision }
        return takesTemporaryPasswords ? decision : .skip(.temporaryPassword)
    }

    /// Whether the provider serves this subject.
    public func eligible(_ facts: SubjectFacts) -> TargetingDecision {
        guard let isOptedIn = facts.isOptedIn else { return .skip(.attributesUnknown) }
        guard isOptedIn else { return .skip(.notEnabled) }
        if case .some(let served) = userTypes {
            guard case .known(let stated) = facts.userType else { return .skip(.attributesUnknown) }
            let types = stated.isEmpty ? defaultUserType.map { [$0] } ?? [] : stated
            guard types.contains(where: served.contains) else { return .skip(.otherUserType) }
        }
        guard case .known(let externalIDs) = facts.externalID else {
            return needsExternalID ? .skip(.attributesUnknown) : .deliver(externalID: nil)
        }
        guard externalIDs.count < 2 else { return .skip(.ambiguousExternalID) }
        guard let externalID = externalIDs.first, !externalID.isEmpty else {
            return needsExternalID ? .skip(.noExternalID) : .deliver(externalID: nil)
        }
        return .deliver(externalID: externalID)
    }
}
