internal import AsyncHTTPClient
public import HTTPTypes
internal import NIOCore
internal import NIOHTTP1

/// Sends commands to a running daemon.
public struct ControlClient: Sendable {
    private let socket: String

    /// It connects or it does not: a daemon that is not there now will not be in a moment.
    private static let client = {
        var configuration = HTTPClient.Configuration.singletonConfiguration
        configuration.connectionPool.retryConnectionEstablishment = false
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }()

    public init(socket: String) {
        self.socket = socket
    }

    /// Sends one command.
    ///
    /// - Parameter path: with its query, percent-encoded.
    /// - Returns: the JSON answer.
    /// - Throws: ``ControlError`` with the daemon's words, or with status 0 if no daemon answers.
    public func call(_ method: HTTPRequest.Method, _ path: String) async throws -> [UInt8] {
        var request = HTTPClientRequest(url: "http+unix://\(Self.encoded(socket))\(path)")
        request.method = NIOHTTP1.HTTPMethod(rawValue: method.rawValue)
        let response: HTTPClientResponse
        do {
            response = try await Self.client.execute(request, timeout: .seconds(30))
        } catch {
            throw ControlError(
                status: 0, "no daemon answers on \(socket): is it running, and are you its user or root? (\(error))")
        }
        let body = try await response.body.collect(upTo: 64 << 20)
        guard response.status == .ok else {
            let words = String(buffer: body)
            throw ControlError(
                status: Int(response.status.code),
                words.isEmpty ? "the daemon answered \(response.status.code) without a word" : words)
        }
        return Array(buffer: body)
    }

    /// Percent-encodes all but the unreserved characters of RFC 3986.
    public static func encoded(_ text: String) -> String {
        var encoded = ""
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                encoded.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let hex = String(byte, radix: 16, uppercase: true)
                encoded += "%" + (hex.utf8.count == 1 ? "0" : "") + hex
            }
        }
        return encoded
    }
}
