internal import RuntimeSyncPlugin
internal import Testing

@testable internal import LDAPDecisions

struct ResultCodeTests {
    @Test(
        arguments: [
            // code, opening, locating, writing, verifying
            (0, .delivered, .delivered, .delivered, .delivered),
            (3, .retry, .retry, .retry, .retry),
            (11, .retry, .retry, .retry, .retry),
            (51, .retry, .retry, .retry, .retry),
            (52, .retry, .retry, .retry, .retry),
            (80, .retry, .retry, .retry, .retry),
            (118, .retry, .retry, .retry, .retry),
            (14, .misconfigured, .refused, .refused, .refused),
            (47, .misconfigured, .refused, .refused, .refused),
            (68, .misconfigured, .refused, .refused, .refused),
            (8, .misconfigured, .misconfigured, .misconfigured, .misconfigured),
            (13, .misconfigured, .misconfigured, .misconfigured, .misconfigured),
            (48, .misconfigured, .refused, .refused, .refused),
            (49, .misconfigured, .refused, .refused, .refused),
            (50, .misconfigured, .refused, .refused, .refused),
            (53, .misconfigured, .refused, .refused, .refused),
            (10, .misconfigured, .refused, .refused, .refused),
            (19, .misconfigured, .refused, .refused, .refused),
            (21, .misconfigured, .refused, .refused, .refused),
            (34, .misconfigured, .refused, .refused, .refused),
            (32, .misconfigured, .absent, .absent, .absent),
            (122, .misconfigured, .refused, .retry, .refused),
            (4711, .misconfigured, .refused, .refused, .refused),
        ] as [(Int32, Outcome, Outcome, Outcome, Outcome)])
    func `a code means what it means where it comes`(
        number: Int32, opening: Outcome, locating: Outcome, writing: Outcome, verifying: Outcome
    ) {
        let code = ResultCode(number)
        #expect(
            [.opening, .locating, .writing, .verifying].map(code.outcome) == [opening, locating, writing, verifying])
    }

    /// What libldap says by itself, all of ldap.h.
    @Test(
        arguments: [
            // code, sending, opening, locating, writing, verifying
            (-1, .retry, .retry, .retry, .unknown, .retry),
            (-2, .retry, .retry, .retry, .unknown, .retry),
            (-3, .refused, .retry, .retry, .unknown, .retry),
            (-4, .retry, .retry, .retry, .unknown, .retry),
            (-5, .retry, .retry, .retry, .unknown, .retry),
            (-6, .retry, .misconfigured, .retry, .unknown, .retry),
            (-7, .refused, .retry, .retry, .unknown, .retry),
            (-8, .retry, .retry, .retry, .unknown, .retry),
            (-9, .refused, .retry, .retry, .unknown, .retry),
            (-10, .retry, .retry, .retry, .unknown, .retry),
            (-11, .retry, .retry, .retry, .unknown, .retry),
            (-12, .misconfigured, .misconfigured, .retry, .unknown, .retry),
            (-13, .retry, .retry, .retry, .unknown, .retry),
            (-14, .retry, .retry, .retry, .unknown, .retry),
            (-15, .retry, .retry, .retry, .unknown, .retry),
            (-16, .retry, .retry, .retry, .unknown, .retry),
            (-17, .retry, .retry, .retry, .unknown, .retry),
            (-18, .retry, .retry, .retry, .unknown, .retry),
        ] as [(Int32, Outcome, Outcome, Outcome, Outcome, Outcome)])
    func `a code of libldap's own says nothing about the account`(
        number: Int32, sending: Outcome, opening: Outcome, locating: Outcome, writing: Outcome, verifying: Outcome
    ) {
        let code = ResultCode(number)
        #expect(Occasion.allCases.map(code.outcome) == [sending, opening, locating, writing, verifying])
        #expect(!code.text.hasPrefix("code"))
    }

    @Test func `only success is delivered`() {
        for number in (-20...130).map(Int32.init) + [4096, 16654] where number != 0 {
            #expect(!Occasion.allCases.map(ResultCode(number).outcome).contains(.delivered), "\(number)")
        }
    }

    @Test func `a code is written with name and number, an unknown one with its number`() {
        #expect(ResultCode(50).text == "insufficientAccessRights (50)")
        #expect(ResultCode(4711).text == "code 4711")
    }
}

struct ServerAnswerTests {
    private func trace(_ secret: String) -> SecretTrace {
        var secret = secret
        return secret.withUTF8 { SecretTrace(UnsafeRawBufferPointer($0)) }
    }

    @Test(arguments: ["hunter2", "value hunter2 is bad", "xhunter2", "hunter2x", "huhunter2"])
    func `a message that repeats the password is dropped`(message: String) {
        let answer = ServerAnswer(code: ResultCode(19), message: message, hiding: trace("hunter2"))
        #expect(!answer.detail("writing").contains("hunter2"))
        #expect(answer.detail("writing").hasPrefix("writing: constraintViolation (19)"))
    }

    @Test(arguments: ["too short", "hunter", "hunter 2", ""])
    func `any other message is kept`(message: String) {
        let answer = ServerAnswer(code: ResultCode(19), message: message, hiding: trace("hunter2"))
        #expect(answer.message == message)
    }

    @Test func `a long message is cut, far beyond what the host shows, which looks for passwords up to there`() {
        let answer = ServerAnswer(code: ResultCode(19), message: String(repeating: "ü", count: 5000))
        #expect((4_000...4_200).contains(answer.detail("writing the password").utf8.count))
        #expect(answer.message.hasSuffix("…"))
    }
}
