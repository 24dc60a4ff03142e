import Core
import Foundation
import Postgres
import Synchronization
import TestSupport
import Testing

/// Faults F1, F3 and F5: nothing acknowledged is lost and nothing is there twice, whatever dies.
@Suite(.serialized)
struct DurabilityTests {
    /// How often each is killed, and how many leads are created meanwhile.
    static let rounds = 10
    static let leads = 10_000
    static let clients = 32

    /// What the clients were told.
    private final class Ledger: Sendable {
        private let ids = Mutex<[Int: String]>([:])
        private let next = Mutex(0)
        let retries = Mutex(0)
        let kills = Mutex<[String: Int]>([:])

        func take() -> Int? {
            next.withLock { next in
                next < DurabilityTests.leads
                    ? {
                        defer { next += 1 }; return next
                    }() : nil
            }
        }
        func acknowledge(_ number: Int, _ id: String) { ids.withLock { $0[number] = id } }
        var count: Int { ids.withLock { $0.count } }
        var all: [String] { ids.withLock { Array($0.values) } }
    }

    /// 32 clients create leads, each with its own key and again with the same key until it is acknowledged, while gateway, crm, activity
    /// and Redis are killed (-9) ten times each and Postgres twice, spread evenly over the work.
    @Test(.timeLimit(.minutes(15)))
    func nothingAcknowledgedIsLostAndNothingIsThereTwice() async throws {
        try await PrivatePostgres.run(connections: 200) { postgres in
            let redisPort = try FreePorts.take(1)[0]
            let redis = ChildProcess(
                "/usr/bin/redis-server", ["--port", String(redisPort), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
                logFile: NSTemporaryDirectory() + "martlet-redis-\(redisPort).log")
            try redis.start()
            let platform = try await Platform(
                server: .init(host: postgres.superuser.host, port: postgres.superuser.port), redisURL: "redis://127.0.0.1:\(redisPort)")
            do {
                try await check(platform, postgres, redis)
            } catch {
                await platform.stop()
                await redis.stop()
                throw error
            }
            await platform.stop()
            await redis.stop()
        }
    }

    private func check(_ platform: Platform, _ postgres: PrivatePostgres, _ redis: ChildProcess) async throws {
        try await platform.run(
            "identity", ["operator", "create", "--email", "operator@platform.test", "--name", "Operator"], input: World.password + "\n")
        let operatorClient = try await World.signIn("operator@platform.test", platform.api)
        let acme = try await Organization(name: "acme", plan: "enterprise", platform: platform, operatorClient: operatorClient)
        try await operatorClient.send(
            .patch, "/v1/platform/tenants/\(acme.id)", ["overrides": ["requests_per_second": 1_000_000]], expecting: 200)
        let admin = try await World.signIn("admin@\(acme.slug).test", platform.api)

        let ledger = Ledger()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<Self.clients {
                group.addTask { try await Self.createLeads(admin, ledger) }
            }
            group.addTask {
                // One victim after another, at even steps of the work, so that each dies while there is load.
                var victims = (0..<Self.rounds).flatMap { _ in ["crm", "activity", "gateway", "redis"] }
                victims.insert("postgres", at: victims.count / 3)
                victims.insert("postgres", at: victims.count * 2 / 3)
                for (index, victim) in victims.enumerated() {
                    let step = Self.leads * (index + 1) / (victims.count + 1)
                    try await eventually("\(step) leads", within: .seconds(120)) { ledger.count >= step }
                    switch victim {
                    case "redis":
                        await redis.stop(signal: SIGKILL)
                        try redis.start()
                    case "postgres":
                        try await postgres.kill()
                        try await postgres.start()
                    default:
                        try await platform.kill(victim)
                        try await platform.ready(victim)
                    }
                    ledger.kills.withLock { $0[victim, default: 0] += 1 }
                }
            }
            try await group.waitForAll()
        }
        #expect(ledger.kills.withLock { $0 } == ["crm": 10, "activity": 10, "gateway": 10, "redis": 10, "postgres": 2])
        #expect(ledger.count == Self.leads)

        // The database against the ledger.
        let present = Set(try await platform.psql("select id from crm.lead").split(separator: "\n").map(String.init))
        #expect(present.count == Self.leads)
        let lost = ledger.all.filter { !present.contains($0) }
        #expect(lost.isEmpty, "\(lost.count) acknowledged leads are lost")
        #expect(Set(ledger.all).count == Self.leads, "two keys were told of one lead")

        // The trail against the ledger.
        try await eventually("every outbox is empty", within: .seconds(120)) {
            try await platform.psql("select count(*) from crm.outbox").trimmingCharacters(in: .whitespacesAndNewlines) == "0"
        }
        let trail = try await platform.psql(
            "select count(*), count(distinct aggregate_id) from activity.event where kind = 'lead.created' and tenant_id = '\(acme.id)'")
        #expect(trail.trimmingCharacters(in: .whitespacesAndNewlines) == "\(Self.leads)|\(Self.leads)")
        let fresh = try await World.signIn("admin@\(acme.slug).test", platform.api)
        let export = try await fresh.send(.get, "/v1/audit/export", expecting: 200, timeout: .seconds(300))
        let file = "\(platform.folder)/audit.ndjson"
        try export.text.write(toFile: file, atomically: true, encoding: .utf8)
        let verdict = try await platform.run("activity", ["verify", file])
        #expect(verdict.contains("the chain holds"))
        print(
            "42 kills, \(ledger.count) acknowledged writes (\(ledger.retries.withLock { $0 }) repeats), \(lost.count) lost, \(present.count - Set(ledger.all).count) doubled; \(verdict)"
        )
    }

    private static func createLeads(_ admin: APIClient, _ ledger: Ledger) async throws {
        while let number = ledger.take() {
            let key = UUID().uuidString
            let body: JSON = ["last_name": .string("Lead \(number)"), "company": "Durable Ltd", "score": .number(number % 101)]
            while true {
                let answer = try? await admin.send(.post, "/v1/leads", body, headers: [("idempotency-key", key)], timeout: .seconds(15))
                if let answer, answer.status == 201, let id = answer.json["id"]?.string {
                    ledger.acknowledge(number, id)
                    break
                }
                // Only an outage is repeated; any other refusal is a fault.
                if let answer, answer.status < 500, answer.status != 409, answer.status != 429 {
                    Issue.record("creating lead \(number): \(answer.status) \(answer.text)")
                    return
                }
                ledger.retries.withLock { $0 += 1 }
                try await Task.sleep(for: .milliseconds(20))
            }
        }
    }
}
