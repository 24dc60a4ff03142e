import Contracts
import Core
import Foundation
import Logging
import NIOCore
import NIOPosix
import Operations
import Redis
import Synchronization
import TestSupport
import Testing

@testable import Gateway

@Suite struct ReloadTests {
    /// Settings change while requests run one after another on connections that stay: each is answered, and the new values hold for all loops.
    @Test func settingsChangeUnderLoadWithoutAFailedRequest() async throws {
        try await TestGateway.with { gateway async throws in
            let second = TestUpstream(keys: [gateway.key]) { _ in .ok(#"{"second":true}"#) }
            let port = try await second.start()
            let token = gateway.key.token()
            let finished = Counter()
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for _ in 0..<8 {
                    tasks.addTask {
                        try await TestClient.connect(port: gateway.port) { client in
                            for _ in 0..<40 {
                                let status = try await client.get("/v1/leads", token: token).status
                                #expect(status == 200)
                                _ = finished.next()
                            }
                        }
                    }
                }
                var changed = gateway.gateway.configuration.policy
                changed.corsOrigins = ["https://new.example.com"]
                changed.upstreams[.crm] = [UpstreamAddress(host: "127.0.0.1", port: port)]
                changed.bodyLimit = 2000
                gateway.gateway.apply(changed)
                try await tasks.waitForAll()
            }
            #expect(finished.next() == 321)
            try await eventually("the new settings hold on every loop") {
                // One connection after another goes to one loop after another.
                for _ in 0..<4 {
                    let answer = try await gateway.get("/v1/leads", token: token, headers: "Origin: https://new.example.com\r\n")
                    guard answer.header("access-control-allow-origin") == "https://new.example.com", answer.body == #"{"second":true}"#
                    else {
                        return false
                    }
                }
                return true
            }
            let large = "POST /v1/leads HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer \(token)\r\nContent-Length: 3000\r\n\r\n"
            #expect(try await gateway.send(large).status == 413)
            await second.stop()
        }
    }

    @Test func anErrorChangesNothing() async throws {
        try await TestGateway.with(configure: { $0.corsOrigins = ["https://app.example.com"] }) { gateway async throws in
            gateway.gateway.reload {
                Settings(values: [
                    "MARTLET_CONTEXT_KEYS": TestContextKeys.text(of: ContextPair.gateway),
                    "MARTLET_CORS_ORIGINS": "https://new.example.com",
                    "MARTLET_IN_FLIGHT": "0",
                ])
            }
            let answer = try await gateway.get("/v1/plans", headers: "Origin: https://app.example.com\r\n")
            #expect(answer.header("access-control-allow-origin") == "https://app.example.com")
        }
    }

    @Test func whatNeedsARestartIsNamed() {
        let running = GatewayConfiguration(contextKeys: TestContextKeys.keys(of: ContextPair.gateway))
        var new = running
        new.policy.addressLimit = 7
        #expect(running.fixedChanges(to: new) == [])
        new.port = 9
        new.redis = .init(host: "elsewhere", port: 1)
        new.eventLoops += 1
        #expect(running.fixedChanges(to: new) == ["port", "redis.url", "event.loops"])
    }
}

@Suite struct CheckTests {
    @Test func everyFaultIsTold() throws {
        let settings = Settings(values: [
            "MARTLET_PORT": "http", "MARTLET_IN_FLIGHT": "none", "MARTLET_TRUSTED_PROXIES": "here", "MARTLET_ISSUER": "x",
        ])
        let malformed = Settings(values: [
            "MARTLET_PORT": "http", "MARTLET_CONTEXT_KEYS": "k1:gateway-crm:00", "MARTLET_TLS_KEY": "/key",
            "MARTLET_PROXY_PROTOCOL": "true",
        ])
        #expect(
            try Set(GatewayConfiguration.faults(in: malformed).compactMap(\.key)) == ["port", "context.keys", "tls.key", "proxy.protocol"])
        let keys = try GatewayConfiguration.faults(in: settings).map(\.key)
        #expect(Set(keys) == ["port", "in.flight", "trusted.proxies", "context.keys"] && keys.count == 4)
        #expect(
            try GatewayConfiguration.faults(in: Settings(values: ["MARTLET_CONTEXT_KEYS": TestContextKeys.text(of: ContextPair.gateway)]))
                .isEmpty)
    }

    /// Five services on one address each, two loops of 64 + 8 + 256 connections: 5 × (2 × 328 + 4) + 8 + 64 files that are not clients'.
    @Test(arguments: [(20_000, 10_000, true), (1024, 512, false), (8372, 5000, false), (1, 1, false)])
    func asManyClientsAreLetInAsFilesAllow(files: Int, connections: Int, hasRoom: Bool) throws {
        var configuration = GatewayConfiguration(contextKeys: TestContextKeys.keys(of: ContextPair.gateway))
        configuration.eventLoops = 2
        let limit = FileLimit(files: files, configuration: configuration)
        #expect(limit.others == 3372 && limit.needed == 13_372)
        #expect(limit.connections == connections)
        #expect((limit.shortfall == nil) == hasRoom)
    }
}

