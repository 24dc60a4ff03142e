#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Where the certificate and its private key lie, both in PEM.
public struct CertificateFiles: Sendable, Hashable {
    /// The server's certificate first, then those that lead to the authority's.
    public var certificate: String
    public var key: String

    public init(certificate: String, key: String) {
        self.certificate = certificate
        self.key = key
    }

    /// What was in both at one time.
    struct Contents: Hashable, Sendable {
        var certificate: [UInt8]
        var key: [UInt8]
    }

    /// Reads both. Blocks; two or three kilobytes.
    func contents() throws(CertificateFault) -> Contents {
        Contents(certificate: try Self.bytes(of: certificate), key: try Self.bytes(of: key))
    }

    /// A long chain has 20 kB. More is no certificate.
    private static let largest = 1 << 20

    private static func bytes(of path: String) throws(CertificateFault) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw unreadable(path) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 16 * 1024)
        while true {
            let count = part.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw unreadable(path) }
            if count == 0 { return bytes }
            bytes += part[..<count]
            guard bytes.count <= largest else { throw CertificateFault("\(path) is larger than 1 MiB") }
        }
    }

    private static func unreadable(_ path: String) -> CertificateFault {
        CertificateFault("\(path) cannot be read: \(String(cString: strerror(errno)))")
    }
}

/// Why TLS cannot be served with these files: names the file and what is wrong with it, never what is in it.
public struct CertificateFault: Error, Hashable, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}
