public import EventModel

/// A provider as the dispatcher sees it: what it wants, what its plugin can, and how its deliveries are tried again.
public struct ProviderRoute: Sendable {
    /// Its number in the journal.
    public var slot: Int
    /// Its name in the settings.
    public var name: String
    public var targeting: TargetingRule
    /// Which classes its plugin takes.
    public var classes: Set<DeliveryClass>
    public var mapping: AttributeMapping
    public var disposition: DispositionRule
    /// The age at which a waiting delivery is given up; milliseconds.
    public var giveUpAfter: Int64
    /// How long a plugin has for one delivery; milliseconds.
    public var deadline: Int64
    /// How many deliveries are in flight at once.
    public var window: Int
    /// Its plugin implements `check`.
    public var canCheck: Bool
    /// Its plugin implements `read_record`, so an account is looked up before anything is written to it first.
    public var canRead: Bool
    /// It decides and counts everything, and sends nothing.
    public var isObserving: Bool
    /// Why it has no worker, such as a plugin that cannot be used: its deliveries wait. `nil` if nothing stands in the way.
    public var obstacle: String?

    /// Why it has no worker, as far as that is known; empty otherwise.
    var whyNoWorker: String {
        if let obstacle { return obstacle }
        return targeting.syncIsOn && targeting.providerIsOn ? "" : "switched off in the settings"
    }

    /// Seven days; also for deliveries of providers that are not configured any more.
    public static let defaultGiveUpAfter: Int64 = 7 * 86_400_000

    public init(
        slot: Int, name: String, targeting: TargetingRule, classes: Set<DeliveryClass>,
        mapping: AttributeMapping = AttributeMapping(), disposition: DispositionRule = DispositionRule(),
        giveUpAfter: Int64 = ProviderRoute.defaultGiveUpAfter, deadline: Int64 = 30_000, window: Int = 16,
        canCheck: Bool = true, canRead: Bool = true,
        isObserving: Bool = false, obstacle: String? = nil
    ) {
        self.slot = slot
        self.name = name
        self.targeting = targeting
        self.classes = classes
        self.mapping = mapping
        self.disposition = disposition
        self.giveUpAfter = giveUpAfter
        self.deadline = deadline
        self.window = window
        self.canCheck = canCheck
        self.canRead = canRead
        self.isObserving = isObserving
        self.obstacle = obstacle
    }
}
