import Core
import Foundation
import Postgres
import TestSupport
import Testing

/// Start order does not matter, and what is away for a while is waited for.
@Suite(.serialized)
struct StartOrderTests {
    private static func run(_ body: (Platform, PrivatePostgres) async throws -> Void) async throws {
        try await PrivatePostgres.run(connections: 200) { postgres in
            let redis = ProcessInfo.processInfo.environment["MARTLET_TEST_REDIS"] ?? "redis://127.0.0.1:6379"
            let platform = try await Platform(
                server: .init(host: postgres.superuser.host, port: postgres.superuser.port), redisURL: redis)
            do {
                try await body(platform, postgres)
            } catch {
                await platform.stop()
                throw error
            }
            await platform.stop()
        }
    }

    /// Postgres is down when the services start: they say so, live on, and are ready once it is up.
    @Test(.timeLimit(.minutes(3)))
    func aDatabaseThatIsNotThereYetIsWaitedFor() async throws {
        try await Self.run { platform, postgres in
            for name in Platform.services { await platform.processes[name]?.stop() }
            try await postgres.stop()
            for name in Platform.services { try platform.processes[name]?.start() }
            for name in Platform.services {
                let process = try #require(platform.processes[name])
                let admin = APIClient(url: try #require(platform.adminURLs[name]))
                try await eventually("\(name) says that it waits") { process.output.contains("\"waiting for the database\"") }
                #expect(process.isRunning, "\(process.output.suffix(500))")
                try await admin.send(.get, "/livez", expecting: 200)
                try await admin.send(.get, "/readyz", expecting: 503)
            }
            // One that is told to stop while it waits stops as any other.
            #expect(await platform.processes["crm"]?.stop() == 0, "\(platform.processes["crm"]?.output.suffix(500) ?? "")")
            try platform.processes["crm"]?.start()
            try await postgres.start()
            for name in Platform.services { try await platform.ready(name) }
        }
    }

    /// While activity is away the age of the oldest event grows in crm's metrics; afterwards nothing waits.
    @Test(.timeLimit(.minutes(3)))
    func theLagOfAnOutboxIsMeasured() async throws {
        try await Self.run { platform, _ in
            try await platform.run(
                "identity", ["operator", "create", "--email", "operator@platform.test", "--name", "Operator"],
                input: World.password + "\n")
            let operatorClient = try await World.signIn("operator@platform.test", platform.api)
            let acme = try await Organization(name: "acme", plan: "enterprise", platform: platform, operatorClient: operatorClient)
            func lag() async throws -> Double {
                let text = try await APIClient(url: platform.adminURLs["crm"] ?? "").send(.get, "/metrics", expecting: 200).text
                let line = text.split(separator: "\n").first { $0.hasPrefix("martlet_outbox_lag_seconds ") }
                return try #require(line?.split(separator: " ").last.flatMap { Double($0) })
            }
            await platform.processes["activity"]?.stop()
            _ = try await acme.create("/v1/leads", ["last_name": "Waiting"])
            try await eventually("the lag grows beyond a second") { try await lag() > 1 }
            try platform.processes["activity"]?.start()
            try await eventually("the trail has the lead") {
                try await acme.admin.send(.get, "/v1/audit?action=lead.created").json["data"]?.array?.count == 1
            }
            try await eventually("nothing waits") { try await lag() == 0 }
        }
    }
}
