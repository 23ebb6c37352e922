package import RuntimeSyncPlugin

/// Text with `{{placeholders}}` in it, cut up once at the start.
struct TextTemplate: Sendable, Equatable {
    enum Part: Sendable, Equatable {
        case literal(String)
        case placeholder(Placeholder)
    }

    let parts: [Part]

    /// - Parameters:
    ///   - text: the template.
    ///   - place: the settings key it stands at, for the error.
    init(_ text: String, at place: String) throws(StartError) {
        var parts: [Part] = []
        var rest = text[...]
        while let open = rest.firstRange(of: "{{") {
            guard let close = rest[open.upperBound...].firstRange(of: "}}") else {
                throw StartError("\(place): {{ without }}")
            }
            if open.lowerBound > rest.startIndex { parts.append(.literal(String(rest[..<open.lowerBound]))) }
            let name = rest[open.upperBound..<close.lowerBound]
            guard let placeholder = Placeholder(name) else {
                throw StartError(
                    """
                    \(place): there is no placeholder {{\(name)}}; accepted are externalId, account, username, kind, \
                    attempt, idempotencyKey, temporary, secret, event, event.PATH, attributes, attributes.PATH, each \
                    with a ? after it if it may be absent
                    """)
            }
            parts.append(.placeholder(placeholder))
            rest = rest[close.upperBound...]
        }
        if !rest.isEmpty { parts.append(.literal(String(rest))) }
        self.parts = parts
    }

    init(_ placeholder: Placeholder) {
        parts = [.placeholder(placeholder)]
    }

    var placeholders: [Placeholder] {
        parts.compactMap { if case .placeholder(let placeholder) = $0 { placeholder } else { nil } }
    }

    var literals: [String] {
        parts.compactMap { if case .literal(let text) = $0 { text } else { nil } }
    }

    fileprivate func refuseSecret(at place: String) throws(StartError) {
        guard !placeholders.contains(where: { $0.source == .secret }) else {
            throw StartError("\(place): {{secret}} may stand in a body only; paths and headers end up in logs")
        }
    }
}

/// The path, and perhaps the query, of a request below `base_url`.
package struct PathTemplate: Sendable, Equatable {
    private let text: TextTemplate
    private let written: String

    package init(_ written: String, at place: String) throws(StartError) {
        text = try TextTemplate(written, at: place)
        self.written = written
        try text.refuseSecret(at: place)
        guard written.hasPrefix("/") || written.isEmpty else { throw StartError("\(place): it begins with a slash") }
        guard text.literals.allSatisfy({ $0.utf8.allSatisfy(Self.isWritable) }) else {
            throw StartError("\(place): letters, digits, %XX and -._~!$&'()*+,;=:@/? only (RFC 3986), and no fragment")
        }
        guard !Self.hasDotSegment(written) else { throw StartError("\(place): no . or .. as a segment") }
    }

    package var placeholders: [Placeholder] { text.placeholders }

    /// Fills the placeholders in, with everything percent-encoded that is not unreserved (RFC 3986, 2.3): a value cannot
    /// leave its segment. One that would make a segment `.` or `..` is refused, also between separators of its own:
    /// servers, nginx for one, decode `%2F` and then resolve the dots. So are control characters.
    func filled(with values: RequestValues) throws(Unrenderable) -> String {
        var path = ""
        for part in text.parts {
            switch part {
            case .literal(let text):
                path += text
            case .placeholder(let placeholder):
                guard let text = try values.text(of: placeholder) else { continue }
                guard placeholder.isOptional || !text.isEmpty else { throw Unrenderable(missing: placeholder) }
                guard !text.utf8.contains(where: isControl) else {
                    throw Unrenderable("{{\(placeholder.name)}} has a control character and goes into no path")
                }
                path += Self.encoded(text)
            }
        }
        guard !Self.hasDotSegment(path) else {
            throw Unrenderable(
                "the path \(written) would get . or .. as a segment from a value, between separators or encodings of them; "
                    + "servers resolve those, and the request would reach another path")
        }
        return path
    }

    private static func encoded(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            if isUnreserved(byte) {
                bytes.append(byte)
            } else {
                bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 0xF)]]
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch Unicode.Scalar(byte) {
        case "a"..."z", "A"..."Z", "0"..."9", "-", ".", "_", "~": true
        default: false
        }
    }

    private static func isWritable(_ byte: UInt8) -> Bool {
        isUnreserved(byte) || "!$&'()*+,;=:@/?%".utf8.contains(byte)
    }

    /// Whether any server may find `.` or `..` as a segment before the query: one that decodes once, or again and again,
    /// that takes a backslash for a slash, or that lets go what follows a `;`, `?` or `#`.
    private static func hasDotSegment(_ path: String) -> Bool {
        decoded(path.utf8.prefix { $0 != UInt8(ascii: "?") })
            .split { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\\") }
            .map { segment in segment.prefix { !";?#".utf8.contains($0) } }
            .contains { (1...2).contains($0.count) && $0.allSatisfy { $0 == UInt8(ascii: ".") } }
    }

    /// Without percent-encoding, that of an encoding included.
    private static func decoded(_ path: some Sequence<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        for byte in path {
            result.append(byte)
            // What was decoded may end another %XX: so it is done in one go, however deep it is encoded.
            while let value = encodedEnd(of: result) {
                result.removeLast(3)
                result.append(value)
            }
        }
        return result
    }

    /// What a `%XX` at the end stands for.
    private static func encodedEnd(of bytes: [UInt8]) -> UInt8? {
        let end = bytes.suffix(3)
        guard end.count == 3, end.first == UInt8(ascii: "%") else { return nil }
        let digits = end.dropFirst().compactMap { Character(Unicode.Scalar($0)).hexDigitValue }
        return digits.count == 2 ? UInt8(digits[0] << 4 | digits[1]) : nil
    }
}

