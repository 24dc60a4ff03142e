import Foundation
import Gateway
import NIOCore
import NIOSSL
import Testing

/// A certificate for localhost that signs itself, in a folder that is removed with the closure that has it.
struct TestCertificate: Sendable {
    let folder: URL
    let files: CertificateFiles

    /// Makes one and hands it on.
    static func with<Result>(_ body: (TestCertificate) async throws -> Result) async throws -> Result {
        let folder = FileManager.default.temporaryDirectory.appending(path: "martlet-certificate-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let certificate = TestCertificate(
            folder: folder,
            files: CertificateFiles(certificate: folder.appending(path: "cert.pem").path, key: folder.appending(path: "key.pem").path))
        try await certificate.make()
        return try await body(certificate)
    }

    /// Makes another key and certificate, in files of other names at first.
    func makeNext() async throws -> CertificateFiles {
        let next = CertificateFiles(certificate: files.certificate + ".next", key: files.key + ".next")
        try await Self.openssl(Self.request + ["-keyout", next.key, "-out", next.certificate])
        return next
    }

    private func make() async throws {
        let next = try await makeNext()
        try put(next.key, at: files.key)
        try put(next.certificate, at: files.certificate)
    }

    /// Takes a file's place, as `mv` does.
    func put(_ file: String, at place: String) throws { try #require(rename(file, place) == 0) }

    /// What is in the certificate's file now.
    func shown() throws -> NIOSSLCertificate { try #require(try NIOSSLCertificate.fromPEMFile(files.certificate).first) }

    /// Trusts what the file holds now, and nothing else.
    func client(
        from oldest: TLSVersion = .tlsv12, to newest: TLSVersion = .tlsv13, protocols: [String] = []
    ) throws -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.trustRoots = .certificates([try shown()])
        configuration.minimumTLSVersion = oldest
        configuration.maximumTLSVersion = newest
        configuration.applicationProtocols = protocols
        configuration.shutdownTimeout = .milliseconds(100)
        return try NIOSSLContext(configuration: configuration)
    }

    private static let request = [
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
        "subjectAltName=DNS:localhost,IP:127.0.0.1",
    ]

    /// Runs a command of OpenSSL.
    static func openssl(_ arguments: [String]) async throws {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["openssl"] + arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        let status = try await withCheckedThrowingContinuation { continuation in
            process.terminationHandler = { continuation.resume(returning: $0.terminationStatus) }
            do { try process.run() } catch { continuation.resume(throwing: error) }
        }
        try #require(status == 0, "openssl \(arguments.joined(separator: " "))")
    }
}
