import RuntimeSyncPlugin
import Testing
import WorkforceRequests

private let credential = RequestPurpose.delivery(.credential, kind: "password.updated")
private let profile = RequestPurpose.delivery(.profile, kind: "profile.updated")
private let rename = RequestPurpose.delivery(.lifecycle, kind: "user.renamed")
private let notification = RequestPurpose.delivery(.notification, kind: "logout")

private func outcome(_ end: TransferEnd, _ purpose: RequestPurpose, _ rules: OutcomeRules = OutcomeRules()) -> Outcome {
    rules.completion(of: end, for: purpose, account: nil).outcome
}

@Suite struct `The outcome` {
    /// The table of ``OutcomeRules``, status by status: account, notification, check.
    static let table: [(Int, Outcome, Outcome, Outcome)] = [
        (200, .delivered, .delivered, .delivered), (201, .delivered, .delivered, .delivered),
        (204, .delivered, .delivered, .delivered), (299, .delivered, .delivered, .delivered),
        (300, .misconfigured, .misconfigured, .misconfigured), (301, .misconfigured, .misconfigured, .misconfigured),
        (304, .misconfigured, .misconfigured, .misconfigured), (308, .misconfigured, .misconfigured, .misconfigured),
        (400, .refused, .refused, .delivered), (401, .misconfigured, .misconfigured, .misconfigured),
        (403, .refused, .refused, .misconfigured), (404, .absent, .refused, .delivered),
        (405, .refused, .refused, .delivered), (407, .misconfigured, .misconfigured, .misconfigured),
        (408, .retry, .retry, .retry), (409, .refused, .refused, .delivered), (410, .absent, .refused, .delivered),
        (413, .refused, .refused, .delivered), (422, .refused, .refused, .delivered), (425, .retry, .retry, .retry),
        (429, .retry, .retry, .retry), (500, .retry, .retry, .retry),
        (501, .misconfigured, .misconfigured, .misconfigured), (502, .retry, .retry, .retry),
        (503, .retry, .retry, .retry),
        (504, .retry, .retry, .retry), (505, .misconfigured, .misconfigured, .misconfigured),
        (599, .retry, .retry, .retry),
    ]

    @Test(arguments: table)
    func `of each status`(status: Int, account: Outcome, notified: Outcome, checked: Outcome) {
        let end = TransferEnd.answered(Answer(status: status))
        for purpose in [credential, profile, rename] { #expect(outcome(end, purpose) == account) }
        #expect(outcome(end, notification) == notified)
        #expect(outcome(end, .check) == checked)
    }

    @Test func `of a transfer without an answer`() {
        for purpose in [credential, profile, rename] {
            #expect(outcome(.notSent("x"), purpose) == .retry)
            #expect(outcome(.lost("x"), purpose) == .unknown)
            #expect(outcome(.impossible("x"), purpose) == .misconfigured)
        }
        for purpose in [notification, .check] {
            #expect(outcome(.notSent("x"), purpose) == .retry)
            #expect(outcome(.lost("x"), purpose) == .retry)
            #expect(outcome(.impossible("x"), purpose) == .misconfigured)
        }
    }

    @Test func `of a missing account that was to be made or removed`() {
        let gone = TransferEnd.answered(Answer(status: 404))
        #expect(outcome(gone, .delivery(.lifecycle, kind: "user.created")) == .refused)
        #expect(outcome(gone, .delivery(.lifecycle, kind: "user.deleted")) == .delivered)
        #expect(outcome(gone, .delivery(.lifecycle, kind: "user.disabled")) == .absent)
    }

    @Test func `follows the statuses that the settings name`() {
        let rules = OutcomeRules(successStatuses: [200, 409], absentStatuses: [422])
        #expect(outcome(.answered(Answer(status: 409)), credential, rules) == .delivered)
        #expect(outcome(.answered(Answer(status: 204)), credential, rules) == .refused)
        #expect(outcome(.answered(Answer(status: 204)), .check, rules) == .delivered)
        #expect(outcome(.answered(Answer(status: 422)), credential, rules) == .absent)
        #expect(outcome(.answered(Answer(status: 404)), credential, rules) == .refused)
    }

    @Test(
        arguments: [
            (nil, 0), (0, 0), (-5, 0), (7, 7_000), (86_400, 86_400_000), (86_401, 86_400_000), (Int.max, 86_400_000),
        ] as [(Int?, UInt32)])
    func `honours the target's delay up to a day`(seconds: Int?, milliseconds: UInt32) {
        for status in [429, 503] {
            let answer = Answer(status: status, retryAfter: seconds)
            let completion = OutcomeRules().completion(of: .answered(answer), for: credential, account: nil)
            #expect(completion.retryAfter == milliseconds)
        }
    }

    @Test func `names a redirect's host and nothing else of it`() {
        let answer = Answer(status: 302, location: "https://user:pw@sso.corp.example:8443/login?token=abc")
        let completion = OutcomeRules().completion(of: .answered(answer), for: credential, account: nil)
        #expect(completion.detail == "HTTP 302, a redirect to sso.corp.example:8443, is not followed; see base_url")
    }
}

@Suite struct `The account in an answer` {
    private let rules = OutcomeRules(accountField: ["user", "id"])

