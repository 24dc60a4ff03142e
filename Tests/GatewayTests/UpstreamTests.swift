import Core
import NIOCore
import Operations
import Synchronization
import TestSupport
import Testing

@testable import Gateway

@Suite struct UpstreamTests {
    @Test func connectionsToAServiceAreReused() async throws {
        try await TestGateway.with(configure: { $0.eventLoops = 1 }) { gateway async throws in
            let token = gateway.key.token()
            try await TestClient.connect(port: gateway.port) { client async throws in
                for _ in 0..<20 { #expect(try await client.get("/v1/leads", token: token).status == 200) }
            }
            #expect(gateway.upstream.requests.map(\.number) == Array(0..<20))
        }
    }

    /// Or a process added behind a service's name would get no requests under a steady load.
    @Test func aConnectionPastItsAgeServesNoFurtherRequest() async throws {
        try await TestGateway.with(configure: {
            $0.eventLoops = 1
            $0.upstreamConnectionAge = .zero
        }) { gateway async throws in
            let token = gateway.key.token()
            try await TestClient.connect(port: gateway.port) { client async throws in
                for _ in 0..<5 { #expect(try await client.get("/v1/leads", token: token).status == 200) }
            }
            #expect(gateway.upstream.requests.map(\.number) == [0, 0, 0, 0, 0])
        }
    }

    @Test func pipelinedRequestsAreAnsweredInTheirOrder() async throws {
        try await TestGateway.with(script: { .ok("\"\($0.target)\"") }) { gateway async throws in
            let token = gateway.key.token()
            try await TestClient.connect(port: gateway.port) { client async throws in
                let requests = (0..<20).map { "GET /v1/leads/\($0) HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(token)\r\n\r\n" }.joined()
                try await client.send(requests)
                for index in 0..<20 { #expect(try await client.answer().body == "\"/v1/leads/\(index)\"") }
            }
        }
    }

    @Test func bodiesOfBothFramingsArriveWhole() async throws {
        try await TestGateway.with(script: { .ok(String($0.body.count)) }) { gateway async throws in
            let token = gateway.key.token()
            let start = "POST /v1/leads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(token)\r\n"
            let large = String(repeating: "x", count: 900_000)
            #expect(try await gateway.send(start + "Content-Length: 5\r\n\r\nhello").body == "5")
            #expect(try await gateway.send(start + "Content-Length: \(large.utf8.count)\r\n\r\n" + large).body == "900000")
            _ = try await gateway.send(start + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
            let request = try #require(gateway.upstream.requests.last)
            #expect(String(decoding: request.body, as: UTF8.self) == "abcde")
            #expect(request.header("content-length") == "5" && request.header("transfer-encoding") == nil)
            // In pieces, so that head and body come apart.
            try await TestClient.connect(port: gateway.port) { client async throws in
                try await client.send(start + "Content-Length: 6\r\n")
                try await client.send("\r\nab")
                try await client.send("cdef")
                #expect(try await client.answer().body == "6")
                #expect(try await client.get("/v1/leads", token: token).status == 200)
            }
        }
    }

    @Test func aBodyThatIsTooLongIsRefusedByItsLengthAndWhileItStreams() async throws {
        try await TestGateway.with(configure: { $0.bodyLimit = 10_000 }) { gateway async throws in
            let start = "POST /v1/leads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(gateway.key.token())\r\n"
            let declared = try await gateway.send(start + "Content-Length: 10000000\r\n\r\n")
            #expect(declared.status == 413 && declared.header("connection") == "close")
            try await TestClient.connect(port: gateway.port) { client async throws in
                try await client.send(start + "Transfer-Encoding: chunked\r\n\r\n")
                for _ in 0..<20 { try await client.send("1000\r\n" + String(repeating: "x", count: 4096) + "\r\n") }
                #expect(try await client.answer().status == 413)
            }
            // Framing counts too: this is 6,000 bytes of content in 78,000.
            let chunks = String(repeating: "00000001\r\nx\r\n", count: 6_000)
            #expect(try await gateway.send(start + "Transfer-Encoding: chunked\r\n\r\n" + chunks + "0\r\n\r\n").status == 413)
            #expect(gateway.upstream.requests.isEmpty)
        }
    }

    @Test func brokenChunksEndTheRequestAndTheConnection() async throws {
        try await TestGateway.with { gateway async throws in
            let start = "POST /v1/leads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(gateway.key.token())\r\n"
            try await TestClient.connect(port: gateway.port) { client async throws in
                try await client.send(
                    start + "Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\nGET /v1/leads HTTP/1.1\r\nHost: x\r\n\r\n")
                let answer = try await client.answer()
                #expect(answer.status == 400 && answer.body.contains("invalid_request"))
                #expect(try await client.rest() == "")
            }
        }
    }

    @Test func headIsAnsweredWithoutABodyAndAskedAsGet() async throws {
        try await TestGateway.with(script: { _ in .ok("12345") }) { gateway async throws in
            try await TestClient.connect(port: gateway.port) { client async throws in
                try await client.send("HEAD /v1/leads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(gateway.key.token())\r\n\r\n")
                let answer = try await client.answer(hasBody: false)
                #expect(answer.status == 200 && answer.header("content-length") == "5")
                #expect(try await client.get("/v1/leads", token: gateway.key.token()).body == "12345")
            }
            #expect(gateway.upstream.requests.map(\.method) == ["GET", "GET"])
        }
    }

    @Test func aClientThatWaitsForContinueIsToldToGoOn() async throws {
        try await TestGateway.with(script: { .ok(String($0.body.count)) }) { gateway async throws in
            try await TestClient.connect(port: gateway.port) { client async throws in
                let token = gateway.key.token()
                try await client.send(
                    "POST /v1/leads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(token)\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
                )
                #expect(try await client.answer().status == 100)
                try await client.send("abc")
                #expect(try await client.answer().body == "3")
            }
        }
    }

    /// F13: whatever an upstream does, the client gets a clean answer or a clean end.
    @Test(arguments: [
        TestUpstream.Action.close, .writeAndClose("HTTP/1.1 200 OK\r\nContent-"), .writeAndClose("garbage\r\n\r\n"),
        .writeAndClose("HTTP/1.1 200 OK\r\n\r\nuntil the end"),
        .write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}"),
    ])
    func anUpstreamThatBreaksOffBeforeItsAnswerIsA503(action: TestUpstream.Action) async throws {
        try await TestGateway.with(script: { _ in action }) { gateway async throws in
            let answer = try await gateway.get("/v1/leads", token: gateway.key.token())
            #expect(answer.status == 503 && answer.header("retry-after") == "1")
            #expect(answer.body.contains("upstream_unavailable"))
        }
    }

    @Test func aTruncatedAnswerEndsTheClientsConnection() async throws {
        try await TestGateway.with(script: { _ in .writeAndClose("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc") }) {
            gateway async throws in
            try await TestClient.connect(port: gateway.port) { client async throws in
                try await client.send("GET /v1/leads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(gateway.key.token())\r\n\r\n")
                let text = try await client.rest()
                #expect(text.hasPrefix("HTTP/1.1 200 OK") && text.hasSuffix("\r\n\r\nabc"))
            }
        }
    }

    @Test func anAnswerByteByByteIsWhole() async throws {
        let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        try await TestGateway.with(script: { _ in .drip(text) }) { gateway async throws in
            #expect(try await gateway.get("/v1/leads", token: gateway.key.token()).body == "hello")
        }
    }

    @Test func bytesBehindAnAnswerAreNeverTakenForTheNext() async throws {
        try await TestGateway.with(
            configure: { $0.eventLoops = 1 },
            script: { _ in .write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen") }
        ) { gateway async throws in
            try await TestClient.connect(port: gateway.port) { client async throws in
                for _ in 0..<10 { #expect(try await client.get("/v1/leads", token: gateway.key.token()).body == "{}") }
            }
        }
    }

    @Test func aSafeRequestIsSentAgainWhenAReusedConnectionWasClosedAndAWriteIsNot() async throws {
        // Every connection serves one request and is closed as the second arrives.
        try await TestGateway.with(configure: { $0.eventLoops = 1 }, script: { $0.number == 0 ? .ok() : .close }) { gateway async throws in
            let token = gateway.key.token()
            try await TestClient.connect(port: gateway.port) { client async throws in
                for _ in 0..<5 { #expect(try await client.get("/v1/leads", token: token).status == 200) }
                let post = "POST /v1/leads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(token)\r\nContent-Length: 2\r\n"
                try await client.send(post + "\r\n{}")
                #expect(try await client.answer().status == 503)
                #expect(try await client.get("/v1/leads", token: token).status == 200)
                try await client.send(post + "Idempotency-Key: k\r\n\r\n{}")
                #expect(try await client.answer().status == 200)
                // A key that Connection names does not reach the service, so it makes no repeat safe.
                #expect(try await client.get("/v1/leads", token: token).status == 200)
                try await client.send(post + "Idempotency-Key: k\r\nConnection: idempotency-key\r\n\r\n{}")
                #expect(try await client.answer().status == 503)
            }
        }
    }

    @Test func aSilentUpstreamIsA504AndItsConnectionIsNotUsedAgain() async throws {
        try await TestGateway.with(
            configure: {
                $0.requestTimeout = .milliseconds(300)
                $0.eventLoops = 1
            }, script: { $0.target == "/v1/leads/slow" ? .nothing : .ok("\($0.number)") }
        ) { gateway async throws in
            try await TestClient.connect(port: gateway.port) { client async throws in
                let answer = try await client.get("/v1/leads/slow", token: gateway.key.token())
                #expect(answer.status == 504 && answer.body.contains("deadline_exceeded"))
                #expect(try await client.get("/v1/leads", token: gateway.key.token()).body == "0")
            }
        }
    }

    @Test func oneSlowServiceDoesNotHoldUpTheOthersAndADeadOneIsCutOff() async throws {
        try await TestGateway.with(configure: { $0.upstreams[.support] = [UpstreamAddress(host: "127.0.0.1", port: 1)] }) {
            gateway async throws in
            let token = gateway.key.token()
            for _ in 0..<10 { #expect(try await gateway.get("/v1/tickets", token: token).status == 503) }
            #expect(try await gateway.get("/v1/leads", token: token).status == 200)
            let metrics = try await TestClient.connect(port: gateway.adminPort) { try await $0.get("/metrics") }.body
            #expect(metrics.contains("martlet_gateway_upstream_ejected{service=\"support\","))
            #expect(metrics.contains("martlet_gateway_requests_total{route=\"/v1/tickets\",status=\"5xx\"} 10"))
        }
    }

    @Test func ofTwoAddressesTheLiveOneServesEvenWrites() async throws {
        let key = TestKey()
        let upstream = TestUpstream(keys: [key]) { _ in .ok() }
        let port = try await upstream.start()
        try await TestGateway.with(
            key: key, upstream: upstream, upstreamPort: port,
            configure: {
                $0.upstreams[.crm] = [UpstreamAddress(host: "127.0.0.1", port: 1), UpstreamAddress(host: "127.0.0.1", port: port)]
            }
        ) { gateway async throws in
            let post = "POST /v1/leads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(key.token())\r\nContent-Length: 2\r\n\r\n{}"
            for _ in 0..<20 { #expect(try await gateway.send(post).status == 200) }
        }
        await upstream.stop()
    }

    @Test func aSlowReaderSlowsItsUpstreamInsteadOfFillingTheGateway() async throws {
        let body = String(repeating: "0123456789abcdef", count: 1 << 20)  // 16 MiB
        try await TestGateway.with(script: { _ in .ok(body) }) { gateway async throws in
            try await TestClient.connect(port: gateway.port) { client async throws in
                let answer = try await client.get("/v1/leads", token: gateway.key.token())
                #expect(answer.body.utf8.count == 16 << 20)
            }
        }
    }

    /// A29: clients that stop in the middle of a body, and clients that do not take their answer, cost others nothing.
    @Test func unfinishedBodiesHoldNoConnectionToAService() async throws {
        try await TestGateway.with(configure: {
            $0.eventLoops = 1
            $0.upstreamConnectionLimit = 2
            $0.inFlightLimit = 4
            $0.bodyTimeout = .seconds(2)
        }) { gateway async throws in
            let token = gateway.key.token()
            let start = "POST /v1/leads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(token)\r\nContent-Length: 10\r\n"
            try await withThrowingTaskGroup(of: Void.self) { group in
                let (begun, beginning) = AsyncStream<Void>.makeStream()
                var waiting = begun.makeAsyncIterator()
                for _ in 0..<12 {
                    group.addTask {
                        try await TestClient.connect(port: gateway.port) { client async throws in
                            try await client.send(start + "Expect: 100-continue\r\n\r\n")
                            #expect(try await client.answer().status == 100)
                            try await client.send("{")
                            beginning.yield()
                            let late = try await client.answer()
                            #expect(late.status == 408 && late.body.contains("request_timeout") && late.body.contains("body"))
                            #expect(late.header("connection") == "close")
                        }
                    }
                    _ = await waiting.next()
                }
                // While they wait and when they are refused, the service is there for others and in good health.
                for _ in 0..<2 {
                    try await TestClient.connect(port: gateway.port) { client async throws in
                        for _ in 0..<5 { #expect(try await client.get("/v1/leads", token: token).status == 200) }
                    }
                    try await group.waitForAll()
                }
            }
            #expect(gateway.upstream.requests.allSatisfy { $0.method == "GET" })
        }
    }

    @Test func largeBodiesThatAreNotWholeGiveWayToSmallOnes() async throws {
        try await TestGateway.with(configure: {
            $0.eventLoops = 1
            $0.bodyLimit = 10_000
            $0.bodiesLimit = 0
        }) { gateway async throws in
            let start = "POST /v1/leads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(gateway.key.token())\r\n"
            let part = String(repeating: "x", count: 9_900)
            try await withThrowingTaskGroup(of: Int.self) { group in
                let (begun, beginning) = AsyncStream<Void>.makeStream()
                var waiting = begun.makeAsyncIterator()
                let (end, ending) = AsyncStream<Void>.makeStream()
                for _ in 0..<4 {
                    group.addTask {
                        try await TestClient.connect(port: gateway.port) { client async throws in
                            try await client.send(start + "Content-Length: 10000\r\nExpect: 100-continue\r\n\r\n")
                            #expect(try await client.answer().status == 100)
                            try await client.send(part)
                            beginning.yield()
                            for await _ in end {}
                            // Refused by now, or let go on.
                            try? await client.send(String(repeating: "x", count: 100))
                            return try await client.answer().status
                        }
                    }
                    _ = await waiting.next()
                }
                try await eventually("all four are held") {
                    try await TestClient.connect(port: gateway.adminPort) { try await $0.get("/metrics") }.body
                        .contains("martlet_gateway_bodies_bytes 39600")
                }
                let small = start + "Content-Length: 1000\r\n\r\n" + String(repeating: "x", count: 1_000)
                for _ in 0..<3 { #expect(try await gateway.send(small).status == 200) }
                ending.finish()
                var statuses: [Int] = []
                for try await status in group { statuses.append(status) }
                #expect(statuses.sorted() == [200, 200, 200, 503])
            }
        }
    }

    /// What was allowed when the request began may not be when it is whole.
    @Test func aTokenIsLookedAtAgainWhenTheBodyIsWhole() async throws {
        try await TestGateway.with { gateway async throws in
            var member = TestMember()
            member.lifetime = 2
            let token = gateway.key.token(for: member)
            try await TestClient.connect(port: gateway.port) { client async throws in
                try await client.send(
                    "POST /v1/leads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(token)\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
                )
                #expect(try await client.answer().status == 100)
                try await client.send("{")
                try await eventually("the token has expired") { try await gateway.get("/v1/leads", token: token).status == 401 }
                try await client.send("}")
                let answer = try await client.answer()
                #expect(answer.status == 401 && answer.body.contains("token_expired"))
            }
            #expect(gateway.upstream.requests.allSatisfy { $0.method == "GET" })
        }
    }

    @Test func whileOthersWaitClientsThatDoNotReadHoldHalfOfTheConnectionsToAService() async throws {
        let large = String(repeating: "x", count: 20_000_000)
        try await TestGateway.with(
            configure: {
                $0.eventLoops = 1
                $0.upstreamConnectionLimit = 4
            }, script: { $0.target == "/v1/leads/large" ? .ok(large) : .ok() }
        ) { gateway async throws in
            let token = gateway.key.token()
            let (end, ending) = AsyncStream<Void>.makeStream()
            try await withThrowingTaskGroup(of: Void.self) { group in
                let (begun, beginning) = AsyncStream<Void>.makeStream()
                for _ in 0..<8 {
                    group.addTask {
                        try await TestClient.connect(port: gateway.port) { client async throws in
                            try await client.send("GET /v1/leads/large HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(token)\r\n\r\n")
                            beginning.yield()
                            // Not a byte is taken until the test is over.
                            for await _ in end {}
                        }
                    }
                }
                var waiting = begun.makeAsyncIterator()
                for _ in 0..<8 { _ = await waiting.next() }
                #expect(try await gateway.get("/v1/leads", token: token).status == 200)
                ending.finish()
                try await group.waitForAll()
            }
        }
    }

    @Test func hopByHopAndTrustedNamesDoNotReachTheService() async throws {
        try await TestGateway.with { gateway async throws in
            _ = try await gateway.get(
                "/v1/leads", token: gateway.key.token(),
                headers: "Martlet-Context: forged\r\nX-Forwarded-For: 1.1.1.1\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-Kept: 1\r\n")
            let request = try #require(gateway.upstream.requests.first)
            #expect(request.head.components(of: "Martlet-Context") == 1)
            #expect(request.header("x-hop") == nil && request.header("x-forwarded-for") == nil && request.header("x-kept") == "1")
        }
    }
}

extension String {
    fileprivate func components(of text: String) -> Int {
        var count = 0
        var rest = self[...]
        while let range = rest.firstRange(of: text) {
            count += 1
            rest = rest[range.upperBound...]
        }
        return count
    }
}
