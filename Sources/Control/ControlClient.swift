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
    /// - Parameters:
    ///   - path: with its query, percent-encoded.
    ///   - seconds: how long the answer may take.
    /// - Returns: the JSON answer.
    /// - Throws: ``ControlError`` with the daemon's words, or with status 0 if no daemon answers.
    public func call(
        _ method: HTTPRequest.Method, _ path: String, seconds: Int64 = 30
    ) async throws -> [UInt8] {
        var request = HTTPClientRequest(url: "http+unix://\(Self.encoded(socket))\(path)")
        request.method = NIOHTTP1.HTTPMethod(rawValue: method.rawValue)
        let response: HTTPClientResponse
        do {
            response = try await Self.client.execute(request, timeout: .seconds(seconds))
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

    /// Percent-encodes a text for a path or a query.
    public static func encoded(_ text: String) -> String {
        PercentEncoding.encode(text)
    }
}