    private func completion(_ body: String, account: String? = nil, _ purpose: RequestPurpose = credential)
        -> Completion
    {
        rules.completion(of: .answered(Answer(status: 200, body: Array(body.utf8))), for: purpose, account: account)
    }

    @Test func `is the text or number at its path`() {
        #expect(completion(#"{"user": {"id": "u-1"}}"#).account == "u-1")
        #expect(completion(#"{"user": {"id": 12345678901234567890}}"#).account == "12345678901234567890")
    }

    @Test(arguments: [
        "", "<html>", "{}", #"{"user": {"id": null}}"#, #"{"user": {"id": ""}}"#, #"{"user": {"id": [1]}}"#,
    ])
    func `is absent where the answer has none`(body: String) {
        #expect(completion(body).outcome == .delivered)
        #expect(completion(body).account == nil)
    }

    @Test func `must be the one that the subject is bound to`() {
        #expect(completion(#"{"user": {"id": "u-1"}}"#, account: "u-1").outcome == .delivered)
        let other = completion(#"{"user": {"id": "u-2"}}"#, account: "u-1")
        #expect(other.outcome == .refused)
        #expect(other.detail.contains("u-2"))
    }

    @Test func `does not matter to a notification`() {
        #expect(
            completion(#"{"user": {"id": "u-2"}}"#, account: "u-1", notification)
                == completion("", account: nil, notification))
    }
}

@Suite struct `The target's words` {
    private func detail(_ answer: Answer) -> String {
        OutcomeRules().completion(of: .answered(answer), for: credential, account: nil).detail
    }

    @Test func `are the beginning of the body on one line`() {
        #expect(
            detail(Answer(status: 422, body: Array("{\r\n  \"error\":\t\"too short\"\u{1B}[31m\n}".utf8)))
                == #"HTTP 422: { "error": "too short" [31m }"#)
        #expect(detail(Answer(status: 409)) == "HTTP 409")
    }

    @Test func `are whole, for the host to look for passwords in them before it cuts them`() {
        let text = String(repeating: "é", count: 20_000)
        let isWhole = detail(Answer(status: 400, body: Array(text.utf8))) == "HTTP 400: \(text)"
        #expect(isWhole)
    }

    @Test func `come after our own, which are not cut off then`() {
        let gone = OutcomeRules().completion(
            of: .answered(Answer(status: 404, body: Array("no such user".utf8))),
            for: .delivery(.lifecycle, kind: "user.deleted"), account: nil)
        #expect(gone.detail == "HTTP 404; it was gone: no such user")
    }

    @Test func `are kept back if they repeat the password`() {
        #expect(
            detail(Answer(status: 400, isRedacted: true)) == "HTTP 400; its text repeated the password and is not shown"
        )
    }
}

@Suite struct `The search for a repeated password` {
    private func repeats(_ answer: String, _ secret: String) -> Bool {
        Array(answer.utf8).withUnsafeBytes { answer in
            Array(secret.utf8).withUnsafeBytes { Redaction.does(answer, repeat: $0) }
        }
    }

    @Test(arguments: [
        #"p"ä\s & <s>'😀"#, "p\"ä\\s & <s>'😀",
        #"{"value": "p\"ä\\s & <s>'😀"}"#, #"{"value": "p\u0022\u00e4\u005Cs \u0026 \u003cs\u003e\u0027\ud83d\ude00"}"#,
        "<p>p&quot;ä\\s &amp; &lt;s&gt;&#39;&#x1F600;</p>", "p&#34;&#228;\\s &amp; &lt;s&gt;&apos;😀",
        "q=p%22%C3%A4%5Cs%20%26%20%3Cs%3E%27%F0%9F%98%80", "q=p%22%c3%a4%5cs+%26+%3cs%3e%27%f0%9f%98%80&x=1",
    ])
    func `finds a password however the target quotes it`(answer: String) {
        #expect(repeats("before \(answer) after", #"p"ä\s & <s>'😀"#))
    }

    @Test(arguments: [
        ("", "x"), ("hunter", "hunter2"), ("Hunter2", "hunter2"), ("hunte r2", "hunter2"), ("\\", "hunter2"),
        ("\\u12", "u12x"),
        ("&#;&;&#x;&#99999999999;&", "q"), ("%", "x"), ("%4", "x"), ("\\ud83d", "x"), ("\\ud83d\\u0041", "😀"),
        ("anything", ""),
    ])
    func `finds nothing where nothing is`(answer: String, secret: String) {
        #expect(!repeats(answer, secret))
    }

    @Test func `finds a password at the very end and one of a single letter`() {
        #expect(repeats("xyz hunter2", "hunter2"))
        #expect(repeats("\\u0041", "A"))
    }
}
