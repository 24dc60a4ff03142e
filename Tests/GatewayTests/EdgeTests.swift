import Core
import Crypto
import Foundation
import NIOCore
import Testing

@testable import Gateway

@Suite struct EdgeTests {
    @Test func methodsThatNoServiceHasAreRefused() async throws {
        try await TestGateway.with { gateway async throws in
            for method in ["TRACE", "CONNECT", "PROPFIND", "get"] {
                let answer = try await gateway.send("\(method) /v1/leads HTTP/1.1\r\nHost: x\r\n\r\n")
                #expect(answer.status == 405 && answer.header("allow") != nil, "\(method)")
            }
        }
    }

    @Test func malformedHeadsAreAnsweredAndTheConnectionEnds() async throws {
        try await TestGateway.with { gateway async throws in
            let cases = [
                ("GET /v1/leads HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
                ("GET /" + String(repeating: "a", count: 9000) + " HTTP/1.1\r\nHost: x", 414),
                ("GET /v1/leads HTTP/1.1\r\nHost: x\r\nA: " + String(repeating: "b", count: 100_000), 431),
                ("\u{16}\u{03}\u{01}\u{02}\r\n\r\n", 400),
            ]
            for (text, status) in cases {
                try await TestClient.connect(port: gateway.port) { client async throws in
                    // A second request behind it must not be looked at.
                    try await client.send(text + "\r\n\r\nGET /v1/plans HTTP/1.1\r\nHost: x\r\n\r\n")
                    let answer = try await client.answer()
                    #expect(answer.status == status)
                    #expect(answer.header("content-type") == "application/problem+json" && answer.header("connection") == "close")
                    #expect(try await client.rest() == "")
                }
            }
            #expect(gateway.upstream.requests.isEmpty)
        }
    }

    @Test func aRefusedRequestWithABodyLeavesTheNextOneInOrder() async throws {
        try await TestGateway.with { gateway async throws in
            try await TestClient.connect(port: gateway.port) { client async throws in
                try await client.send(
                    "POST /v1/leads HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\nGET /v1/me HTTP/1.1\r\nHost: y\r\n"
                        + "GET /v1/plans HTTP/1.1\r\nHost: x\r\n\r\n")
                #expect(try await client.answer().status == 401)
                #expect(try await client.answer().status == 200)
            }
            #expect(gateway.upstream.requests.map(\.target) == ["/v1/plans"])
        }
    }

    @Test func aTraceIsContinuedWhenItIsValidAndBegunWhenNot() async throws {
        try await TestGateway.with { gateway async throws in
            let trace = "0af7651916cd43dd8448eb211c80319c"
            let kept = try await gateway.get("/v1/plans", headers: "traceparent: 00-\(trace)-b7ad6b7169203331-01\r\n")
            let parent = try #require(kept.header("traceparent"))
            #expect(parent.hasPrefix("00-\(trace)-") && !parent.contains("b7ad6b7169203331"))
            #expect(gateway.upstream.requests.first?.header("traceparent") == parent)
            for value in ["00-\(trace)-b7ad6b7169203331-01x", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "evil"] {
                let answer = try await gateway.get("/v1/plans", headers: "traceparent: \(value)\r\nX-Request-Id: a b\r\n")
                #expect(answer.header("traceparent")?.utf8.count == 55 && answer.header("traceparent")?.contains(trace) == false)
                #expect(answer.header("x-request-id")?.utf8.count == 32)
            }
        }
    }

    @Test func onlyTheOriginsOfTheSettingsMayReadAnswers() async throws {
        try await TestGateway.with(configure: { $0.corsOrigins = ["https://app.example.com"] }) { gateway async throws in
            let allowed = try await gateway.get("/v1/plans", headers: "Origin: https://app.example.com\r\n")
            #expect(
                allowed.header("access-control-allow-origin") == "https://app.example.com"
                    && allowed.header("vary") == "Accept-Encoding, Origin")
            for origin in ["null", "https://app.example.com.evil.org", "http://app.example.com", "https://evilapp.example.com", "*"] {
                let answer = try await gateway.get("/v1/plans", headers: "Origin: \(origin)\r\n")
                #expect(answer.header("access-control-allow-origin") == nil, "\(origin)")
            }
            let preflight = "OPTIONS /v1/leads HTTP/1.1\r\nHost: x\r\nAccess-Control-Request-Method: POST\r\nOrigin: "
            let yes = try await gateway.send(preflight + "https://app.example.com\r\n\r\n")
            #expect(yes.status == 204 && yes.header("access-control-allow-methods")?.contains("POST") == true)
            let no = try await gateway.send(preflight + "https://evil.org\r\n\r\n")
            #expect(no.status == 204 && no.header("access-control-allow-methods") == nil)
        }
    }

