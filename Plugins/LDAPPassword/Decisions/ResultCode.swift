package import RuntimeSyncPlugin

/// What the plugin was doing when the server answered.
package enum Occasion: CaseIterable, Sendable {
    /// Putting a request together, of which nothing has left yet.
    case sending
    /// StartTLS and the service account's bind.
    case opening
    /// Looking for an account.
    case locating
    /// Changing an account.
    case writing
    /// Binding as the account, to see whether a password is its password.
    case verifying
}

/// The number at the head of a server's answer (RFC 4511, section 4.1.9 and the extensions of it) or what libldap says in
/// its place, and what follows from it.
///
/// - A condition of the server that passes is *retry*, whatever was done.
/// - While opening, everything else is *misconfigured*: no request can succeed until somebody changes something.
/// - A server that wants a safer connection or another way to authenticate says so to everyone: *misconfigured*.
/// - Everything else is about this one change or this one account: *refused*. That holds for insufficient rights too,
///   because a directory may protect single accounts; and for codes that nobody knew when this was written.
/// - Below zero are libldap's own codes. They say nothing about an account, only whether something was sent before: an
///   answer to a write that cannot be understood leaves it *unknown*, everything else is *retry*, unless it is the
///   request that libldap cannot put into bytes.
///
/// The server being gone is not a code: see ``DeliveryCourse/interrupted(_:)``.
package struct ResultCode: Hashable, Sendable {
    package let number: Int32

    package init(_ number: Int32) {
        self.number = number
    }

    package static let success = ResultCode(0)
    package static let sizeLimitExceeded = ResultCode(4)
    package static let noSuchObject = ResultCode(32)
    package static let assertionFailed = ResultCode(122)

    /// The name in the RFC, or the number's own.
    package var name: String { knownName ?? "code \(number)" }

    /// Name and number, as in `insufficientAccessRights (50)`.
    package var text: String { knownName.map { "\($0) (\(number))" } ?? name }

    private var knownName: String? { Self.table[number]?.name ?? Self.localNames[number] }

    /// How a request ends that got this answer. `noSuchObject` and `assertionFailed` say more to who knows what was
    /// asked; ``DeliveryCourse`` looks at them first.
    package func outcome(_ occasion: Occasion) -> Outcome {
        if number < 0 { return localOutcome(occasion) }
        let row = Self.table[number]
        return switch occasion {
        case .sending: .refused
        case .opening: row?.opening ?? .misconfigured
        case .locating: row?.locating ?? .refused
        case .writing: row?.writing ?? .refused
        case .verifying: row?.verifying ?? .refused
        }
    }

    private func localOutcome(_ occasion: Occasion) -> Outcome {
        switch (number, occasion) {
        case (-3, .sending), (-7, .sending), (-9, .sending): .refused  // the request itself cannot be encoded
        case (-12, .sending), (-12, .opening), (-6, .opening): .misconfigured  // this libldap cannot do it, ever
        case (_, .writing): .unknown
        default: .retry
        }
    }

    private struct Row {
        let name: String
        let opening, locating, writing, verifying: Outcome

        init(_ name: String, _ opening: Outcome, _ locating: Outcome, _ writing: Outcome, _ verifying: Outcome) {
            self.name = name
            self.opening = opening
            self.locating = locating
            self.writing = writing
            self.verifying = verifying
        }
    }

    private static let localNames: [Int32: String] = [
        -1: "serverDown", -2: "localError", -3: "encodingError", -4: "decodingError", -5: "timeout", -6: "authUnknown",
        -7: "filterError", -8: "userCancelled", -9: "paramError", -10: "noMemory", -11: "connectError",
        -12: "notSupported", -13: "controlNotFound", -14: "noResultsReturned", -15: "moreResultsToReturn",
        -16: "clientLoop", -17: "referralLimitExceeded", -18: "connecting",
    ]

    private static let table: [Int32: Row] = [
        // code, name, then the outcome when opening, locating, writing, verifying
        0: Row("success", .delivered, .delivered, .delivered, .delivered),
        1: Row("operationsError", .misconfigured, .retry, .retry, .retry),
        2: Row("protocolError", .misconfigured, .refused, .refused, .refused),
        3: Row("timeLimitExceeded", .retry, .retry, .retry, .retry),
        4: Row("sizeLimitExceeded", .misconfigured, .refused, .refused, .refused),
        5: Row("compareFalse", .misconfigured, .refused, .refused, .refused),
        6: Row("compareTrue", .misconfigured, .refused, .refused, .refused),
        7: Row("authMethodNotSupported", .misconfigured, .misconfigured, .misconfigured, .misconfigured),
        8: Row("strongerAuthRequired", .misconfigured, .misconfigured, .misconfigured, .misconfigured),
        9: Row("partialResults", .misconfigured, .refused, .refused, .refused),
        10: Row("referral", .misconfigured, .refused, .refused, .refused),
        11: Row("adminLimitExceeded", .retry, .retry, .retry, .retry),
        12: Row("unavailableCriticalExtension", .misconfigured, .refused, .refused, .refused),
        13: Row("confidentialityRequired", .misconfigured, .misconfigured, .misconfigured, .misconfigured),
        14: Row("saslBindInProgress", .misconfigured, .refused, .refused, .refused),
        16: Row("noSuchAttribute", .misconfigured, .refused, .refused, .refused),
        17: Row("undefinedAttributeType", .misconfigured, .refused, .refused, .refused),
        18: Row("inappropriateMatching", .misconfigured, .refused, .refused, .refused),
        19: Row("constraintViolation", .misconfigured, .refused, .refused, .refused),
        20: Row("attributeOrValueExists", .misconfigured, .refused, .refused, .refused),
        21: Row("invalidAttributeSyntax", .misconfigured, .refused, .refused, .refused),
        32: Row("noSuchObject", .misconfigured, .absent, .absent, .absent),
        33: Row("aliasProblem", .misconfigured, .refused, .refused, .refused),
        34: Row("invalidDNSyntax", .misconfigured, .refused, .refused, .refused),
        35: Row("isLeaf", .misconfigured, .refused, .refused, .refused),
        36: Row("aliasDereferencingProblem", .misconfigured, .refused, .refused, .refused),
        47: Row("proxyAuthorizationFailure", .misconfigured, .refused, .refused, .refused),
        48: Row("inappropriateAuthentication", .misconfigured, .refused, .refused, .refused),
        49: Row("invalidCredentials", .misconfigured, .refused, .refused, .refused),
        50: Row("insufficientAccessRights", .misconfigured, .refused, .refused, .refused),
        51: Row("busy", .retry, .retry, .retry, .retry),
        52: Row("unavailable", .retry, .retry, .retry, .retry),
        53: Row("unwillingToPerform", .misconfigured, .refused, .refused, .refused),
        54: Row("loopDetect", .misconfigured, .refused, .refused, .refused),
        64: Row("namingViolation", .misconfigured, .refused, .refused, .refused),
        65: Row("objectClassViolation", .misconfigured, .refused, .refused, .refused),
        66: Row("notAllowedOnNonLeaf", .misconfigured, .refused, .refused, .refused),
        67: Row("notAllowedOnRDN", .misconfigured, .refused, .refused, .refused),
        68: Row("entryAlreadyExists", .misconfigured, .refused, .refused, .refused),
        69: Row("objectClassModsProhibited", .misconfigured, .refused, .refused, .refused),
        70: Row("resultsTooLarge", .misconfigured, .refused, .refused, .refused),
        71: Row("affectsMultipleDSAs", .misconfigured, .refused, .refused, .refused),
        76: Row("virtualListViewError", .misconfigured, .refused, .refused, .refused),
        // Internal trouble of the server, a full disk for one: it says nothing about the change.
        80: Row("other", .retry, .retry, .retry, .retry),
        // Somebody at the server ended the operation (RFC 3909); it was not carried out.
        118: Row("canceled", .retry, .retry, .retry, .retry),
        119: Row("noSuchOperation", .misconfigured, .refused, .refused, .refused),
        120: Row("tooLate", .misconfigured, .refused, .refused, .refused),
        121: Row("cannotCancel", .misconfigured, .refused, .refused, .refused),
        122: Row("assertionFailed", .misconfigured, .refused, .retry, .refused),
        123: Row("authorizationDenied", .misconfigured, .refused, .refused, .refused),
    ]
}

