internal import CCurl
internal import Glibc
internal import RuntimeSyncPlugin
internal import WorkforceHTTPManifest
internal import WorkforceRequests

/// One job on its way: a libcurl easy handle with everything that it points to. Lives on the loop's thread, and is used
/// again for another job, except after one that carried a password: libcurl may still have a copy of that.
///
/// libcurl is told to follow nothing, to read no file and no environment, and to send the request once: it would
/// otherwise repeat one whose reused connection broke, and two passwords could overtake each other.
final class Transfer {
    let easy: UnsafeMutableRawPointer
    private(set) var job: Job
    private let settings: WorkforceSettings
    private let errorText = UnsafeMutablePointer<CChar>.allocate(capacity: Int(CURL_ERROR_SIZE))
    private var headers: UnsafeMutablePointer<curl_slist>?
    private var answer = AnswerBuffer()
    private var wasSent = false

    /// - Returns: `nil` if libcurl has no memory.
    init?(_ job: Job, settings: WorkforceSettings, identity: borrowing Identity, patience: Int) {
        guard let easy = curl_easy_init() else {
            errorText.deallocate()
            return nil
        }
        self.easy = easy
        self.job = job
        self.settings = settings
        setManners()
        setTrust(identity)
        begin(job, identity: identity, patience: patience)
    }

    deinit {
        curl_easy_cleanup(easy)
        forgetHeaders()
        errorText.deallocate()
    }

    /// Sets up the next job; the one before has ended.
    func begin(_ job: Job, identity: borrowing Identity, patience: Int) {
        self.job = job
        wasSent = false
        answer.forget()
        forgetHeaders()
        errorText.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
        curl_set_long(easy, CURLOPT_CONNECTTIMEOUT_MS, min(settings.connectTimeout, patience))
        curl_set_long(easy, CURLOPT_TIMEOUT_MS, min(settings.timeout, patience))
        setRequest(identity)
    }

    /// Whether another job may use this one when its own has ended.
    var isReusable: Bool { job.secret == nil }

    /// The transfer that an easy handle belongs to.
    static func of(_ easy: UnsafeMutableRawPointer) -> Transfer? {
        curl_get_pointer(easy).map { Unmanaged<Transfer>.fromOpaque($0).takeUnretainedValue() }
    }

    // MARK: Setting up

    private func setManners() {
        curl_set_pointer(easy, CURLOPT_PRIVATE, Unmanaged.passUnretained(self).toOpaque())
        curl_set_pointer(easy, CURLOPT_ERRORBUFFER, errorText)
        curl_set_text(easy, CURLOPT_USERAGENT, "runtime-sync-workforce-http/\(WORKFORCE_VERSION)")
        curl_set_text(easy, CURLOPT_PROTOCOLS_STR, "http,https")
        curl_set_long(easy, CURLOPT_FOLLOWLOCATION, 0)
        curl_set_long(easy, CURLOPT_PATH_AS_IS, 1)
        curl_set_text(easy, CURLOPT_PROXY, "")
        curl_set_text(easy, CURLOPT_NOPROXY, "*")
        curl_set_long(easy, CURLOPT_NETRC, Int(CURL_NETRC_IGNORED.rawValue))
        curl_set_long(easy, CURLOPT_NOSIGNAL, 1)
        // A name that is still being looked up must not hold up the stop.
        curl_set_long(easy, CURLOPT_QUICK_EXIT, 1)
        // Many servers close an idle connection after a minute or so. The younger one of ours is, the less probable is
        // a request that meets the closing on its way.
        curl_set_long(easy, CURLOPT_MAXAGE_CONN, 30)
        curl_set_prereq(easy) { transfer, _, _, _, _ in
            let transfer = transfer.map { Unmanaged<Transfer>.fromOpaque($0).takeUnretainedValue() }
            guard let transfer, !transfer.wasSent else { return CURL_PREREQFUNC_ABORT }
            transfer.wasSent = true
            return CURL_PREREQFUNC_OK
        }
        curl_set_pointer(easy, CURLOPT_PREREQDATA, Unmanaged.passUnretained(self).toOpaque())
        curl_set_write(easy) { bytes, size, count, transfer in
            let transfer = transfer.map { Unmanaged<Transfer>.fromOpaque($0).takeUnretainedValue() }
            transfer?.answer.append(UnsafeRawBufferPointer(start: bytes, count: size * count))
            return size * count
        }
        curl_set_pointer(easy, CURLOPT_WRITEDATA, Unmanaged.passUnretained(self).toOpaque())
    }

