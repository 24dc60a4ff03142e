import Core
import NIOCore
import NIOSSL

/// What a TLS connection can carry, by its name in ALPN (RFC 7301).
enum ApplicationProtocol: String, Sendable {
    case http2 = "h2"
    case http11 = "http/1.1"
}

/// A certificate that was checked and is ready to be shown.
struct ServerCertificate: Sendable {
    let context: NIOSSLContext
    let expiresAt: Timestamp

    /// - Parameters:
    ///   - contents: What ``CertificateFiles`` held.
    ///   - protocols: What is offered, the preferred one first.
    /// - Throws: ``CertificateFault``: no PEM in one of the files, a key that is not the certificate's, or a time before or after that in
    ///   which it is valid.
    init(
        _ contents: CertificateFiles.Contents, of files: CertificateFiles, protocols: [ApplicationProtocol], now: Timestamp = .now
    ) throws(CertificateFault) {
        guard let chain = try? NIOSSLCertificate.fromPEMBytes(contents.certificate), let certificate = chain.first else {
            throw CertificateFault("\(files.certificate) holds no certificate in PEM")
        }
        // Without a pass phrase to give, a key under one is as good as none; asking for it on the terminal would hang.
        guard let key = try? NIOSSLPrivateKey(bytes: contents.key, format: .pem, passphraseCallback: { $0([UInt8]()) }) else {
            throw CertificateFault("\(files.key) holds no private key in PEM, or one under a pass phrase")
        }
        expiresAt = Timestamp(milliseconds: Int64(certificate.notValidAfter) * 1000)
        let beginsAt = Timestamp(milliseconds: Int64(certificate.notValidBefore) * 1000)
        guard now < expiresAt else { throw CertificateFault("the certificate in \(files.certificate) was valid until \(expiresAt)") }
        guard now >= beginsAt else { throw CertificateFault("the certificate in \(files.certificate) is valid from \(beginsAt)") }

        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        configuration.minimumTLSVersion = .tlsv12
        configuration.cipherSuiteValues = Self.ciphers
        configuration.applicationProtocols = protocols.map(\.rawValue)
        configuration.renegotiationSupport = .none
        // A client that takes nothing does not answer the end of the connection either, and is not waited for.
        configuration.shutdownTimeout = .milliseconds(200)
        // No client is asked for a certificate, so none of the system's authorities need be read.
        configuration.certificateVerification = .none
        configuration.trustRoots = .certificates([])
        // How long the end of a connection waits for the client to say that it has seen it.
        configuration.shutdownTimeout = .seconds(2)
        do {
            context = try NIOSSLContext(configuration: configuration)
        } catch {
            // The chain and the key were read. All that is left to go wrong is that they do not belong together.
            throw CertificateFault("the key in \(files.key) is not that of the first certificate in \(files.certificate)")
        }
    }

    /// For TLS 1.2: forward secrecy and authenticated encryption only, which is what RFC 9325, 4.2, recommends and RFC 9113, 9.2.2,
    /// leaves to HTTP/2. Those of TLS 1.3 are all good, and not chosen here.
    private static let ciphers: [NIOTLSCipher] = [
        .TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, .TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        .TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, .TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        .TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, .TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ]
}

extension GatewayConfiguration {
    /// Reads the certificate as a start does; blocks for some milliseconds. Without TLS there is nothing to check.
    ///
    /// - Throws: ``CertificateFault``.
    public func checkCertificate() throws(CertificateFault) {
        guard let files = certificateFiles else { return }
        _ = try ServerCertificate(try files.contents(), of: files, protocols: [.http11])
    }
}
