import Core
import Testing

@testable import Gateway

/// Who the client is by what proxies wrote, and that nobody is believed who is none.
@Suite struct ClientAddressTests {
    private static let networks = ["10.0.0.0/8", "fd00::/8"]

    private func client(
        _ lines: [String], peer: String = "10.0.0.1", networks: [String] = networks, hops: Int = 0,
        field: ForwardedField = .xForwardedFor
    ) throws -> String {
        let proxies = TrustedProxies(networks: try networks.map { try #require(AddressRange($0)) }, hops: hops, field: field)
        let peer = try #require(IPAddress(peer))
        let text = Array("GET / HTTP/1.1\r\nHost: x\r\n\(lines.map { "\($0)\r\n" }.joined())\r\n".utf8)
        return try text.withUnsafeBytes { bytes in
            var parser = RequestHeadParser()
            let isWhole = try parser.parse(bytes)
            #expect(isWhole)
            return proxies.client(of: parser.head, bytes, peer: peer).text
        }
    }

    /// Lines are separated by a bar. Where nothing is believed it is the peer, 10.0.0.1.
    @Test(arguments: [
        ("203.0.113.9", "203.0.113.9"), ("9.9.9.9, 203.0.113.9", "203.0.113.9"), ("9.9.9.9,203.0.113.9,10.0.0.2", "203.0.113.9"),
        ("203.0.113.9|10.0.0.2", "203.0.113.9"), ("9.9.9.9|203.0.113.9", "203.0.113.9"),
        ("9.9.9.9|10.0.0.3, 203.0.113.9|10.0.0.2", "203.0.113.9"),
        ("203.0.113.9:4711", "203.0.113.9"), ("[2001:db8::1]", "2001:db8::1"), ("[2001:db8::1]:443", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"), ("fd00::7, 10.0.0.2:80", "fd00::7"), ("9.9.9.9, 203.0.113.9 ,, |", "203.0.113.9"),
        ("9.9.9.9, unknown", "10.0.0.1"), ("9.9.9.9, unknown, 10.0.0.2", "10.0.0.2"), ("203.0.113.9:x", "10.0.0.1"),
        ("203.0.113.9:", "10.0.0.1"), ("203.0.113.9:123456", "10.0.0.1"), ("[203.0.113.9", "10.0.0.1"), ("[2001:db8::1]x", "10.0.0.1"),
        ("203.0.113", "10.0.0.1"), ("\"203.0.113.9\"", "10.0.0.1"), ("", "10.0.0.1"), (",,", "10.0.0.1"),
        ("9.9.9.9" + String(repeating: ", 10.0.0.2", count: 1000), "10.0.0.2"),
    ])
    func theNearestAddressOutsideOfTheNetworksIsTheClient(value: String, address: String) throws {
        let lines = value.split(separator: "|", omittingEmptySubsequences: false).map { "X-Forwarded-For: \($0)" }
        #expect(try client(lines) == address)
        #expect(try client(lines, peer: "198.51.100.1") == "198.51.100.1")
        #expect(try client(lines, networks: []) == "10.0.0.1")
    }

    @Test(arguments: [
        ("for=203.0.113.9", "203.0.113.9"), ("For=\"203.0.113.9:4711\"", "203.0.113.9"),
        ("for=\"[2001:db8::1]:4711\";proto=https;by=203.0.113.43", "2001:db8::1"), ("proto=http; FOR=203.0.113.9;", "203.0.113.9"),
        ("for=9.9.9.9, for=203.0.113.9", "203.0.113.9"), ("for=203.0.113.9|for=10.0.0.2", "203.0.113.9"),
        ("for=\"192.0.2.43:_x7\"", "192.0.2.43"), ("for=203.0.113.9;ext=\"a, b;for=9.9.9.9\"", "203.0.113.9"),
        ("for=203.0.113.9;ext=\"a\\\", for=9.9.9.9\"", "203.0.113.9"),
        // What hides an address ends the walk.
        ("for=9.9.9.9, for=\"_hidden\", for=10.0.0.2", "10.0.0.2"), ("for=unknown", "10.0.0.1"), ("for=_SEVKISEK", "10.0.0.1"),
        ("by=203.0.113.9", "10.0.0.1"), ("for=203.0.113.9;for=9.9.9.9", "10.0.0.1"), ("for=\"203.0.113.9", "10.0.0.1"),
        ("for=\"203.0.113.9\\\"", "10.0.0.1"), ("203.0.113.9", "10.0.0.1"), ("for", "10.0.0.1"), ("for=", "10.0.0.1"),
        ("for=\"", "10.0.0.1"),
        // A quote that a client leaves open does not take in what the proxy wrote behind it.
        ("for=9.9.9.9;by=\", for=203.0.113.9", "203.0.113.9"), ("for=\"9.9.9.9, for=\"[2001:db8::7]\"", "2001:db8::7"),
        ("for=\"9.9.9.9\\, for=\"[2001:db8::7]\"", "2001:db8::7"),
    ])
    func theFieldOfTheStandardIsReadWhereItIsTheOneOfTheProxies(value: String, address: String) throws {
        let lines = value.split(separator: "|").map { "Forwarded: \($0)" }
        #expect(try client(lines, field: .forwarded) == address)
        #expect(try client(lines + ["X-Forwarded-For: 9.9.9.9"], field: .forwarded) == address)
        #expect(try client(lines) == "10.0.0.1")
    }

    @Test(arguments: [
        (1, "203.0.113.9", "203.0.113.9"), (1, "9.9.9.9, 203.0.113.9", "203.0.113.9"), (2, "9.9.9.9, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        (2, "203.0.113.9|10.0.0.2", "203.0.113.9"), (2, "9.9.9.9, 10.7.7.7, 10.0.0.2", "10.7.7.7"),
        (3, "203.0.113.9, 10.0.0.2", "10.0.0.1"),
        (2, "unknown, 10.0.0.2", "10.0.0.1"), (2, "203.0.113.9, unknown", "203.0.113.9"),
    ])
    func countedHopsGiveTheAddressAtTheirPlaceWhateverItIs(hops: Int, value: String, address: String) throws {
        let lines = value.split(separator: "|").map { "X-Forwarded-For: \($0)" }
        #expect(try client(lines, hops: hops) == address)
        #expect(try client(lines, networks: [], hops: hops) == address)
        // Networks say whose list is believed.
        #expect(try client(lines, peer: "198.51.100.1", hops: hops) == "198.51.100.1")
    }

    /// Requests of one client by two proxies count for that client, be its address in a line of its own or with a port.
    @Test func requestsByTwoProxiesCountForTheirClient() async throws {
        let loopback = try #require(AddressRange("127.0.0.0/8"))
        let cdn = try #require(AddressRange("198.51.100.0/24"))
        func address() -> String { "100.\(Int.random(in: 64..<128)).\(Int.random(in: 0..<256)).\(Int.random(in: 0..<256))" }
        try await TestGateway.with(configure: {
            $0.addressLimit = 1
            $0.trustedProxies = [loopback, cdn]
        }) { gateway async throws in
            let (one, other) = (address(), address())
            func get(_ client: String) async throws -> Int {
                let lines = "X-Forwarded-For: \(client)\r\nX-Forwarded-For: 198.51.100.7\r\n"
                return try await gateway.get("/v1/plans", headers: lines).status
            }
            #expect(try await get(one) == 200)
            #expect(try await get("\(one):4711") == 429)
            #expect(try await get(other) == 200)
        }
    }
}