    private func setTrust(_ identity: borrowing Identity) {
        curl_set_long(easy, CURLOPT_SSL_VERIFYPEER, 1)
        curl_set_long(easy, CURLOPT_SSL_VERIFYHOST, 2)
        curl_set_long(easy, CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
        if identity.authorities != nil {
            // The folder that libcurl was built with would be trusted beside them.
            curl_set_text(easy, CURLOPT_CAPATH, nil)
            curl_set_text(easy, CURLOPT_CAINFO, nil)
        }
        set(CURLOPT_CAINFO_BLOB, identity.authorities)
        set(CURLOPT_SSLCERT_BLOB, identity.certificate)
        set(CURLOPT_SSLKEY_BLOB, identity.key)
    }

    private func set(_ option: CURLoption, _ file: borrowing SecretBuffer?) {
        file?.withUnsafeBytes { _ = curl_set_blob(easy, option, $0.baseAddress, $0.count) }
    }

    private func setRequest(_ identity: borrowing Identity) {
        curl_set_text(easy, CURLOPT_URL, job.url)
        for line in job.request.headers { addHeader("\(line.name): \(line.value)") }
        // libcurl would hold back a long body until the target asks for it, and say that a body is a form.
        addHeader("Expect:")
        if !job.request.headers.contains(where: { $0.name.lowercased() == "content-type" }) {
            addHeader("Content-Type:")
        }
        identity.authorization?.withUnsafeBytes { addHeader($0.baseAddress?.assumingMemoryBound(to: CChar.self)) }
        curl_set_pointer(easy, CURLOPT_HTTPHEADER, headers)
        curl_set_long(easy, CURLOPT_HTTPGET, 1)
        curl_set_text(easy, CURLOPT_CUSTOMREQUEST, job.request.method)
        guard job.request.method != "GET" else { return }
        guard job.request.body != nil || job.request.method != "DELETE" else { return }
        // Not copied: the job outlives the transfer. Without a body any address will do, but none would mean a callback.
        let body = job.request.body?.withUnsafeBytes { $0 } ?? UnsafeRawBufferPointer(start: errorText, count: 0)
        curl_set_long(easy, CURLOPT_POSTFIELDSIZE, body.count)
        curl_set_pointer(easy, CURLOPT_POSTFIELDS, body.baseAddress)
    }

    private func addHeader(_ line: UnsafePointer<CChar>?) {
        if let longer = curl_slist_append(headers, line) { headers = longer }
    }

    private func forgetHeaders() {
        var node = headers
        while let line = node {
            explicit_bzero(line.pointee.data, strlen(line.pointee.data))
            node = line.pointee.next
        }
        curl_slist_free_all(headers)
        headers = nil
    }

    // MARK: The end

    /// What became of it, after libcurl said so or after it was taken from libcurl (`reason`).
    func end(_ code: CURLcode) -> TransferEnd {
        if code == CURLE_OK { return .answered(finishedAnswer()) }
        let text = String(cString: errorText)
        let reason = text.isEmpty ? String(cString: curl_easy_strerror(code)) : text
        if wasSent {
            // The second sending that libcurl tried and we refused.
            return .lost(code == CURLE_ABORTED_BY_CALLBACK ? "the connection was closed before an answer came" : reason)
        }
        return Self.hopeless.contains(code.rawValue) ? .impossible(reason) : .notSent(reason)
    }

    /// How it stands if it is given up now.
    func abandoned(_ reason: String) -> TransferEnd {
        wasSent ? .lost("\(reason) before an answer came") : .notSent("\(reason) before anything was sent")
    }

    /// Codes that come back for every request until the settings change.
    private static let hopeless = Set(
        [
            CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL, CURLE_NOT_BUILT_IN, CURLE_PEER_FAILED_VERIFICATION,
            CURLE_SSL_CERTPROBLEM, CURLE_SSL_CIPHER, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_CRL_BADFILE,
            CURLE_SSL_ISSUER_ERROR, CURLE_SSL_INVALIDCERTSTATUS, CURLE_SSL_CLIENTCERT,
        ].map(\.rawValue))

    private func finishedAnswer() -> Answer {
        let retryAfter = Int(curl_get_offset(easy, CURLINFO_RETRY_AFTER))
        let isRedacted = job.secret?.withUnsafeBytes { answer.repeats($0) } ?? false
        return Answer(
            status: curl_get_long(easy, CURLINFO_RESPONSE_CODE), retryAfter: retryAfter > 0 ? retryAfter : nil,
            location: curl_get_text(easy, CURLINFO_REDIRECT_URL).map { String(cString: $0) },
            body: isRedacted ? [] : answer.bytes, isRedacted: isRedacted)
    }
}

/// The beginning of an answer's body: enough for an account's id and for people. The rest is read and forgotten. It may
/// quote the password, so it is wiped.
private struct AnswerBuffer: ~Copyable {
    private static let limit = 65_536
    private var memory: UnsafeMutableRawBufferPointer?
    private var count = 0

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        let memory = self.memory ?? .allocate(byteCount: Self.limit, alignment: 1)
        self.memory = memory
        let kept = UnsafeRawBufferPointer(rebasing: bytes.prefix(Self.limit - count))
        UnsafeMutableRawBufferPointer(rebasing: memory[count...]).copyMemory(from: kept)
        count += kept.count
    }

    private borrowing func kept() -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(UnsafeMutableRawBufferPointer(start: memory?.baseAddress, count: count))
    }

    borrowing func repeats(_ secret: UnsafeRawBufferPointer) -> Bool {
        Redaction.does(kept(), repeat: secret)
    }

    var bytes: [UInt8] {
        Array(kept())
    }

    mutating func forget() {
        if let memory { UnsafeMutableRawBufferPointer(rebasing: memory[..<count]).wipe() }
        count = 0
    }

    deinit {
        guard let memory else { return }
        UnsafeMutableRawBufferPointer(rebasing: memory[..<count]).wipe()
        memory.deallocate()
    }
}