/// The executable itself.
@Suite struct GatewayProcessTests {
    private static let executable = Platform.executables + "/martlet-gateway"

    private let file = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-gateway-\(UUID())").path

    private func write(_ lines: [String]) throws {
        try (["MARTLET_CONTEXT_KEYS=\(TestContextKeys.text(of: ContextPair.gateway))"] + lines).joined(separator: "\n").write(
            toFile: file, atomically: true, encoding: .utf8)
    }

    @Test func checkTellsEveryFaultAndExitsWithOne() async throws {
        try write(["MARTLET_CONNECTIONS=none", "MARTLET_PORT=http", "MARTLET_ADRESS_LIMIT=5"])
        let failed = await #expect(throws: ChildProcess.CommandFailed.self) {
            try await ChildProcess.run(Self.executable, ["check", "--config", file])
        }
        for name in ["MARTLET_CONNECTIONS", "MARTLET_PORT", "MARTLET_ADRESS_LIMIT"] { #expect(failed?.output.contains(name) == true) }
        try write(["MARTLET_CONNECTIONS=100"])
        #expect(try await ChildProcess.run(Self.executable, ["check", "--config", file]).contains("the settings are right"))
        try FileManager.default.removeItem(atPath: file)
    }

    /// SIGHUP brings what the file says by then; a file with a fault brings nothing, and the log names the setting.
    @Test func aSignalHasTheSettingsReadAgain() async throws {
        let ports = try FreePorts.take(2)
        let fixed = ["MARTLET_PORT=\(ports[0])", "MARTLET_ADMIN_PORT=\(ports[1])"]
        try write(fixed)
        let log = file + ".log"
        let process = ChildProcess(Self.executable, ["serve", "--config", file], logFile: log)
        try process.start()
        func level() async throws -> String? {
            let answer = try? await TestClient.connect(port: ports[1]) { try await $0.get("/log-level") }
            return try answer.flatMap { try JSONParser.parse(Array($0.body.utf8))["level"]?.string }
        }
        do {
            try await eventually("the gateway answers") { try await level() == "info" }
            try write(fixed + ["MARTLET_LOG_LEVEL=debug", "MARTLET_ISSUER=another"])
            try await eventually("the level is another") {
                // Before the process listens for signals this one means nothing to it.
                _ = kill(process.processID, SIGHUP)
                return try await level() == "debug"
            }
            try await eventually("the issuer needs a restart") { process.output.contains("\"settings\":\"issuer\"") }
            try write(fixed + ["MARTLET_LOG_LEVEL=warning", "MARTLET_CONNECTIONS=none"])
            _ = kill(process.processID, SIGHUP)
            try await eventually("the fault is told") { process.output.contains("setting MARTLET_CONNECTIONS: expected") }
            #expect(try await level() == "debug")
        } catch {
            await process.stop()
            throw error
        }
        #expect(await process.stop() == 0)
        for path in [file, log] { try FileManager.default.removeItem(atPath: path) }
    }
}

@Suite struct AdminTests {
    @Test func operatorsSeeRoutesUpstreamsAndLimits() async throws {
        let streamed = [
            StreamedRoute(.crm, .post, "/v1/imports/{id}/file", .upload(types: ["text/csv"], limit: 1 << 20)),
            StreamedRoute(.activity, .get, "/v1/stream", .answer),
        ]
        try await TestGateway.with(configure: { $0.routes = RouteTable(streamed: streamed) }) { gateway async throws in
            _ = try await gateway.get("/v1/leads", token: gateway.key.token())
            let routes = try JSONParser.parse(Array(try await gateway.admin("/routes").body.utf8))["routes"]?.array ?? []
            #expect(routes.contains { $0["route"] == "/v1/leads" && $0["service"] == "crm" && $0["open"] == false })
            #expect(routes.contains { $0["route"] == "/v1/plans" && $0["open"] == true && $0["streamed"] == [] })
            let upload: JSON = [
                "method": "POST", "path": "/v1/imports/{id}/file", "body": ["policy": "streamed", "limit": 1_048_576], "lane": "bulk",
            ]
            let stream: JSON = ["method": "GET", "path": "/v1/stream", "body": ["policy": "gathered"], "lane": "stream"]
            #expect(routes.first { $0["route"] == "/v1/imports" }?["streamed"] == .array([upload]))
            #expect(routes.first { $0["route"] == "/v1/stream" }?["streamed"] == .array([stream]))
            let upstreams = try JSONParser.parse(Array(try await gateway.admin("/upstreams").body.utf8))
            let crm = upstreams["addresses"]?.array?.first { $0["service"] == "crm" }
            #expect(crm?["address"] == .string("127.0.0.1:\(gateway.upstreamPort)") && crm?["state"] == "healthy" && crm?["in_flight"] == 0)
            #expect(upstreams["services"]?.array?.count == ServiceName.allCases.count)
            let limits = try JSONParser.parse(Array(try await gateway.admin("/limits").body.utf8))
            #expect(limits["redis"] == "answers" && limits["refused"]?["tenant"] == 0)
            #expect(try await gateway.admin("/nothing").status == 404)
        }
    }

