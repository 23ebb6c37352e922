internal import NIOSSL

/// What BoringSSL says of a connection, in words for an operator.
enum TLSTrouble {
    /// `nil` if the client just went away, as a port check does.
    static func words(for error: any Error) -> String? {
        let text = "\(error)"
        if text.contains("EOF during handshake") { return nil }
        // error:10000418:SSL routines:OPENSSL_internal:TLSV1_ALERT_UNKNOWN_CA at …/tls_record.cc:592
        guard let start = text.firstRange(of: "OPENSSL_internal:"),
            let reason = text[start.upperBound...].split(separator: " ").first
        else { return text }
        return switch reason {
        case "TLSV1_ALERT_UNKNOWN_CA", "SSLV3_ALERT_BAD_CERTIFICATE", "SSLV3_ALERT_CERTIFICATE_UNKNOWN":
            "the client does not trust the certificate of intake.tls (\(reason))"
        case "HTTP_REQUEST", "WRONG_VERSION_NUMBER": "the client does not speak TLS (\(reason))"
        default: String(reason)
        }
    }
}
