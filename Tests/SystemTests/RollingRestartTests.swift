import Core
import Foundation
import Synchronization
import TestSupport
import Testing

/// Fault F19: crm and the gateway run twice, and each is told to stop (SIGTERM) again and again under load, as a rolling deploy does.
@Suite(.serialized)
struct RollingRestartTests {
    static let restarts = 50
    static let clients = 12

    /// A balancer before the gateways that asks them whether they are ready, as a cluster's does.
    private static func balancer(port: Int, statusPort: Int, platform: Platform) throws -> ChildProcess {
        let servers = ["gateway", "gateway-2"].map { name in
            let port = platform.serviceURLs[name]?.split(separator: ":").last ?? ""
            let adminPort = platform.adminURLs[name]?.split(separator: ":").last ?? ""
            return "  server \(name) 127.0.0.1:\(port) check port \(adminPort) inter 100 fall 1 rise 1"
        }
        let text = """
            defaults
              mode tcp
              timeout connect 5s
              timeout client 60s
              timeout server 60s
            listen gateways
              bind 127.0.0.1:\(port)
              option httpchk GET /readyz
              option redispatch
              retries 3
            \(servers.joined(separator: "\n"))
            frontend status
              mode http
              bind 127.0.0.1:\(statusPort)
              stats enable
              stats uri /status

            """
        let file = "\(platform.folder)/haproxy.cfg"
        try text.write(toFile: file, atomically: true, encoding: .utf8)
        return ChildProcess("/usr/sbin/haproxy", ["-db", "-f", file], logFile: "\(platform.folder)/haproxy.log")
    }

    private final class Tally: Sendable {
        let created = Mutex<[String]>([])
        let reads = Atomic<Int>(0)
        let failures = Mutex<[String]>([])
        let isOver = Atomic<Bool>(false)
    }

    @Test(.timeLimit(.minutes(10)))
    func restartingOneAfterTheOtherFailsNoRequest() async throws {
        let redis = ProcessInfo.processInfo.environment["MARTLET_TEST_REDIS"] ?? "redis://127.0.0.1:6379"
        let platform = try await Platform(
            server: .shared(), redisURL: redis, doubled: ["crm", "gateway"],
            // A second is long for a balancer that asks ten times in it.
            all: ["MARTLET_DRAIN_SECONDS": "1"])
        let ports = try FreePorts.take(2)
        let balancer = try Self.balancer(port: ports[0], statusPort: ports[1], platform: platform)
        try balancer.start()
        do {
            try await check(
                platform, APIClient(url: "http://127.0.0.1:\(ports[0])"), balancer: APIClient(url: "http://127.0.0.1:\(ports[1])"))
        } catch {
            await balancer.stop(signal: SIGKILL)
            await platform.stop()
            throw error
        }
        await balancer.stop(signal: SIGKILL)
        await platform.stop()
    }

    private func check(_ platform: Platform, _ api: APIClient, balancer: APIClient) async throws {
        try await eventually("the balancer has found a gateway") { (try? await api.send(.get, "/v1/plans").status) == 200 }
        try await platform.run(
            "identity", ["operator", "create", "--email", "operator@platform.test", "--name", "Operator"], input: World.password + "\n")
        let operatorClient = try await World.signIn("operator@platform.test", platform.api)
        let acme = try await Organization(name: "acme", plan: "enterprise", platform: platform, operatorClient: operatorClient)
        // A fast machine would meet the plan's limit.
        try await operatorClient.send(
            .patch, "/v1/platform/tenants/\(acme.id)", ["overrides": ["requests_per_second": 1_000_000]], expecting: 200)
        let admin = APIClient(url: api.url, token: try await World.signIn("admin@\(acme.slug).test", platform.api).token)
        let tally = Tally()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for client in 0..<Self.clients { group.addTask { await Self.work(admin, tally, writes: client % 2 == 0) } }
            group.addTask {
                defer { tally.isOver.store(true, ordering: .releasing) }
                for round in 0..<Self.restarts {
                    try await withThrowingTaskGroup(of: Void.self) { restarts in
                        for name in ["crm", "gateway"] {
                            restarts.addTask { try await Self.restart(round % 2 == 0 ? name : "\(name)-2", platform) }
                        }
                        try await restarts.waitForAll()
                    }
                    try await eventually("the balancer knows of both gateways again") {
                        let lines = try await balancer.send(.get, "/status;csv", expecting: 200).text.split(separator: "\n")
                        return lines.count { $0.hasPrefix("gateways,gateway") && $0.contains(",UP,") } == 2
                    }
                }
            }
            try await group.waitForAll()
        }
        let failures = tally.failures.withLock { $0 }
        let created = tally.created.withLock { $0 }
        #expect(failures.isEmpty, "\(failures.count) failed, the first: \(failures.prefix(5))")
        let present = Set(try await platform.psql("select id from crm.lead").split(separator: "\n").map(String.init))
        #expect(present == Set(created))
        print(
            "\(Self.restarts) restarts each of crm and gateway, \(created.count) writes and \(tally.reads.load(ordering: .relaxed)) reads, \(failures.count) failed"
        )
    }

    private static func restart(_ name: String, _ platform: Platform) async throws {
        let status = await platform.processes[name]?.stop()
        #expect(status == 0, "\(name) ended with \(status ?? -1): \(platform.processes[name]?.output.suffix(500) ?? "")")
        try platform.processes[name]?.start()
        try await platform.ready(name)
    }

    /// One request after another, without keys and without repeats, so that nothing covers up a request that was lost.
    private static func work(_ admin: APIClient, _ tally: Tally, writes: Bool) async {
        while !tally.isOver.load(ordering: .acquiring) {
            do {
                let answer =
                    writes
                    ? try await admin.send(.post, "/v1/leads", ["last_name": "Rolling"])
                    : try await admin.send(.get, "/v1/leads?limit=1")
                guard answer.status == (writes ? 201 : 200) else {
                    tally.failures.withLock { $0.append("\(answer.status) \(answer.text)") }
                    continue
                }
                if writes {
                    tally.created.withLock { $0.append(answer.json["id"]?.string ?? "") }
                } else {
                    tally.reads.wrappingAdd(1, ordering: .relaxed)
                }
            } catch {
                tally.failures.withLock { $0.append(String(describing: error)) }
            }
        }
    }
}
