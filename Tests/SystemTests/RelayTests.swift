import Core
import Foundation
import TestSupport
import Testing

/// Fault F10: the process that hands over crm's events stands still.
@Suite(.serialized)
struct RelayTests {
    private static func leads(_ platform: Platform, _ name: String) async throws -> Bool {
        let metrics = try await APIClient(url: platform.adminURLs[name] ?? "").send(.get, "/metrics", expecting: 200).text
        return metrics.contains("\nmartlet_outbox_leader 1\n")
    }

    /// Goal: another takes over within 15 s, and the one that is woken up again delivers nothing.
    /// Method: two processes of crm, 20,000 events in the outbox; the leader is stopped (SIGSTOP) in the middle of handing over and woken
    /// when the other has gone on.
    @Test(.timeLimit(.minutes(5)))
    func aRelayThatStandsStillIsReplacedAndDeliversNothingWhenItWakesUp() async throws {
        let redis = ProcessInfo.processInfo.environment["MARTLET_TEST_REDIS"] ?? "redis://127.0.0.1:6379"
        let platform = try await Platform(server: .shared(), redisURL: redis, doubled: ["crm"])
        do {
            try await Self.check(platform)
        } catch {
            for process in platform.processes.values where process.isRunning { kill(process.processID, SIGCONT) }
            await platform.stop()
            throw error
        }
        await platform.stop()
    }

    private static func check(_ platform: Platform) async throws {
        try await eventually("one of the two leads") {
            let both = [try await leads(platform, "crm"), try await leads(platform, "crm-2")]
            return both.count { $0 } == 1
        }
        let (leader, other) = try await leads(platform, "crm") ? ("crm", "crm-2") : ("crm-2", "crm")
        func delivered() async throws -> Int {
            Int(try await platform.psql("select count(*) from activity.event where aggregate = 'lead'").dropLast()) ?? -1
        }
        func write(_ count: Int) async throws {
            try await platform.psql(
                """
                insert into crm.outbox (tenant_id, aggregatetype, aggregateid, type, payload, actor, request_id, lane)
                select md5((n % 10)::text)::uuid, 'lead', n::text, 'lead.updated', '{}', 'system', '', crm.outbox_lane(md5((n % 10)::text)::uuid) from generate_series(1, \(count)) as n
                """)
        }
        try await write(20_000)
        try await eventually("some are delivered", every: .milliseconds(1)) { try await delivered() > 0 }
        let stopped = try #require(platform.processes[leader])
        kill(stopped.processID, SIGSTOP)
        let start = ContinuousClock.now
        #expect(try await delivered() < 20_000, "it was stopped too late to be in the middle")
        try await eventually("the other leads", within: .seconds(15)) { try await leads(platform, other) }
        let pause = ContinuousClock.now - start
        try await eventually("the other goes on", within: .seconds(10), every: .milliseconds(1)) {
            try await platform.psql("select count(*) from activity.event_source where source = 'crm' and fence > 1") == "1\n"
        }
        kill(stopped.processID, SIGCONT)
        try await write(1000)
        try await eventually("the outbox is empty", within: .seconds(120)) {
            try await platform.psql("select count(*) from crm.outbox") == "0\n"
        }
        #expect(try await delivered() == 21_000)
        #expect(try await platform.psql("select count(*) from crm.outbox_dead_letter") == "0\n")
        // Without a gap, and each record's event once.
        #expect(
            try await platform.psql(
                "select count(*) from (select tenant_id from activity.event group by 1 having max(sequence) <> count(*)) as broken")
                == "0\n")
        try await eventually("the woken one has noticed") { try await !leads(platform, leader) }
        #expect(try await leads(platform, other))
        print("replaced \(pause) after SIGSTOP; 21,000 events once each")
    }
}
