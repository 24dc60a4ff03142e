import Core
import Operations
import TestSupport
import Testing

@testable import Gateway

/// What the gateway signs: for whom, and for which body.
@Suite struct ContextSigningTests {
    @Test func whatIsSentToAServiceIsSignedForItAlone() async throws {
        try await TestGateway.with { gateway async throws in
            _ = try await gateway.get("/v1/leads", token: gateway.key.token())
            let request = try #require(gateway.upstream.requests.first)
            #expect(try request.caller(to: .crm).tenant != nil)
            for service in ServiceName.allCases where service != .crm {
                let refusal = #expect(throws: Problem.self) { try request.caller(to: service) }
                #expect(refusal?.code == .unauthenticated, "\(service)")
            }
        }
    }

    /// The body is signed as it is, whatever framing it came in.
    @Test func aBodyIsSignedWithItsContent() async throws {
        try await TestGateway.with { gateway async throws in
            let head =
                "POST /v1/leads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(gateway.key.token())\r\nContent-Type: application/json\r\n"
            for body in [
                "Content-Length: 11\r\n\r\n{\"a\": \"bc\"}", "Transfer-Encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n7\r\n: \"bc\"}\r\n0\r\n\r\n",
            ] {
                #expect(try await gateway.send(head + body).status == 200)
                let request = try #require(gateway.upstream.requests.last)
                #expect(String(decoding: request.body, as: UTF8.self) == "{\"a\": \"bc\"}")
                #expect(try request.caller().tenant != nil)
                var changed = request
                changed.body[9] ^= 1
                #expect(throws: Problem.self) { try changed.caller() }
                changed.body = []
                #expect(throws: Problem.self) { try changed.caller() }
            }
            for nothing in ["\r\n", "Content-Length: 0\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"] {
                #expect(try await gateway.send(head + nothing).status == 200)
                var request = try #require(gateway.upstream.requests.last)
                #expect(request.body.isEmpty)
                #expect(try request.caller().tenant != nil)
                request.body = Array("{}".utf8)
                #expect(throws: Problem.self) { try request.caller() }
            }
        }
    }
}
