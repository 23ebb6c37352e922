internal import Glibc
public import WorkerProtocol

/// Why a worker is no more.
public enum WorkerLoss: Hashable, Sendable, CustomStringConvertible {
    /// It was asked to, and ended in order.
    case stopped
    /// It was asked to stop and did not in time.
    case stopTimeout
    /// The process could not be made.
    case notSpawned(String)
    /// It was not ready to serve in time.
    case startTimeout
    /// It could not lock itself down, load the plugin, or understand us.
    case failed(WorkerStage, String)
    /// These layers of the sandbox are not in force.
    case unprotected(missing: SandboxLayers)
    /// The plugin does not want to start, and says why.
    case refused(String)
    /// It did not listen any more.
    case unresponsive
    /// It listened, and what it did with its requests was no good.
    case givenUp(String)
    /// It sent what no worker sends.
    case violation(String)
    /// It closed its socket and went on.
    case hungUp
    case exited(code: Int32)
    case killed(signal: Int32)

    init(_ status: ExitStatus) {
        switch status {
        case .exited(let code): self = .exited(code: code)
        case .killed(let signal): self = .killed(signal: signal)
        }
    }

    public var description: String {
        switch self {
        case .stopped: "stopped"
        case .stopTimeout: "killed: it did not stop in time"
        case .notSpawned(let why): "could not be started: \(why)"
        case .startTimeout: "killed: it was not ready in time"
        case .failed(.lockdown, let why): "could not lock itself down: \(why)"
        case .failed(.load, let why): "could not load the plugin: \(why)"
        case .failed(.protocol, let why): "could not understand the daemon: \(why)"
        case .unprotected(let missing):
            "killed: not in force: \(missing.names.joined(separator: ", ")); `sandbox: best-effort` goes on without"
        case .refused(let why): "the plugin does not start: \(why)"
        case .unresponsive: "killed: it did not answer"
        case .givenUp(let why): "killed: \(why)"
        case .violation(let what): "killed: it sent \(what)"
        case .hungUp: "killed: it closed its socket"
        case .exited(let code): "exited with code \(code)"
        case .killed(let signal): "ended by signal \(signal)\(Self.name(of: signal))"
        }
    }

    /// strsignal(3) answers with a constant, or a buffer of this thread (glibc 2.32 and later).
    private static func name(of signal: Int32) -> String {
        strsignal(signal).map { " (\(String(cString: $0)))" } ?? ""
    }
}

/// How a process ended.
public enum ExitStatus: Hashable, Sendable {
    case exited(code: Int32)
    case killed(signal: Int32)

    /// Reads the status of waitpid(2) for a process that has ended.
    init(wait status: Int32) {
        let signal = status & 0x7f
        self = signal == 0 ? .exited(code: status >> 8 & 0xff) : .killed(signal: signal)
    }
}
