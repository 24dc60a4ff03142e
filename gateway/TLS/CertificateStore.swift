import Core
import Logging
import NIOPosix
import NIOSSL
import Synchronization

/// The certificate that new connections are shown. It is replaced while the gateway runs: when its files change, and when
/// ``reload()`` is called. A connection keeps the one that it began with.
///
/// Files that do not make a certificate change nothing: the one before stays, the fault is logged once and counted.
final class CertificateStore: Sendable {
    private typealias Found = Result<CertificateFiles.Contents, CertificateFault>

    private struct Watch {
        /// What was tried last, taken or not.
        var tried: Found
        /// What the look before found, where that was not tried yet.
        var seen: Found?
    }

    /// For the metrics.
    struct Figures: Sendable, Equatable {
        var expiresAt: Timestamp
        var reloads = 0
        var failedReloads = 0
    }

    private struct Current {
        var certificate: ServerCertificate
        var figures: Figures
    }

    /// New files are taken when two looks have found the same, so at most twice this after the last of them was written.
    private static let interval = Duration.milliseconds(300)

    private let files: CertificateFiles
    private let protocols: [ApplicationProtocol]
    private let logger: Logger
    /// Held while files are read: one look follows another.
    private let watch: Mutex<Watch>
    /// Held for a moment only: every new connection asks for it.
    private let current: Mutex<Current>

    /// Reads the files; blocks for some milliseconds.
    ///
    /// - Throws: ``CertificateFault``, with which the gateway does not start.
    init(files: CertificateFiles, protocols: [ApplicationProtocol], logger: Logger) throws(CertificateFault) {
        let contents = try files.contents()
        let certificate = try ServerCertificate(contents, of: files, protocols: protocols)
        self.files = files
        self.protocols = protocols
        self.logger = logger
        watch = Mutex(Watch(tried: .success(contents)))
        current = Mutex(Current(certificate: certificate, figures: Figures(expiresAt: certificate.expiresAt)))
        logger.info("TLS is served", metadata: ["certificate.expires": "\(certificate.expiresAt)"])
    }

    /// For a new connection.
    var context: NIOSSLContext { current.withLock { $0.certificate.context } }

    var figures: Figures { current.withLock { $0.figures } }

    /// Looks at the files until the task is cancelled.
    func run() async {
        while true {
            do { try await Task.sleep(for: Self.interval) } catch { return }
            try? await NIOThreadPool.singleton.runIfActive { self.look() }
        }
    }

    /// Reads the files now and tries what they hold, even if it is what was tried before.
    func reload() async {
        try? await NIOThreadPool.singleton.runIfActive {
            self.watch.withLock { self.attempt(self.read(), &$0) }
        }
    }

    /// What the files hold is compared, and not their times: those are too coarse to tell two writes within a few milliseconds. And it
    /// must be the same in two looks: certificate and key are two files, and neither need be whole, or there, while it is replaced.
    private func look() {
        watch.withLock { watch in
            let found = read()
            if found == watch.tried {
                watch.seen = nil
            } else if found == watch.seen {
                attempt(found, &watch)
            } else {
                watch.seen = found
            }
        }
    }

    private func read() -> Found { Found { () throws(CertificateFault) in try files.contents() } }

    private func attempt(_ found: Found, _ watch: inout Watch) {
        watch.tried = found
        watch.seen = nil
        do {
            let certificate = try ServerCertificate(try found.get(), of: files, protocols: protocols)
            current.withLock {
                $0.certificate = certificate
                $0.figures.expiresAt = certificate.expiresAt
                $0.figures.reloads += 1
            }
            logger.info("The certificate was replaced", metadata: ["certificate.expires": "\(certificate.expiresAt)"])
        } catch {
            current.withLock { $0.figures.failedReloads += 1 }
            logger.error("The certificate was not replaced: the one before stays in use", metadata: ["error.reason": "\(error)"])
        }
    }
}
