package import RuntimeSyncPlugin

/// The JSON body of a request with `{{placeholders}}` inside its strings, compiled once at the start.
///
/// A string that is nothing but a placeholder becomes the value itself and keeps its type: `"{{attributes}}"` becomes an
/// object, `"{{attempt}}"` a number. Inside a longer string the value's text is put in, escaped.
package struct BodyTemplate: Sendable, Equatable {
    enum Segment: Sendable, Equatable {
        /// JSON as it will be sent.
        case literal([UInt8])
        /// A whole value.
        case value(Placeholder)
        /// Text in the middle of a string.
        case text(Placeholder)
    }

    private(set) var segments: [Segment] = []

    /// - Parameters:
    ///   - json: the template.
    ///   - place: the settings key it stands at, for the error.
    package init(_ json: JSON, at place: String) throws(StartError) {
        try add(json, at: place)
    }

    package var placeholders: [Placeholder] {
        segments.compactMap {
            switch $0 {
            case .literal: nil
            case .value(let placeholder), .text(let placeholder): placeholder
            }
        }
    }

    private mutating func add(_ json: JSON, at place: String) throws(StartError) {
        switch json {
        case .null, .bool, .number:
            add(json.bytes)
        case .string(let text):
            let template = try TextTemplate(text, at: place)
            if case .placeholder(let placeholder)? = template.parts.first, template.parts.count == 1 {
                segments.append(.value(placeholder))
                return
            }
            add("\"")
            for part in template.parts {
                switch part {
                case .literal(let text):
                    var escaped: [UInt8] = []
                    JSON.escape(text.utf8) { escaped.append($0) }
                    add(escaped)
                case .placeholder(let placeholder):
                    segments.append(.text(placeholder))
                }
            }
            add("\"")
        case .array(let elements):
            add("[")
            for (index, element) in elements.enumerated() {
                if index > 0 { add(",") }
                try add(element, at: "\(place).\(index)")
            }
            add("]")
        case .object(let members):
            add("{")
            for (index, member) in members.sorted(by: { $0.key < $1.key }).enumerated() {
                guard !member.key.contains("{{") else {
                    throw StartError("\(place): a placeholder may stand in a value, not in the key \(member.key)")
                }
                if index > 0 { add(",") }
                add(JSON.string(member.key).bytes)
                add(":")
                try add(member.value, at: "\(place).\(member.key)")
            }
            add("}")
        }
    }

    private mutating func add(_ text: StaticString) {
        add(Array(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)))
    }

    private mutating func add(_ bytes: [UInt8]) {
        if case .literal(let before)? = segments.last {
            segments[segments.count - 1] = .literal(before + bytes)
        } else {
            segments.append(.literal(bytes))
        }
    }

    /// Fills the placeholders in. The body is written straight into memory that is wiped; the secret is in no other copy.
    ///
    /// - Parameters:
    ///   - values: what the delivery has.
    ///   - secret: the password's bytes, UTF-8; empty if there is none.
    package func filled(
        with values: RequestValues, secret: UnsafeRawBufferPointer
    ) throws(Unrenderable) -> SecretBuffer {
        var pieces: [Piece] = []
        for segment in segments {
            switch segment {
            case .literal(let bytes):
                pieces.append(.bytes(bytes))
            case .value(let placeholder) where placeholder.source == .secret:
                if try has(secret, placeholder) {
                    pieces += [.bytes([UInt8(ascii: "\"")]), .secret, .bytes([UInt8(ascii: "\"")])]
                } else {
                    pieces.append(.bytes(JSON.null.bytes))
                }
            case .text(let placeholder) where placeholder.source == .secret:
                if try has(secret, placeholder) { pieces.append(.secret) }
            case .value(let placeholder):
                guard let value = values.value(of: placeholder) ?? (placeholder.isOptional ? .null : nil) else {
                    throw Unrenderable(missing: placeholder)
                }
                pieces.append(.bytes(value.bytes))
            case .text(let placeholder):
                var escaped: [UInt8] = []
                JSON.escape((try values.text(of: placeholder) ?? "").utf8) { escaped.append($0) }
                pieces.append(.bytes(escaped))
            }
        }
        var escapedSecret = 0
        JSON.escape(secret) { _ in escapedSecret += 1 }
        let count = pieces.reduce(0) { $0 + $1.count(secret: escapedSecret) }
        return SecretBuffer(count: count) { body in
            var position = 0
            for piece in pieces {
                switch piece {
                case .bytes(let bytes):
                    body[position..<position + bytes.count].copyBytes(from: bytes)
                    position += bytes.count
                case .secret:
                    JSON.escape(secret) {
                        body[position] = $0
                        position += 1
                    }
                }
            }
        }
    }

    private func has(_ secret: UnsafeRawBufferPointer, _ placeholder: Placeholder) throws(Unrenderable) -> Bool {
        guard secret.isEmpty else { return true }
        guard placeholder.isOptional else { throw Unrenderable(missing: placeholder) }
        return false
    }

    private enum Piece {
        case bytes([UInt8])
        case secret

        func count(secret: Int) -> Int {
            switch self {
            case .bytes(let bytes): bytes.count
            case .secret: secret
            }
        }
    }
}
