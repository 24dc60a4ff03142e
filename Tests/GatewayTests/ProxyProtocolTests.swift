import Core
import NIOCore
import Operations
import TestSupport
import Testing

@testable import Gateway

@Suite struct ProxyProtocolTests {
    private static let signature: [UInt8] = Array("\r\n\r\n\0\r\nQUIT\n".utf8)

    private static func header(_ command: UInt8, _ family: UInt8, _ rest: [UInt8]) -> [UInt8] {
        signature + [command, family, UInt8(rest.count >> 8), UInt8(rest.count & 255)] + rest
    }

    /// A client of the address at a gateway at 10.0.0.1, and further values behind that.
    private static func v4(_ address: [UInt8], further: [UInt8] = []) -> [UInt8] {
        header(0x21, 0x11, address + [10, 0, 0, 1] + [0x12, 0x67, 0x1F, 0x90] + further)
    }

    private static let v6 = header(
        0x21, 0x21, [0x20, 0x01, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [9] + [UInt8](repeating: 1, count: 20))

    private func read(_ bytes: [UInt8]) -> ProxyHeader.Outcome { bytes.withUnsafeBytes(ProxyHeader.read) }

    @Test func anAddressOfEitherFamilyIsRead() {
        #expect(read(Self.v4([203, 0, 113, 9])) == .complete(length: 28, client: IPAddress("203.0.113.9")))
        #expect(read(Self.v6 + Array("GET /".utf8)) == .complete(length: 52, client: IPAddress("2001:db8::9")))
        // With the name that TLS was asked for, and a checksum.
        #expect(
            read(Self.v4([203, 0, 113, 9], further: [2, 0, 1, 0x61, 3, 0, 4, 1, 2, 3, 4]))
                == .complete(length: 39, client: IPAddress("203.0.113.9")))
    }

    /// The balancer's own connections, clients without an address, and Unix sockets.
    @Test func aHeaderWithoutAnAddressKeepsThePeers() {
        #expect(read(Self.header(0x20, 0x00, [])) == .complete(length: 16, client: nil))
        #expect(read(Self.header(0x20, 0x11, [UInt8](repeating: 1, count: 12))) == .complete(length: 28, client: nil))
        #expect(read(Self.header(0x21, 0x00, [1, 2, 3])) == .complete(length: 19, client: nil))
        #expect(read(Self.header(0x21, 0x31, [UInt8](repeating: 0, count: 216))) == .complete(length: 232, client: nil))
    }