    /// A29: a client that sends its head too slowly is not waited for.
    @Test func aHeadThatDoesNotEndInTimeEndsTheConnection() async throws {
        try await TestGateway.with(configure: { $0.headerTimeout = .milliseconds(300) }) { gateway async throws in
            try await TestClient.connect(port: gateway.port) { client async throws in
                try await client.send("GET /v1/leads HTTP/1.1\r\nHost:")
                #expect(try await client.rest() == "")
            }
        }
    }

    @Test func moreConnectionsThanAllowedAreClosedAtOnce() async throws {
        try await TestGateway.with(configure: {
            $0.connectionLimit = 1
            $0.eventLoops = 1
        }) { gateway async throws in
            try await TestClient.connect(port: gateway.port) { first async throws in
                #expect(try await first.get("/v1/plans").status == 200)
                try await TestClient.connect(port: gateway.port) { second async throws in #expect(try await second.rest() == "") }
                #expect(try await first.get("/v1/plans").status == 200)
            }
        }
    }

    @Test func theDocumentsOfAllServicesAreServedAsOne() async throws {
        let documents = Counter()
        try await TestGateway.with(script: { request in
            guard request.target == "/openapi.json" else { return .ok() }
            let number = documents.next()
            return .ok(
                #"{"openapi":"3.1.0","info":{"title":"t","version":"1"},"paths":{"/v1/p\#(number)":{"get":{}}},"components":{"schemas":{"S\#(number)":{}},"securitySchemes":{"bearer":{}}}}"#
            )
        }) { gateway async throws in
            let answer = try await gateway.get("/openapi.json")
            #expect(answer.status == 200 && answer.header("content-type") == "application/json")
            let document = try JSONParser.parse(answer.body)
            #expect(document["openapi"] == "3.1.0")
            #expect(document["paths"]?.object?.names.sorted() == ["/v1/p1", "/v1/p2", "/v1/p3", "/v1/p4", "/v1/p5"])
            #expect(document["components"]?["schemas"]?.object?.names.count == 5)
            #expect(document["components"]?["securitySchemes"]?.object?.names == ["bearer"])
            _ = try await gateway.get("/openapi.json")
            #expect(gateway.upstream.requests.count == 5)
        }
    }

    /// The page may run its own script and style and ask this origin; its policy names both by their hashes.
    @Test func theReferencePageIsServedUnderAPolicyThatLetsItLoadNothingElse() async throws {
        try await TestGateway.with { gateway async throws in
            let answer = try await gateway.get("/docs")
            #expect(answer.status == 200 && answer.header("content-type") == "text/html; charset=utf-8")
            let policy = try #require(answer.header("content-security-policy"))
            #expect(policy.hasPrefix("default-src 'none'; connect-src 'self'; style-src 'sha256-") && !policy.contains("unsafe"))
            for element in ["style", "script"] {
                let parts = answer.body.components(separatedBy: "<\(element)>")
                try #require(parts.count == 2 && !answer.body.contains("<\(element) "))
                let text = parts[1].components(separatedBy: "</\(element)>")[0]
                let hash = Data(SHA256.hash(data: Data(text.utf8))).base64EncodedString()
                #expect(policy.contains("\(element)-src 'sha256-\(hash)'"))
            }
            // The one address in it is an example of the format uri.
            #expect(answer.body.components(separatedBy: "https://").count == 2 && !answer.body.contains("http://"))
            #expect(try await gateway.get("/docs?x=1").status == 400)
            let post = try await gateway.send("POST /docs HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            #expect(post.status == 405 && post.header("allow") == "GET, HEAD, OPTIONS")
            #expect(gateway.upstream.requests.isEmpty)
        }
    }

    /// F19: not ready first, no new connections, and what is under way ends in full.
    @Test func aStopLetsRequestsUnderWayEndAndAsksTheirClientsToClose() async throws {
        try await TestGateway.with(script: { _ in .hold }) { gateway async throws in
            try await TestClient.connect(port: gateway.port) { client async throws in
                try await client.send(
                    "POST /v1/leads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(gateway.key.token())\r\nContent-Length: 4\r\n\r\nbody")
                var holds = gateway.upstream.holds.makeAsyncIterator()
                await holds.next()
                await gateway.stop()
                // The listening socket closes once the stop has begun.
                while (try? await TestClient.connect(port: gateway.port, { _ in })) != nil { await Task.yield() }
                let ready = try await TestClient.connect(port: gateway.adminPort) { try await $0.get("/readyz") }
                #expect(ready.status == 503)
                gateway.upstream.answerHeld("\"late\"")
                let answer = try await client.answer()
                #expect(answer.status == 200 && answer.body == "\"late\"" && answer.header("connection") == "close")
                #expect(try await client.rest() == "")
            }
        }
    }
}
