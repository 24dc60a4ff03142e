import Core
import Testing

@testable import Gateway

/// Fields that say what may be done with a message's body: of a request, whether it can be read; of an answer, what browsers and caches may.
@Suite struct MessageFieldTests {
    @Test(arguments: [
        ("", true), ("identity", true), ("Identity, identity", true), (",", true), ("gzip", false), ("identity, gzip", false),
        ("br", false), ("deflate", false), ("x-gzip", false), ("identity;q=1", false), ("aes128gcm", false),
    ])
    func onlyABodyAsItIsIsRead(value: String, isRead: Bool) {
        #expect(Array(value.utf8).withUnsafeBytes { BodyCoding.isRead($0) } == isRead)
    }

    @Test func aBodyInACodingThatIsNotReadIsRefusedAndNothingElse() async throws {
        try await TestGateway.with { gateway async throws in
            try await TestClient.connect(port: gateway.port) { client async throws in
                let start = "POST /v1/leads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(gateway.key.token())\r\n"
                for coding in ["gzip", "identity\r\nContent-Encoding: br"] {
                    try await client.send("\(start)Content-Encoding: \(coding)\r\nContent-Length: 2\r\n\r\n{}")
                    let answer = try await client.answer()
                    #expect(answer.status == 415 && answer.header("accept-encoding") == "identity")
                    let problem = try JSONParser.parse(answer.body)
                    #expect(problem["code"] == "unsupported_media_type" && problem["errors"]?[0]?["pointer"] == "Content-Encoding")
                }
                #expect(!gateway.upstream.requests.contains { $0.target == "/v1/leads" })
                // The connection goes on, and what needs no decoding passes.
                try await client.send("\(start)Content-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}")
                #expect(try await client.answer().status == 200)
                try await client.send("\(start)Content-Encoding: gzip\r\nContent-Length: 0\r\n\r\n")
                #expect(try await client.answer().status == 200)
                #expect(gateway.upstream.requests.allSatisfy { $0.header("content-encoding") == nil })
            }
        }
    }

    /// A42: what an answer may be used for. One with a tag may be kept by its owner, so that If-None-Match can be of use.
    @Test func answersAreNeitherFramedNorSniffedNorKeptByOthers() async throws {
        try await TestGateway.with(script: { request in
            let headers = request.target.hasPrefix("/v1/leads/") ? "ETag: \"1\"\r\nReferrer-Policy: unsafe-url\r\n" : ""
            return .ok(headers: request.target == "/v1/deals" ? "ETag: \"1\"\r\nCache-Control: no-store\r\n" : headers)
        }) { gateway async throws in
            let token = gateway.key.token()
            for (path, token, cache) in [
                ("/v1/leads/1", token, "private, no-cache"), ("/v1/leads", token, "no-store"), ("/v1/deals", token, "no-store"),
                ("/v1/leads", nil, "no-store"), ("/openapi.json", nil, "no-store"),
            ] as [(String, String?, String)] {
                let answer = try await gateway.get(path, token: token)
                func values(_ name: String) -> [String] {
                    answer.head.split(separator: "\r\n").filter { $0.lowercased().hasPrefix("\(name): ") }.map {
                        String($0.dropFirst(name.utf8.count + 2))
                    }
                }
                #expect(values("cache-control") == [cache], "\(path)")
                #expect(values("referrer-policy") == ["no-referrer"], "\(path)")
                #expect(values("x-content-type-options") == ["nosniff"], "\(path)")
                #expect(values("content-security-policy") == ["default-src 'none'; frame-ancestors 'none'"], "\(path)")
            }
        }
    }
}
