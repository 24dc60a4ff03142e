import NIOCore
import NIOSSL

/// How connections to Redis are encrypted. Made once: what is read from files stays as it was.
public struct RedisTLS: Sendable {
    /// What is verified of a server, named as by libpq.
    public enum Mode: String, Sendable {
        /// The certificate, and that it is the host's; of a host that is given as an address, that it names the address.
        case verifyFull = "verify-full"
        /// The certificate.
        case verifyCA = "verify-ca"
        /// Nothing: whoever can stand between is not kept out.
        case require
    }

    public let mode: Mode
    /// A file; `nil` for the system's.
    public let rootCertificates: String?
    private let context: NIOSSLContext

    /// - Parameter rootCertificates: a file of certificates to trust, in PEM; `nil` for the system's.
    /// - Throws: what NIOSSL says of a file that cannot be read.
    public init(_ mode: Mode = .verifyFull, rootCertificates: String? = nil) throws {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        // A server that is given up as silent will not answer the end of the connection.
        configuration.shutdownTimeout = .milliseconds(100)
        configuration.certificateVerification =
            switch mode {
            case .verifyFull: .fullVerification
            case .verifyCA: .noHostnameVerification
            case .require: .none
            }
        if let rootCertificates {
            // Read here, or a file that is not there would only be told of by the first connection.
            configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(rootCertificates))
        }
        self.mode = mode
        self.rootCertificates = rootCertificates
        context = try NIOSSLContext(configuration: configuration)
    }

    func handler(to host: String) throws -> NIOSSLClientHandler {
        // The name of a host that is an address is never sent (RFC 6066, section 3); the certificate is then held against the address.
        let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
        return try NIOSSLClientHandler(context: context, serverHostname: isAddress ? nil : host)
    }
}
