internal import AsyncHTTPClient
internal import Glibc
public import HTTPTypes
internal import NIOCore
internal import NIOHTTP1

/// Sends commands to a running daemon.
public struct ControlClient: Sendable {
    /// Bytes that are taken.
    private static let longestAnswer = 64 << 20

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
        } catch let error as HTTPClientError where error == .deadlineExceeded {
            throw ControlError(
                status: 0, "the daemon on \(socket) has not answered within \(seconds) s; it may still do it")
        } catch {
            throw ControlError(
                status: 0,
                "no daemon answers on \(socket): is it running, and are you its user or root? (\(Self.words(for: error)))"
            )
        }
        let body: ByteBuffer
        do {
            body = try await response.body.collect(upTo: Self.longestAnswer)
        } catch is NIOTooManyBytesError {
            throw ControlError(
                status: 0, "the daemon's answer is longer than \(Self.longestAnswer >> 20) MiB; ask for less at a time")
        } catch {
            throw ControlError(status: 0, "the daemon's answer ended early (\(error))")
        }
        guard response.status == .ok else {
            let words = String(buffer: body)
            throw ControlError(
                status: Int(response.status.code),
                words.isEmpty ? "the daemon answered \(response.status.code) without a word" : words)
        }
        return Array(buffer: body)
    }

    /// Why a connection failed: the system's words where they are all there is to say.
    public static func words(for error: any Error) -> String {
        (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)"
    }

    /// Percent-encodes a text for a path or a query.
    public static func encoded(_ text: String) -> String {
        PercentEncoding.encode(text)
    }
}