/// The end of an operation, as the server put it.
package struct ServerAnswer: Equatable, Sendable {
    package let code: ResultCode
    /// For people; already free of secrets (``ServerAnswer/init(code:message:matchedName:hiding:)``).
    package let message: String
    /// With ``ResultCode/noSuchObject``: the last entry on the way down that does exist, if the server says.
    package let matchedName: String

    /// - Parameter trace: of a password that must not be repeated; the message is dropped if it holds it.
    package init(code: ResultCode, message: String = "", matchedName: String = "", hiding trace: SecretTrace? = nil) {
        self.code = code
        self.matchedName = matchedName
        let head = Self.cut(message, to: 4096)
        if let trace, trace.appears(in: head) {
            self.message = "the server's message repeats the password and was dropped"
        } else {
            // The host cuts it to what is shown, after it has looked for passwords in more encodings than we do.
            self.message = head
        }
    }

    /// What was done, the code, and the server's own words.
    package func detail(_ doing: String) -> String {
        message.isEmpty ? "\(doing): \(code.text)" : "\(doing): \(code.text): \(message)"
    }

    private static func cut(_ text: String, to limit: Int) -> String {
        text.utf8.count <= limit ? text : String(decoding: text.utf8.prefix(limit - 3), as: UTF8.self) + "…"
    }
}
