import Contracts
import Core
import Foundation
import NIOCore
import Operations
import Testing

@testable import Gateway

@Suite struct RevocationTests {
    /// What services say and gateways hear is spelt by one type; of what only a later release knows nothing is heard.
    @Test func whatServicesSayOfTokensIsHeardAsItWasSaid() {
        let said: [Revocation] = [
            .session(SessionID()), .member(tenant: TenantID(), user: UserID(), epoch: 2),
            .tenant(TenantID(), epoch: 3, isActive: false, location: nil),
            .tenant(TenantID(), epoch: 1, isActive: true, location: .init(country: "AT", currency: "EUR", version: 2)),
            .tenant(TenantID(), epoch: 1, isActive: true, location: .init(country: nil, version: 3)),
            .role(tenant: TenantID(), name: "scout", epoch: 4),
        ]
        #expect(said.map { Revocation(json: $0.json) } == said)
        #expect(Revocation.all(in: Revocation.state(said)) == said)
        let newer: JSON = ["revocations": .array([["kind": "device", "id": "x"], said[0].json])]
        #expect(Revocation.all(in: newer) == [said[0]])
        #expect(Revocation.all(in: ["revoked": []]) == nil)
        let limits = RateLimits(tenant: RateLimit(count: 100, period: 1), user: RateLimit(count: 50, period: 1))
        #expect(RateLimits(json: limits.json) == limits)
        for wrong in [[0, 1], [1, 0], [1, 86_401], [1_000_000_001, 1], [1]] as [JSON] { #expect(RateLimit(json: wrong) == nil) }
    }
}

@Suite struct BoundedCacheTests {
    @Test func aCacheNeverHoldsMoreThanItsLimitAndKeepsWhatIsUsed() {
        var cache = GenerationCache<Int, Int>(limit: 100)
        for key in 0..<10_000 {
            cache[key] = key
            let (first, count) = (cache[0], cache.count)
            #expect(first == 0 && count <= 100)
        }
        let (last, old) = (cache[9_999], cache[5_000])
        #expect(last == 9_999 && old == nil)
    }
}

@Suite struct AccessLogTests {
    @Test func aLineIsJSONAndTellsNothingThatAClientWrote() async throws {
        let pipe = Pipe()
        let output = LogOutput(descriptor: pipe.fileHandleForWriting.fileDescriptor)
        var log = AccessLog(output: output)
        var random = FastRandom()
        let trace = TraceContext(inbound: UnsafeRawBufferPointer(start: nil, count: 0), random: &random)
        let route = RouteTable().routes.first { $0.prefix == "/v1/leads" }
        Array("abc".utf8).withUnsafeBytes {
            log.write(
                .init(method: .get, route: route, status: 200, microseconds: 1234, trace: trace), requestID: $0, tenant: Array("t".utf8),
                now: Timestamp(milliseconds: 0))
        }
        var second = AccessLog.Entry(method: .other, route: nil, status: 404, microseconds: 0, trace: trace)
        second.lane = .bulk
        Array("def".utf8).withUnsafeBytes { log.write(second, requestID: $0, tenant: nil, now: Timestamp(milliseconds: 0)) }
        log.flush()
        #expect(output.flush(within: .seconds(10)))
        try pipe.fileHandleForWriting.close()
        let lines = try #require(try pipe.fileHandleForReading.readToEnd()).split(separator: 0x0A).map { try JSONParser.parse(Array($0)) }
        #expect(lines.count == 2 && lines[0]["lane"] == nil && lines[1]["lane"] == "bulk")
        #expect(lines[0]["route"] == "/v1/leads" && lines[0]["status"] == 200 && lines[0]["duration_us"] == 1234)
        #expect(lines[0]["time"] == "1970-01-01T00:00:00.000Z" && lines[0]["tenant.id"] == "t" && lines[0]["request.id"] == "abc")
        #expect(lines[1]["route"] == "none" && lines[1]["method"] == "other")
        #expect(lines.allSatisfy { $0["client.address"] == nil && $0["user.id"] == nil }, "personal data are written only when asked for")
    }

    @Test func theCombinedFormHasTheRouteInThePlaceOfThePath() throws {
        let pipe = Pipe()
        let output = LogOutput(descriptor: pipe.fileHandleForWriting.fileDescriptor)
        var log = AccessLog(output: output)
        log.form = .combined
        var random = FastRandom()
        let trace = TraceContext(inbound: UnsafeRawBufferPointer(start: nil, count: 0), random: &random)
        let route = RouteTable().routes.first { $0.prefix == "/v1/leads" }
        var entry = AccessLog.Entry(method: .get, route: route, status: 200, microseconds: 1234, trace: trace, bytesSent: 17)
        log.write(entry, requestID: .init(start: nil, count: 0), tenant: nil, now: Timestamp(milliseconds: 999))
        entry.client = IPAddress("2001:db8::1")
        entry.user = Array("u".utf8)
        log.write(entry, requestID: .init(start: nil, count: 0), tenant: nil, now: Timestamp(milliseconds: 1000))
        log.flush()
        #expect(output.flush(within: .seconds(10)))
        try pipe.fileHandleForWriting.close()
        let read = try #require(try pipe.fileHandleForReading.readToEnd())
        #expect(
            String(decoding: read, as: UTF8.self) == """
                - - - [01/Jan/1970:00:00:00 +0000] "GET /v1/leads HTTP/1.1" 200 17 "-" "-"
                2001:db8::1 - u [01/Jan/1970:00:00:01 +0000] "GET /v1/leads HTTP/1.1" 200 17 "-" "-"

                """)
    }
}
