import CRM
import Core
import Operations
import Synchronization
import TestSupport
import Testing

@testable import ServiceRuntime

/// What a service takes for a request that came through the gateway, over HTTP.
@Suite struct SignedRequestTests {
    /// A service with one route, which counts what reaches it, and answers with the caller.
    private static func run(_ body: @escaping @Sendable (RunningService, Reached) async throws -> Void) async throws {
        let reached = Reached()
        var definition = CRM.definition
        definition.build = { _ in
            ServiceParts(routes: [
                .anonymous(.post, "/v1/echo", Operation(id: "echo", summary: "Echo", tag: "test")) { call, _ in
                    reached.count.withLock { $0 += 1 }
                    return .json(call.body)
                },
                .service(.post, "/internal/name") { _, context in
                    reached.count.withLock { $0 += 1 }
                    return .json(["name": .string(context.service)])
                },
            ])
        }
        try await TestDatabase.run([definition]) { [definition] database in
            try await RunningService.run(definition, on: database) { service in try await body(service, reached) }
        }
    }

    private final class Reached: Sendable {
        let count = Mutex(0)
    }

    private static func send(
        _ service: RunningService, _ context: String, _ body: [UInt8]?, to target: String = "/v1/echo", expecting status: Int
    ) async throws -> APIAnswer {
        try await APIClient(url: service.url).send(
            "POST", target, bytes: body, headers: [(ContextSigner.headerName, context)], expecting: status)
    }

    /// Class A6: a context that was seen serves no other body, not even for the route that it was made for.
    @Test func aBodyThatWasNotSignedDoesNotReachTheHandler() async throws {
        try await Self.run { service, reached in
            let signed = Array(#"{"name":"A"}"#.utf8)
            let context = service.signed(.anybody(), "POST", "/v1/echo", bytes: signed)
            for other in [nil, [], Array(#"{"name":"B"}"#.utf8), signed + [0x20]] as [[UInt8]?] {
                let answer = try await Self.send(service, context, other, expecting: 401)
                #expect(answer.code == "unauthenticated")
            }
            let streamed = TestContextKeys.signer(to: "crm").sign(.anybody(), method: "POST", target: "/v1/echo", body: .streamed)
            for body in [nil, signed] as [[UInt8]?] { _ = try await Self.send(service, streamed, body, expecting: 401) }
            let empty = service.signed(.anybody(), "POST", "/v1/echo")
            _ = try await Self.send(service, empty, signed, expecting: 401)
            #expect(reached.count.withLock { $0 } == 0)
            #expect(try await Self.send(service, context, signed, expecting: 200).body == signed)
            _ = try await Self.send(service, empty, nil, expecting: 200)
            #expect(reached.count.withLock { $0 } == 2)
        }
    }

    /// Class F11: clocks that differ are called that, and are no matter of the client's sign-in.
    @Test func clocksThatDifferAreNamed() async throws {
        try await Self.run { service, reached in
            for seconds in [-300, 3600] {
                let edge = EdgeContext(requestID: "r", deadline: Timestamp.now.advanced(by: .seconds(seconds)))
                let answer = try await Self.send(service, service.signed(.anonymous(edge), "POST", "/v1/echo"), nil, expecting: 503)
                #expect(answer.code == "clock_skew")
                #expect(answer.header("www-authenticate") == nil)
            }
            #expect(reached.count.withLock { $0 } == 0)
        }
    }

    @Test func aServiceIsKnownByItsKey() async throws {
        try await Self.run { service, _ in
            let caller = Caller.service(SystemContext(service: "identity", edge: .test()))
            let value = TestContextKeys.signer(from: "tenant", to: "crm").sign(caller, method: "POST", target: "/internal/name")
            let answer = try await Self.send(service, value, nil, to: "/internal/name", expecting: 200)
            #expect(answer.json["name"] == "tenant")
        }
    }

    @Test func refusalsAreCountedByTheirCode() throws {
        let refusals = ContextRefusals()
        for code in [ErrorCode.clockSkew, .clockSkew, .unauthenticated] {
            #expect(throws: Problem.self) { try refusals.counting { () throws(Problem) in throw Problem(code, "") } }
        }
        #expect(try refusals.counting { () throws(Problem) in 1 } == 1)
        var text = ""
        refusals.write(to: &text)
        #expect(text.contains("martlet_context_refused_total{code=\"clock_skew\"} 2\n"))
        #expect(text.contains("martlet_context_refused_total{code=\"unauthenticated\"} 1\n"))
        #expect(text.contains("martlet_context_refused_total{code=\"deadline_exceeded\"} 0\n"))
    }
}
