import CWorkerProtocol
import Delivery
import NIOCore
import Synchronization

/// Stands where a worker would: keeps what it was sent until the test answers.
final class Port: ProviderPort {
    private struct State {
        var requests: [SeenRequest] = []
        var checks: [UInt64] = []
        var cancelled: [UInt64] = []
        var restarts: [Int] = []
    }

    private let state = Mutex(State())

    /// Deliveries and look-ups that were not taken yet.
    var requests: [SeenRequest] { state.withLock(\.requests) }
    var cancelled: [UInt64] { state.withLock(\.cancelled) }
    /// Whose end was asked for, by generation.
    var restarted: [Int] { state.withLock(\.restarts) }

    func send(_ frames: ByteBuffer, generation: Int) {
        state.withLock { state in
            for request in SeenRequest.all(in: frames) {
                switch rtw_type(UInt32(request.type)) {
                case RTW_CHECK: state.checks.append(request.id)
                case RTW_CANCEL: state.cancelled.append(request.id)
                default: state.requests.append(request)
                }
            }
        }
    }

    func restart(generation: Int, reason: String) {
        state.withLock { $0.restarts.append(generation) }
    }

    func take(_ id: UInt64) {
        state.withLock { $0.requests.removeAll { $0.id == id } }
    }

    func takeChecks() -> [UInt64] {
        state.withLock { state in
            defer { state.checks = [] }
            return state.checks
        }
    }
}

extension SeenRequest {
    var isLookUp: Bool { rtw_type(UInt32(type)) == RTW_READ }
}