    @Test func theLogLevelIsChangedWhileItRuns() async throws {
        try await TestGateway.with { gateway async throws in
            func put(_ body: String) async throws -> TestClient.Answer {
                try await TestClient.connect(port: gateway.adminPort) { client in
                    try await client.send("PUT /log-level HTTP/1.1\r\nHost: x\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
                    return try await client.answer()
                }
            }
            let before = JSONLogHandler.processLevel
            defer { JSONLogHandler.processLevel = before }
            #expect(try await put(#"{"level":"debug"}"#).body == "{\"level\":\"debug\"}\n")
            #expect(JSONLogHandler.processLevel == .debug)
            #expect(try await gateway.admin("/log-level").body == "{\"level\":\"debug\"}\n")
            #expect(try await put(#"{"level":"loud"}"#).status == 400)
            #expect(try await put(String(repeating: " ", count: 2000)).status == 413)
            #expect(JSONLogHandler.processLevel == .debug)
        }
    }

    @Test func metricsTellWhatAnAlertNeeds() async throws {
        let member = TestMember(tenantRate: (1, 3600))
        try await TestGateway.with { gateway async throws in
            let token = gateway.key.token(for: member)
            #expect(try await gateway.get("/v1/leads", token: token).status == 200)
            #expect(try await gateway.get("/v1/leads", token: token).status == 429)
            let metrics = try await gateway.admin("/metrics").body
            let crm = "service=\"crm\",address=\"127.0.0.1:\(gateway.upstreamPort)\""
            for line in [
                "martlet_gateway_limited_total{limit=\"tenant\"} 1", "martlet_gateway_limited_total{limit=\"address\"} 0",
                "martlet_gateway_upstream_duration_seconds_count{\(crm)} 1", "martlet_gateway_upstream_failures_total{\(crm)} 0",
                "martlet_gateway_upstream_waiting{service=\"crm\",lane=\"bulk\"} 0",
                "martlet_gateway_state_reads_failed_total{source=\"identity\"} 0",
            ] { #expect(metrics.contains(line + "\n")) }
            for start in [
                "martlet_gateway_state_age_seconds{source=\"tenant\"} ", "process_start_time_seconds ", "process_open_fds ",
                "process_max_fds ",
                "martlet_gateway_request_duration_seconds_bucket{service=\"crm\",le=\"5e-05\"} ",
            ] { #expect(metrics.contains("\n" + start)) }
        }
    }
}

@Suite struct FeedTests {
    /// A state of 17 MiB cannot be taken: what is known stays in force, and is told to be old.
    @Test func aStateThatIsTooLargeChangesNothing() async throws {
        let member = TestMember()
        try await TestGateway.with { gateway async throws in
            let token = gateway.key.token(for: member)
            #expect(try await gateway.get("/v1/leads", token: token).status == 200)
            gateway.upstream.state.withLock { state in
                state.padding = 17 << 20
                state.revocations = [.session(member.session)]
            }
            // What a gateway does not understand has it read the state at once.
            let redis = RedisClient(configuration: TestGateway.redis, eventLoop: MultiThreadedEventLoopGroup.singleton.next())
            func poll() async throws { _ = try await redis.command(["PUBLISH", Revocation.channel, "{}"]) }
            try await poll()
            try await eventually("both reads have failed") {
                let metrics = try await gateway.admin("/metrics").body
                return ["identity", "tenant"].allSatisfy { !metrics.contains("state_reads_failed_total{source=\"\($0)\"} 0\n") }
            }
            #expect(try await gateway.get("/v1/leads", token: token).status == 200)
            gateway.upstream.state.withLock { $0.padding = 0 }
            try await poll()
            try await eventually("the state is read again") { try await gateway.get("/v1/leads", token: token).status == 401 }
        }
    }
}
