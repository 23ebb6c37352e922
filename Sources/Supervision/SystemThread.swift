internal import Glibc

/// Starts a thread of the system's own kind that runs `body` and ends with it.
///
/// Not a task and no queue: those come and go with their pools, and the kernel counts the parent of a process by thread.
///
/// No signal is handled on it, so that none interrupts its system calls.
///
/// - Parameter name: Shown by `ps -L`; the kernel keeps 15 bytes.
package func startThread(_ name: String, _ body: @escaping @Sendable () -> Void) throws(SystemError) {
    let work = Unmanaged.passRetained(ThreadWork(name: name, body: body))
    var thread = pthread_t()
    let error = pthread_create(&thread, nil, runThreadWork, work.toOpaque())
    guard error == 0 else {
        work.release()
        throw SystemError("pthread_create", error)
    }
    pthread_detach(thread)
}

private final class ThreadWork: Sendable {
    let name: String
    let body: @Sendable () -> Void

    init(name: String, body: @escaping @Sendable () -> Void) {
        self.name = name
        self.body = body
    }
}

private func runThreadWork(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let argument else { return nil }
    let work = Unmanaged<ThreadWork>.fromOpaque(argument).takeRetainedValue()
    nameThisThread(work.name)
    var all = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_SETMASK, &all, nil)
    work.body()
    return nil
}

/// As prctl(2) does with PR_SET_NAME, which Swift cannot call.
private func nameThisThread(_ name: String) {
    let file = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
    guard file >= 0 else { return }
    write(file, name, name.utf8.count)
    close(file)
}
