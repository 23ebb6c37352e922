internal import ServiceLifecycle

/// A service that begins when something else is ready; if it is to stop before, it never does.
struct FollowingService: Service {
    private let service: any Service
    private let ready: AsyncStream<Never>

    /// - Parameter ready: ends when the service may begin.
    init(_ service: any Service, after ready: AsyncStream<Never>) {
        self.service = service
        self.ready = ready
    }

    func run() async throws {
        let mayBegin = await cancelWhenGracefulShutdown {
            for await _ in ready {}
            return !Task.isCancelled
        }
        if mayBegin { try await service.run() }
    }
}