    @Test func aHeaderThatComesByteByByteIsReadAsIfAtOnce() {
        for header in [Self.v4([203, 0, 113, 9], further: [4, 0, 0]), Self.v6] {
            for count in 0..<header.count { #expect(read(Array(header[..<count])) == .incomplete) }
            #expect(read(header) != .incomplete)
        }
    }

    @Test func whatIsNoHeaderOrTooLongIsRefusedBeforeItsEnd() {
        let large = [UInt8](repeating: 0, count: 520)
        #expect(read(Self.header(0x20, 0x00, large)) == .complete(length: 536, client: nil))
        for bytes in [
            Array("GET / HTTP/1.1\r\n".utf8), Array("\r\n\r\n\0\r\nQUIX".utf8), Array("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n".utf8),
            Self.header(0x11, 0x11, [UInt8](repeating: 0, count: 12)), Self.header(0x22, 0x11, [UInt8](repeating: 0, count: 12)),
            Self.header(0x21, 0x12, [UInt8](repeating: 0, count: 12)), Self.header(0x21, 0x41, [UInt8](repeating: 0, count: 12)),
            Self.header(0x21, 0x11, [UInt8](repeating: 0, count: 11)), Self.header(0x21, 0x21, [UInt8](repeating: 0, count: 35)),
            Array(Self.header(0x20, 0x00, large + [0])[..<16]),
        ] {
            #expect(read(bytes) == .malformed, "\(bytes)")
        }
    }

    // MARK: In a gateway

    private func behindBalancer(
        at network: String = "127.0.0.0/8", configure: (inout GatewayConfiguration) -> Void = { _ in },
        _ body: (TestGateway) async throws -> Void
    ) async throws {
        let range = try #require(AddressRange(network))
        try await TestGateway.with(
            configure: {
                $0.readsProxyProtocol = true
                $0.trustedProxies = [range]
                $0.eventLoops = 1
                configure(&$0)
            }, body)
    }

    /// Everybody could name any client.
    @Test func withoutTrustedProxiesTheHeaderIsNoSetting() throws {
        var values = ["MARTLET_CONTEXT_KEYS": TestContextKeys.text(of: ContextPair.gateway), "MARTLET_PROXY_PROTOCOL": "true"]
        let error = #expect(throws: SettingError.self) { try GatewayConfiguration(settings: Settings(values: values)) }
        #expect(error?.description.contains("MARTLET_TRUSTED_PROXIES") == true)
        values["MARTLET_TRUSTED_PROXIES"] = "10.0.0.0/8"
        #expect(try GatewayConfiguration(settings: Settings(values: values)).readsProxyProtocol)
    }

    private static let request = "GET /v1/plans HTTP/1.1\r\nHost: x\r\n\r\n"

    @Test func aConnectionIsItsClientsAndNotTheBalancers() async throws {
        try await behindBalancer(configure: { $0.addressLimit = 2 }) { gateway async throws in
            func statuses(_ header: [UInt8], _ requests: [String]) async throws -> [Int] {
                try await TestClient.connect(port: gateway.port) { client async throws in
                    try await client.send(bytes: header + Array(requests.joined().utf8))
                    var statuses: [Int] = []
                    for _ in requests { statuses.append(try await client.answer().status) }
                    return statuses
                }
            }
            func random() -> [UInt8] { [100, .random(in: 64..<128), .random(in: 0...255), .random(in: 0...255)] }
            let client = random()
            #expect(try await statuses(Self.v4(client), [Self.request]) == [200])
            // The client is none of the balancers, so what it says itself is not believed.
            let forged = "GET /v1/plans HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n"
            #expect(try await statuses(Self.v4(client, further: [4, 0, 0]), [forged, Self.request]) == [200, 429])
            #expect(try await statuses(Self.v4(random()), [Self.request, Self.request]) == [200, 200])
            // The balancer's own; with a token, since all tests share the limit of this machine's address.
            let own = "GET /v1/leads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(gateway.key.token())\r\n\r\n"
            #expect(try await statuses(Self.header(0x20, 0x00, []), [own]) == [200])
        }
    }

    @Test func aConnectionWithoutAHeaderEnds() async throws {
        try await behindBalancer { gateway async throws in
            for bytes in [Array(Self.request.utf8), Self.header(0x11, 0x11, [UInt8](repeating: 0, count: 12))] {
                try await TestClient.connect(port: gateway.port) { client async throws in
                    try await client.send(bytes: bytes)
                    #expect(try await client.rest() == "")
                }
            }
            #expect(gateway.upstream.requests.allSatisfy { $0.target != "/v1/plans" })
        }
    }

    @Test func aHeaderThatDoesNotEndInTimeOrComesFromSomebodyElseEndsTheConnection() async throws {
        try await behindBalancer(configure: { $0.headerTimeout = .milliseconds(200) }) { gateway async throws in
            try await TestClient.connect(port: gateway.port) { client async throws in
                try await client.send(bytes: Array(Self.v4([203, 0, 113, 9])[..<20]))
                #expect(try await client.rest() == "")
            }
        }
        try await behindBalancer(at: "10.0.0.0/8") { gateway async throws in
            try await TestClient.connect(port: gateway.port) { client async throws in #expect(try await client.rest() == "") }
        }
    }
}
