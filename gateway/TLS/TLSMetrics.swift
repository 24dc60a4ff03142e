import Core

/// The text of `/metrics` about TLS.
enum TLSMetrics {
    static func rendered(handshakes: HandshakeGate.Figures, certificate: CertificateStore.Figures) -> String {
        var text = ""
        func family(_ name: String, _ kind: String, _ help: String) {
            text += "# HELP martlet_gateway_\(name) \(help)\n# TYPE martlet_gateway_\(name) \(kind)\n"
        }
        func single(_ name: String, _ kind: String, _ help: String, _ value: Int) {
            family(name, kind, help)
            text += "martlet_gateway_\(name) \(value)\n"
        }
        single("tls_handshakes_total", "counter", "TLS handshakes that ended well.", handshakes.completed)
        family("tls_handshake_failures_total", "counter", "Connections that ended before their TLS handshake did, by reason.")
        for failure in HandshakeGate.Failure.allCases {
            text += "martlet_gateway_tls_handshake_failures_total{reason=\"\(failure.rawValue)\"} \(handshakes.count(failure))\n"
        }
        single("tls_handshakes_under_way", "gauge", "TLS handshakes not ended yet.", handshakes.underWay)
        single(
            "tls_certificate_expiry_seconds", "gauge", "When the certificate in use ends, in seconds since 1970.",
            Int(certificate.expiresAt.milliseconds / 1000))
        single("tls_certificate_reloads_total", "counter", "Certificates taken while running.", certificate.reloads)
        single(
            "tls_certificate_reload_failures_total", "counter",
            "Certificates not taken while running, since something was wrong with them.",
            certificate.failedReloads)
        return text
    }
}
