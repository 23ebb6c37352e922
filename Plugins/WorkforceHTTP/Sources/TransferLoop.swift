internal import CCurl
internal import Glibc
internal import RuntimeSyncPlugin
internal import Synchronization
internal import WorkforceRequests

/// The one thread on which all requests are sent and answered, by libcurl's multi interface: connections are kept and
/// shared, and nothing blocks but the wait for the next event.
final class TransferLoop: Sendable {
    private let host: PluginHost
    private let settings: WorkforceSettings
    private let multi: Multi
    private let inbox = Mutex(Inbox())
    private let thread = Mutex<pthread_t?>(nil)

    /// What the host asked for since the thread last looked.
    private struct Inbox {
        var jobs: [Job] = []
        var cancelled: [UInt64] = []
        var isStopping = false
    }

    /// libcurl's handle. Everything but `curl_multi_wakeup` happens on the loop's thread.
    private struct Multi: @unchecked Sendable {
        let handle: UnsafeMutableRawPointer
    }

    /// Starts the thread, which owns `identity` from then on.
    init(host: PluginHost, settings: WorkforceSettings, identity: consuming Identity) throws(StartError) {
        guard curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK, let handle = curl_multi_init() else {
            throw StartError("libcurl cannot start")
        }
        self.host = host
        self.settings = settings
        multi = Multi(handle: handle)
        curl_set_multi_long(handle, CURLMOPT_MAXCONNECTS, settings.maxConnections)
        curl_set_multi_long(handle, CURLMOPT_PIPELINING, Int(CURLPIPE_MULTIPLEX))
        let task = Unmanaged.passRetained(ThreadTask(self, identity))
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { task in
                if let task { Unmanaged<ThreadTask>.fromOpaque(task).takeRetainedValue().run() }
                return nil
            }, task.toOpaque())
        guard code == 0 else {
            task.release()
            curl_multi_cleanup(handle)
            throw StartError("no thread can be started: \(String(cString: strerror(code)))")
        }
        self.thread.withLock { $0 = thread }
    }

    /// Carries loop and identity to the thread.
    private final class ThreadTask {
        private let loop: TransferLoop
        private var identity: Identity?

        init(_ loop: TransferLoop, _ identity: consuming Identity) {
            self.loop = loop
            self.identity = consume identity
        }

        func run() {
            guard let identity = identity.take() else { return }
            loop.run(identity)
        }
    }

    /// Any thread. After the stop the job is answered at once.
    func submit(_ job: Job) {
        let (isStopping, isFirst) = inbox.withLock { inbox in
            if !inbox.isStopping { inbox.jobs.append(job) }
            return (inbox.isStopping, inbox.jobs.count == 1)
        }
        if isStopping {
            complete(job, .notSent("the plugin is stopping"))
        } else if isFirst {  // or else the thread is on its way
            curl_multi_wakeup(multi.handle)
        }
    }

    /// Any thread. Ends the job with that id, if there is one.
    func cancel(_ id: UInt64) {
        inbox.withLock { $0.cancelled.append(id) }
        curl_multi_wakeup(multi.handle)
    }

    /// Ends every job and the thread, and returns when both are done.
    func stop() {
        inbox.withLock { $0.isStopping = true }
        guard let thread = thread.withLock({ $0.take() }) else { return }
        curl_multi_wakeup(multi.handle)
        pthread_join(thread, nil)
        curl_multi_cleanup(multi.handle)
    }

    // MARK: On the thread

    private func run(_ identity: consuming Identity) {
        var work = Work()
        while true {
            let news = inbox.withLock { inbox in
                defer { inbox = Inbox(isStopping: inbox.isStopping) }
                return inbox
            }
            work.waiting += news.jobs
            news.cancelled.forEach { abandon($0, "cancelled", &work) }
            if news.isStopping {
                (work.waiting.map(\.id) + work.active.keys).forEach { abandon($0, "the plugin is stopping", &work) }
                return
            }
            admit(&work, identity)
            var running: Int32 = 0
            curl_multi_perform(multi.handle, &running)
            if finish(&work) { continue }  // there is room for the next
            curl_multi_poll(multi.handle, nil, 0, patience(work), nil)
        }
    }

    /// What the thread has to do. `active` is never larger than `max_connections`: libcurl's own queue of transfers that
    /// wait for a connection would not look at their time limits.
    private struct Work {
        var waiting: [Job] = []
        var active: [UInt64: Transfer] = [:]
        /// Ready to be used again.
        var idle: [Transfer] = []

        mutating func transfer(
            _ job: Job, settings: WorkforceSettings, identity: borrowing Identity, patience: Int
        ) -> Transfer? {
            guard let transfer = idle.popLast() else {
                return Transfer(job, settings: settings, identity: identity, patience: patience)
            }
            transfer.begin(job, identity: identity, patience: patience)
            return transfer
        }
    }

    private func admit(_ work: inout Work, _ identity: borrowing Identity) {
        let now = host.now
        var taken = 0
        for job in work.waiting {
            let patience = job.patience(now: now)
            if patience == 0 {
                complete(job, .notSent("no connection was free before the deadline"))
            } else if work.active.count == settings.maxConnections {
                break
            } else if let transfer = work.transfer(job, settings: settings, identity: identity, patience: patience),
                curl_multi_add_handle(multi.handle, transfer.easy) == CURLM_OK
            {
                work.active[job.id] = transfer
            } else {
                complete(job, .notSent("libcurl is out of memory"))
            }
            taken += 1
        }
        work.waiting.removeFirst(taken)
    }

    /// Completes what libcurl has ended; whether there was anything.
    private func finish(_ work: inout Work) -> Bool {
        var any = false
        var left: Int32 = 0
        while let message = curl_multi_info_read(multi.handle, &left) {
            guard message.pointee.msg == CURLMSG_DONE, let easy = message.pointee.easy_handle,
                let transfer = Transfer.of(easy)
            else { continue }
            let end = transfer.end(curl_result(message))
            host.count("connections_opened", Int64(curl_get_long(easy, CURLINFO_NUM_CONNECTS)))
            curl_multi_remove_handle(multi.handle, easy)
            work.active[transfer.job.id] = nil
            complete(transfer.job, end)
            if transfer.isReusable { work.idle.append(transfer) }
            any = true
        }
        return any
    }

    private func abandon(_ id: UInt64, _ reason: String, _ work: inout Work) {
        if let transfer = work.active.removeValue(forKey: id) {
            curl_multi_remove_handle(multi.handle, transfer.easy)
            complete(transfer.job, transfer.abandoned(reason))
        } else if let index = work.waiting.firstIndex(where: { $0.id == id }) {
            complete(work.waiting.remove(at: index), .notSent("\(reason) before anything was sent"))
        }
    }

    /// Milliseconds until the thread has to look again by itself; libcurl wakes it earlier for its own time limits.
    private func patience(_ work: Work) -> Int32 {
        let now = host.now
        return Int32(clamping: work.waiting.map { $0.patience(now: now) }.min() ?? 60_000)
    }

    private func complete(_ job: Job, _ end: TransferEnd) {
        host.complete(job.id, settings.rules.completion(of: end, for: job.purpose, account: job.account))
    }
}
