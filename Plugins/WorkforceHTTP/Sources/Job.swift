internal import RuntimeSyncPlugin
internal import WorkforceRequests

/// One request that the host waits for, ready to be sent. Its secrets are wiped when the last reference goes, which is
/// right after it was completed.
final class Job: Sendable {
    /// The host's id.
    let id: UInt64
    let purpose: RequestPurpose
    /// On the host's clock, in milliseconds: the host stops waiting then.
    let deadline: UInt64
    /// The account that the subject is bound to.
    let account: String?
    let url: String
    let request: FilledRequest
    /// The password that the body carries, to find it again in an answer.
    let secret: SecretBuffer?

    init(
        id: UInt64, purpose: RequestPurpose, deadline: UInt64, account: String?, url: String,
        request: consuming FilledRequest, secret: consuming SecretBuffer?
    ) {
        self.id = id
        self.purpose = purpose
        self.deadline = deadline
        self.account = account
        self.url = url
        self.request = request
        self.secret = secret
    }

    /// How long a transfer may take from now on, in milliseconds: a tenth of what is left, at most 100, is kept back so
    /// that our own answer comes before the host gives up. 0 if it is too late to begin.
    func patience(now: UInt64) -> Int {
        guard deadline > now else { return 0 }
        let rest = Int(deadline - now)
        return rest - min(rest / 10, 100)
    }
}
