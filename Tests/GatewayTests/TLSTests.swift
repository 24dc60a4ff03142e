import Core
import Foundation
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import Operations
import TestSupport
import Testing

@testable import Gateway

@Suite struct TLSTests {
    private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    // MARK: Connections

    @Test func tls12AndTLS13AreServedAndOlderVersionsAreNot() async throws {
        try await TestCertificate.with { certificate async throws in
            try await TestGateway.with(configure: { $0.certificateFiles = certificate.files }) { gateway async throws in
                for version in [TLSVersion.tlsv12, .tlsv13] {
                    try await TestClient.connect(port: gateway.port, tls: try certificate.client(from: version, to: version)) {
                        client async throws in
                        #expect(try await client.get("/v1/plans").status == 200)
                        #expect(try await client.version == version)
                        // The second request goes the same way.
                        #expect(try await client.get("/v1/plans").status == 200)
                    }
                }
                await #expect(throws: (any Error).self) {
                    try await TestClient.connect(port: gateway.port, tls: try certificate.client(from: .tlsv1, to: .tlsv11)) {
                        try await $0.get("/v1/plans")
                    }
                }
                let metrics = try await TestClient.connect(port: gateway.adminPort) { try await $0.get("/metrics") }.body
                #expect(metrics.contains("martlet_gateway_tls_handshakes_total 2\n"))
                #expect(metrics.contains("martlet_gateway_tls_handshake_failures_total{reason=\"version\"} 1\n"))
            }
        }
    }

    /// What a client sends right behind the end of its handshake is read by the protocol that was agreed on, and so is all that follows.
    @Test func theProtocolIsAgreedOnAndGetsEveryByte() async throws {
        try await TestCertificate.with { certificate async throws in
            for (offered, expected) in [
                (["h2", "http/1.1"], "h2"), (["http/1.1", "h2"], "h2"), (["http/1.1"], "http/1.1"), (["spdy/1"], "http/1.1"),
                ([], "http/1.1"),
            ] {
                let server = try await EchoServer(files: certificate.files, logger: Self.logger)
                try await TestClient.connect(port: server.port, tls: try certificate.client(protocols: offered)) { client async throws in
                    // Written before the handshake began, so sent in one piece with its end.
                    try await client.send("ping")
                    #expect(try await client.text(of: expected.utf8.count + 4) == expected + "ping")
                }
                await server.stop()
            }
        }
    }

    @Test func clearTextOnThePortOfTLSIsToldSoAndAnythingElseIsNot() async throws {
        try await TestCertificate.with { certificate async throws in
            try await TestGateway.with(configure: { $0.certificateFiles = certificate.files }) { gateway async throws in
                try await TestClient.connect(port: gateway.port) { client async throws in
                    let answer = try await client.get("/v1/plans")
                    #expect(answer.status == 400 && answer.body.contains("TLS") && answer.header("connection") == "close")
                    #expect(try await client.rest() == "")
                }
                try await TestClient.connect(port: gateway.port) { client async throws in
                    try await client.send("\u{1}\u{2}\u{3}")
                    #expect(try await client.rest() == "")
                }
                try await TestClient.connect(port: gateway.port) { client async throws in
                    // A TLS record of 4 bytes that are no message of a handshake.
                    try await client.send(bytes: [22, 3, 1, 0, 4, 255, 0, 0, 0])
                    _ = try? await client.rest()
                }
                #expect(gateway.upstream.requests.isEmpty)
                let metrics = try await TestClient.connect(port: gateway.adminPort) { try await $0.get("/metrics") }.body
                #expect(metrics.contains("failures_total{reason=\"clear_text\"} 2\n"))
                #expect(metrics.contains("failures_total{reason=\"malformed\"} 1\n"))
            }
        }
    }

    @Test func clearTextIsSpokenOnAPortOfItsOwnWhereOneIsAskedFor() async throws {
        try await TestCertificate.with { certificate async throws in
            try await TestGateway.with(configure: {
                $0.certificateFiles = certificate.files
                $0.clearTextPort = 0
            }) { gateway async throws in
                let port = try #require(gateway.clearTextPort)
                #expect(try await TestClient.connect(port: port) { try await $0.get("/v1/plans") }.status == 200)
                let secure = try await TestClient.connect(port: gateway.port, tls: try certificate.client()) {
                    try await $0.get("/v1/plans")
                }
                #expect(secure.status == 200)
            }
        }
    }

    /// A page that all are sent from the same memory has a copy for each connection once it is encrypted, which counts.
    @Test func pagesThatNobodyTakesCountUnderTLSToo() async throws {
        try await TestCertificate.with { certificate async throws in
            try await TestGateway.with(configure: {
                $0.certificateFiles = certificate.files
                $0.eventLoops = 1
            }) { gateway async throws in
                try await TestClient.connect(port: gateway.port, tls: try certificate.client(), receiveBuffer: 4096) {
                    client async throws in
                    let page = "GET /docs HTTP/1.1\r\nHost: x\r\n\r\n"
                    try await client.send(String(repeating: page, count: 100))
                    try await eventually("the bytes are counted") {
                        let metrics = try await TestClient.connect(port: gateway.adminPort) { try await $0.get("/metrics") }.body
                        let line = try #require(metrics.split(separator: "\n").first { $0.hasPrefix("martlet_gateway_answers_bytes ") })
                        return try #require(line.split(separator: " ").last.flatMap { Int($0) }) > 0
                    }
                    _ = client
                }
            }
        }
    }

    // MARK: Handshakes

    @Test func handshakesOfOneAddressLeaveThoseOfOthersTheirPlaces() async throws {
        try await TestCertificate.with { certificate async throws in
            try await TestGateway.with(configure: {
                $0.certificateFiles = certificate.files
                $0.eventLoops = 1
                $0.addressHandshakeLimit = 2
            }) { gateway async throws in
                let tls = try certificate.client()
                try await TestClient.connect(port: gateway.port) { first async throws in
                    try await first.send(bytes: [22, 3, 1])
                    try await TestClient.connect(port: gateway.port) { second async throws in
                        try await second.send(bytes: [22, 3, 1])
                        try await TestClient.connect(port: gateway.port) { third async throws in #expect(try await third.rest() == "") }
                        let other = try await TestClient.connect(port: gateway.port, tls: tls, from: "127.0.0.2") {
                            try await $0.get("/v1/plans")
                        }
                        #expect(other.status == 200)
                        _ = second
                    }
                    _ = first
                }
                // Their places come back with their end.
                try await eventually("the places are free") {
                    (try? await TestClient.connect(port: gateway.port, tls: tls) { try await $0.get("/v1/plans") })?.status == 200
                }
            }
        }
    }

    @Test func aHandshakeThatDoesNotEndInTimeEndsTheConnection() async throws {
        try await TestCertificate.with { certificate async throws in
            try await TestGateway.with(configure: {
                $0.certificateFiles = certificate.files
                $0.headerTimeout = .milliseconds(200)
            }) { gateway async throws in
                // Nothing, and the head of a record whose rest never comes.
                for start in [[], [22, 3, 1, 2, 0, 1]] as [[UInt8]] {
                    try await TestClient.connect(port: gateway.port) { client async throws in
                        if !start.isEmpty { try await client.send(bytes: start) }
                        _ = try? await client.rest()
                    }
                }
                let metrics = try await TestClient.connect(port: gateway.adminPort) { try await $0.get("/metrics") }.body
                #expect(metrics.contains("failures_total{reason=\"time\"} 2\n") && metrics.contains("under_way 0\n"))
            }
        }
    }

    @Test func whenAllPlacesAreTakenTheOldestHandshakeGivesWay() throws {
        let gate = HandshakeGate(limits: .init(places: 3, placesPerAddress: 2, time: .seconds(10)))
        var ended: [Int] = []
        func enter(_ number: Int, _ address: String?) -> HandshakeGate.Place? {
            gate.enter(address.flatMap { IPAddress($0) }) { ended.append(number) }
        }
        let first = try #require(enter(1, "192.0.2.1"))
        let second = try #require(enter(2, nil))
        // One client has a whole /64 to himself.
        let third = try #require(enter(3, "2001:db8::1"))
        #expect(enter(4, "2001:db8:0:1::1") != nil && ended == [1])
        #expect(enter(5, "2001:db8::2") != nil && ended == [1, 2])
        #expect(enter(6, "2001:db8::3") == nil && ended == [1, 2])
        // What was taken away is not given back a second time, and its time cannot run out.
        gate.leave(first)
        gate.expire(second)
        #expect(ended == [1, 2] && gate.figures.underWay == 3)
        gate.leave(third)
        #expect(enter(7, "2001:db8::3") != nil && ended == [1, 2])
        let figures = gate.figures
        #expect(figures.underWay == 3 && figures.completed == 1)
        #expect(figures.count(.crowdedOut) == 2 && figures.count(.address) == 1 && figures.count(.time) == 0)
    }

    // MARK: The certificate

    @Test func filesThatDoNotMakeACertificateAreRefusedByNameAndFault() async throws {
        try await TestCertificate.with { certificate async throws in
            let files = certificate.files
            let next = try await certificate.makeNext()
            func fault(_ files: CertificateFiles, now: Timestamp = .now) -> String? {
                do throws(CertificateFault) {
                    _ = try ServerCertificate(try files.contents(), of: files, protocols: [.http11], now: now)
                    return nil
                } catch {
                    return "\(error)"
                }
            }
            #expect(fault(files) == nil)
            let missing = CertificateFiles(certificate: "/nowhere/cert.pem", key: files.key)
            #expect(fault(missing) == "/nowhere/cert.pem cannot be read: No such file or directory")
            let foreign = CertificateFiles(certificate: files.certificate, key: next.key)
            #expect(fault(foreign) == "the key in \(next.key) is not that of the first certificate in \(files.certificate)")
            let swapped = CertificateFiles(certificate: files.key, key: files.key)
            #expect(fault(swapped) == "\(files.key) holds no certificate in PEM")
            let keyless = CertificateFiles(certificate: files.certificate, key: files.certificate)
            #expect(fault(keyless) == "\(files.certificate) holds no private key in PEM, or one under a pass phrase")
            let locked = files.key + ".locked"
            try await TestCertificate.openssl(["ec", "-in", files.key, "-aes128", "-passout", "pass:secret", "-out", locked])
            #expect(fault(.init(certificate: files.certificate, key: locked))?.hasPrefix("\(locked) holds no private key") == true)
            let day = Duration.seconds(86_400)
            #expect(fault(files, now: .now.advanced(by: day * 3))?.contains("was valid until 2") == true)
            #expect(fault(files, now: .now.advanced(by: day * -3))?.contains("is valid from 2") == true)
        }
    }

    @Test func aGatewayDoesNotStartWithAKeyThatIsNotTheCertificates() async throws {
        try await TestCertificate.with { certificate async throws in
            let next = try await certificate.makeNext()
            var configuration = GatewayConfiguration(contextKeys: TestContextKeys.keys(of: ContextPair.gateway))
            configuration.port = 0
            configuration.adminPort = 0
            configuration.certificateFiles = CertificateFiles(certificate: certificate.files.certificate, key: next.key)
            #expect(throws: CertificateFault.self) { try configuration.checkCertificate() }
            await #expect(throws: CertificateFault.self) { try await Gateway(configuration: configuration, logger: Self.logger).run() }
        }
    }

    @Test func settingsOfTLSBelongTogether() throws {
        func configuration(_ values: [String: String]) throws -> GatewayConfiguration {
            try GatewayConfiguration(settings: Settings(values: values.merging(["MARTLET_CONTEXT_KEYS": TestContextKeys.text(of: ContextPair.gateway)]) { $1 }))
        }
        let both = try configuration([
            "MARTLET_TLS_CERTIFICATE": "c.pem", "MARTLET_TLS_KEY": "k.pem", "MARTLET_HTTP_PORT": "8081",
        ])
        #expect(both.certificateFiles == CertificateFiles(certificate: "c.pem", key: "k.pem"))
        #expect(both.clearTextPort == 8081 && both.sendsTransportSecurity)
        #expect(try configuration([:]).sendsTransportSecurity == false)
        for (values, name) in [
            (["MARTLET_TLS_CERTIFICATE": "c.pem"], "MARTLET_TLS_KEY"), (["MARTLET_TLS_KEY": "k.pem"], "MARTLET_TLS_CERTIFICATE"),
            (["MARTLET_HTTP_PORT": "8081"], "MARTLET_HTTP_PORT"),
        ] {
            let error = #expect(throws: SettingError.self) { try configuration(values) }
            #expect(error?.description.hasPrefix("setting \(name): ") == true)
        }
    }

    // MARK: A new certificate

    @Test func aChangedCertificateIsTakenWithoutAFailedRequest() async throws {
        try await TestCertificate.with { certificate async throws in
            try await TestGateway.with(configure: { $0.certificateFiles = certificate.files }) { gateway async throws in
                let before = try certificate.client()
                let old = try certificate.shown()
                try await TestClient.connect(port: gateway.port, tls: before) { client async throws in
                    #expect(try await client.get("/v1/plans").status == 200)
                    let next = try await certificate.makeNext()
                    try certificate.put(next.certificate, at: certificate.files.certificate)
                    try certificate.put(next.key, at: certificate.files.key)
                    let new = try certificate.shown()
                    var trusting = TLSConfiguration.makeClientConfiguration()
                    trusting.trustRoots = .certificates([old, new])
                    let both = try NIOSSLContext(configuration: trusting)
                    var shown: [NIOSSLCertificate] = []
                    try await eventually("the new certificate is shown") {
                        #expect(try await client.get("/v1/plans").status == 200)
                        let (status, certificate) = try await TestClient.connect(port: gateway.port, tls: both) { other async throws in
                            (try await other.get("/v1/plans").status, try await other.certificate)
                        }
                        #expect(status == 200)
                        shown.append(try #require(certificate))
                        return certificate == new
                    }
                    #expect(shown.last == new)
                    // A connection keeps what it began with.
                    #expect(try await client.certificate == old)
                    #expect(try await client.get("/v1/plans").status == 200)
                }
            }
        }
    }

    @Test func filesThatDoNotBelongTogetherChangeNothingUntilTheyDo() async throws {
        try await TestCertificate.with { certificate async throws in
            let store = try CertificateStore(files: certificate.files, protocols: [.http11], logger: Self.logger)
            let first = store.context
            let next = try await certificate.makeNext()
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask { await store.run() }
                try certificate.put(next.certificate, at: certificate.files.certificate)
                try await eventually("the half pair is refused") { store.figures.failedReloads == 1 }
                #expect(store.context === first && store.figures.reloads == 0)
                try certificate.put(next.key, at: certificate.files.key)
                try await eventually("the whole pair is taken") { store.figures.reloads == 1 }
                #expect(store.context !== first && store.figures.failedReloads == 1)
                tasks.cancelAll()
            }
        }
    }

    @Test func aReloadTriesTheFilesAtOnce() async throws {
        try await TestCertificate.with { certificate async throws in
            let store = try CertificateStore(files: certificate.files, protocols: [.http11], logger: Self.logger)
            let first = store.context
            let next = try await certificate.makeNext()
            try certificate.put(next.certificate, at: certificate.files.certificate)
            await store.reload()
            #expect(store.context === first && store.figures.failedReloads == 1)
            try certificate.put(next.key, at: certificate.files.key)
            await store.reload()
            #expect(store.context !== first && store.figures.reloads == 1)
        }
    }
}

/// Serves TLS with both protocols, says which one was agreed on, and then sends back what comes.
private struct EchoServer {
    private let channel: any Channel
    let port: Int

    init(files: CertificateFiles, logger: Logger) async throws {
        let certificates = try CertificateStore(files: files, protocols: [.http2, .http11], logger: logger)
        channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let gate = HandshakeGate(limits: .init(places: 1, placesPerAddress: 1, time: .seconds(10)))
                    try TLSAcceptor.configure(channel, certificates: certificates, gate: gate, address: { _ in nil }) { channel, agreed in
                        try channel.pipeline.syncOperations.addHandler(Echo(greeting: agreed.rawValue))
                    }
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        port = channel.localAddress?.port ?? 0
    }

    func stop() async { try? await channel.close().get() }

    private final class Echo: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let greeting: String

        init(greeting: String) { self.greeting = greeting }

        func handlerAdded(context: ChannelHandlerContext) {
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: greeting)), promise: nil)
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) { context.writeAndFlush(data, promise: nil) }
    }
}