/// One header field of a request.
package struct HeaderTemplate: Sendable, Equatable {
    /// The field's name as written in the settings.
    package let name: String
    private let value: TextTemplate

    /// Fields that libcurl or this plugin writes, and `Authorization`, which would put a secret into the settings.
    private static let reserved: Set<String> = [
        "authorization", "connection", "content-length", "expect", "host", "idempotency-key", "keep-alive",
        "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade", "user-agent",
    ]

    package init(name: String, value: String, at place: String) throws(StartError) {
        self.name = name
        self.value = try TextTemplate(value, at: place)
        try self.value.refuseSecret(at: place)
        guard !name.isEmpty, name.utf8.allSatisfy(Self.isToken) else {
            throw StartError(
                "\(place): a header's name is made of letters, digits and !#$%&'*+-.^_`|~ (RFC 9110, 5.6.2)")
        }
        guard !Self.reserved.contains(name.lowercased()) else {
            throw StartError(
                "\(place): this header is set by the plugin; for Authorization use bearer_token or basic_user")
        }
        guard self.value.literals.allSatisfy({ !$0.utf8.contains(where: isControl) }) else {
            throw StartError("\(place): a header's value has no line break or other control character")
        }
    }

    private init(name: String, value: TextTemplate) {
        self.name = name
        self.value = value
    }

    /// Tells one attempt of a delivery from another delivery; on every request.
    static let idempotencyKey = HeaderTemplate(
        name: "Idempotency-Key", value: TextTemplate(Placeholder(.idempotencyKey, name: "idempotencyKey")))

    package var placeholders: [Placeholder] { value.placeholders }

    /// Fills the placeholders in. A line break in a value would start a header of its own, so control characters are
    /// refused. `nil` if the header consists of nothing but an absent optional value.
    func filled(with values: RequestValues) throws(Unrenderable) -> String? {
        var text = ""
        for part in value.parts {
            switch part {
            case .literal(let literal):
                text += literal
            case .placeholder(let placeholder):
                guard let value = try values.text(of: placeholder) else { continue }
                guard !value.utf8.contains(where: isControl) else {
                    throw Unrenderable("{{\(placeholder.name)}} has a control character and goes into no header")
                }
                text += value
            }
        }
        return text.isEmpty ? nil : text
    }

    private static func isToken(_ byte: UInt8) -> Bool {
        switch Unicode.Scalar(byte) {
        case "a"..."z", "A"..."Z", "0"..."9": true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }
}

private func isControl(_ byte: UInt8) -> Bool {
    byte < 0x20 || byte == 0x7F
}
