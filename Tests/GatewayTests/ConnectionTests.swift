import NIOCore
import NIOPosix
import TestSupport
import Testing

@testable import Gateway

/// What a client's connection may hold, and what it is given.
@Suite struct ConnectionTests {
    private func metric(_ name: String, _ gateway: TestGateway) async throws -> Int {
        let text = try await TestClient.connect(port: gateway.adminPort) { try await $0.get("/metrics") }.body
        let line = text.split(separator: "\n").first { $0.hasPrefix("martlet_gateway_\(name) ") }
        return Int(line?.split(separator: " ").last ?? "") ?? -1
    }

    @Test func oneAddressHasOnlySoManyConnectionsAndGetsThemBack() async throws {
        try await TestGateway.with(configure: { $0.addressConnections = 2 }) { gateway async throws in
            try await TestClient.connect(port: gateway.port) { first async throws in
                #expect(try await first.get("/v1/plans").status == 200)
                try await TestClient.connect(port: gateway.port) { second async throws in
                    #expect(try await second.get("/v1/plans").status == 200)
                    try await TestClient.connect(port: gateway.port) { third async throws in #expect(try await third.rest() == "") }
                }
                try await eventually("a connection has ended") { try await gateway.get("/v1/plans").status == 200 }
            }
        }
    }

    @Test func aTrustedProxyHasAsManyConnectionsAsItNeeds() async throws {
        try await TestGateway.with(configure: {
            $0.addressConnections = 1
            $0.trustedProxies = [AddressRange("127.0.0.0/8")].compactMap(\.self)
        }) { gateway async throws in
            try await TestClient.connect(port: gateway.port) { first async throws in
                #expect(try await first.get("/v1/plans").status == 200)
                #expect(try await gateway.get("/v1/plans").status == 200)
            }
        }
    }

    /// Where the last bytes wait depends on the buffers of the system, so there are clients of many sizes: of some of them the last
    /// part lies in the gateway while they pause for longer than a connection lingers.
    @Test func aClientThatPausesGetsTheWholeOfItsLastAnswer() async throws {
        let part = String(repeating: "x", count: 128 * 1024)
        try await TestGateway.with(script: { request in
            .ok(String(repeating: part, count: Int(request.target.split(separator: "/").last ?? "") ?? 1))
        }) { gateway async throws in
            let token = gateway.key.token()
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for size in 1...24 {
                    group.addTask {
                        try await TestClient.connect(port: gateway.port, receiveBuffer: 16 * 1024) { client async throws in
                            try await client.send(
                                "GET /v1/leads/\(size) HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer \(token)\r\n\r\n")
                            // The pause is what is tested.
                            try await Task.sleep(for: .milliseconds(2600))
                            return try await client.answer().body.utf8.count == size * part.utf8.count
                        }
                    }
                }
                for try await isWhole in group { #expect(isWhole) }
            }
        }
    }

    @Test func answersThatNobodyTakesHaveABudget() async throws {
        let large = String(repeating: "x", count: 8 << 20)
        try await TestGateway.with(
            configure: {
                $0.eventLoops = 1
                $0.answersLimit = 1 << 20
            }, script: { $0.target == "/v1/leads/large" ? .ok(large) : .ok() }
        ) { gateway async throws in
            let token = gateway.key.token()
            let (end, ending) = AsyncStream<Void>.makeStream()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<16 {
                    group.addTask {
                        try await TestClient.connect(port: gateway.port) { client async throws in
                            try await client.send("GET /v1/leads/large HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(token)\r\n\r\n")
                            for await _ in end {}
                        }
                    }
                }
                try await eventually("clients that do not read are cut off") {
                    try await metric("slow_readers_ended_total", gateway) >= 8
                }
                #expect(try await metric("answers_bytes", gateway) <= 1 << 20)
                #expect(try await gateway.get("/v1/leads", token: token).status == 200)
                ending.finish()
                try await group.waitForAll()
            }
        }
    }

    /// All who ask for the gateway's own document share one copy of it.
    @Test func documentsThatNobodyTakesCostNoMemory() async throws {
        let filler = String(repeating: "x", count: 3 << 20)
        try await TestGateway.with(
            configure: {
                $0.eventLoops = 1
                $0.answersLimit = 1 << 20
            }, script: { $0.target == "/openapi.json" ? .ok(#"{"openapi":"3.1.0","info":{"title":"\#(filler)"}}"#) : .ok() }
        ) { gateway async throws in
            let (end, ending) = AsyncStream<Void>.makeStream()
            try await withThrowingTaskGroup(of: Void.self) { group in
                let (begun, beginning) = AsyncStream<Void>.makeStream()
                for _ in 0..<8 {
                    group.addTask {
                        try await TestClient.connect(port: gateway.port) { client async throws in
                            try await client.send("GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/plans HTTP/1.1\r\nHost: x\r\n\r\n")
                            beginning.yield()
                            for await _ in end {}
                            #expect(try await client.answer().body.utf8.count > 3 << 20)
                            #expect(try await client.answer().status == 200)
                        }
                    }
                }
                var waiting = begun.makeAsyncIterator()
                for _ in 0..<8 { _ = await waiting.next() }
                #expect(try await gateway.get("/openapi.json").body.utf8.count > 3 << 20)
                #expect(try await metric("answers_bytes", gateway) < 1 << 20)
                ending.finish()
                try await group.waitForAll()
                #expect(try await metric("slow_readers_ended_total", gateway) == 0)
            }
        }
    }
}
