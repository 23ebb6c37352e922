/// Judges the answers of one worker to requests that nobody waits for.
///
/// A check that was given up may still be answered: late, but by right. Any other such answer is nonsense. The worker's
/// own code lets through one answer for each request, so only a plugin that writes into the worker's socket by itself can
/// make one up; it is not trusted for long.
public struct StrayAnswers: Hashable, Sendable {
    /// What such an answer is.
    public enum Judgement: Hashable, Sendable {
        /// To a request that was given up.
        case late
        /// To nothing, the first time: worth a word in the log.
        case stray
        /// To nothing, once more.
        case strayAgain
        /// To nothing, too often: the worker is to be ended. Said once.
        case intolerable
    }

    /// A worker is ended after so many stray answers and one.
    public static let tolerated = 16
    /// So many unanswered requests are remembered; a worker holds fewer at a time.
    public static let rememberedRequests = 8_192

    private var givenUp: Set<UInt64> = []
    private var strays = 0

    public init() {}

    /// A request is not waited for any more. One too many to be remembered is a stray when it is answered after all.
    public mutating func gaveUp(_ request: UInt64) {
        guard givenUp.count < Self.rememberedRequests else { return }
        givenUp.insert(request)
    }

    /// What to make of an answer.
    public mutating func judge(_ request: UInt64) -> Judgement {
        guard givenUp.remove(request) == nil else { return .late }
        guard strays <= Self.tolerated else { return .strayAgain }
        strays += 1
        if strays > Self.tolerated { return .intolerable }
        return strays == 1 ? .stray : .strayAgain
    }
}
