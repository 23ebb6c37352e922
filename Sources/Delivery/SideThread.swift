internal import Glibc

/// A thread for one piece of work that may wait for the disk: neither the dispatcher nor Swift's tasks should.
enum SideThread {
    private final class Work: Sendable {
        let body: @Sendable () -> Void

        init(_ body: @escaping @Sendable () -> Void) {
            self.body = body
        }
    }

    static func run(_ body: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        let work = Unmanaged.passRetained(Work(body))
        let code = pthread_create(
            &thread, nil,
            { context in
                if let context { Unmanaged<Work>.fromOpaque(context).takeRetainedValue().body() }
                return nil
            }, work.toOpaque())
        guard code == 0 else { return work.release() }  // no thread now; what was wanted is wanted again later
        pthread_detach(thread)
    }
}
