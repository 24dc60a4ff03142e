import Core
import Testing

@Suite struct ForwardingTests {
    @Test func aMembersRequestReachesItsServiceWithASignedContextThatVerifies() async throws {
        try await TestGateway.with(script: { _ in .ok(#"{"data":[]}"#, headers: "ETag: \"3\"\r\nServer: upstream\r\n") }) {
            gateway async throws in
            let member = TestMember()
            let answer = try await gateway.get(
                "/v1/leads?limit=5", token: gateway.key.token(for: member), headers: "X-Request-Id: abc.1\r\nAccept: application/json\r\n")
            #expect(answer.status == 200)
            #expect(answer.body == #"{"data":[]}"#)
            #expect(answer.header("etag") == "\"3\"")
            #expect(answer.header("server") == nil)
            #expect(answer.header("x-request-id") == "abc.1")
            #expect(answer.header("x-content-type-options") == "nosniff")
            #expect(answer.header("cache-control") == "no-store")
            #expect(answer.header("ratelimit-policy") == "\"tenant\";q=1000000;w=1")

            let request = try #require(gateway.upstream.requests.first)
            #expect(request.target == "/v1/leads?limit=5")
            #expect(request.header("accept") == "application/json")
            #expect(request.header("authorization") == nil)
            let caller = try request.caller()
            guard case .member(let context) = caller else {
                Issue.record("not a member: \(caller)")
                return
            }
            #expect(context.tenant == member.tenant && context.user == member.user && context.session == member.session)
            #expect(context.permissions == member.role.permissions && context.scopes == member.role.scopes)
            #expect(context.limits == ["leads": 100])
            #expect(context.requestID == "abc.1" && context.edge.address == "127.0.0.1")
        }
    }
}
