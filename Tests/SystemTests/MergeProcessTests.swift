import Core
import Foundation
import TestSupport
import Testing

/// Merges and conversions in a process that is killed (-9) in the middle of them.
@Suite(.serialized)
struct MergeProcessTests {
    /// Goal: what was cut off is wholly there or not at all, its repeat does it once, and what a merge has left to be moved is moved to its end.
    /// Method: triggers hold the service's statement at a table until the process is dead.
    @Test(.timeLimit(.minutes(3)))
    func whatAKillCutsOffIsWhollyThereOrNotAtAll() async throws {
        let redis = try #require(ProcessInfo.processInfo.environment["MARTLET_TEST_REDIS"], "run the tests with Tests/run")
        let platform = try await Platform(server: .shared(), redisURL: redis)
        do {
            try await platform.run(
                "identity", ["operator", "create", "--email", "operator@platform.test", "--name", "Operator"], input: World.password + "\n")
            let operatorClient = try await World.signIn("operator@platform.test", platform.api)
            let acme = try await Organization(name: "acme", plan: "enterprise", platform: platform, operatorClient: operatorClient)
            try await layGates(platform)
            for table in ["contact", "note"] { try await checkMerge(cutOffAt: table, acme, platform) }
            for table in ["account", "note"] { try await checkConversion(cutOffAt: table, acme, platform) }
            try await checkMoving(acme, platform)
        } catch {
            await platform.stop()
            throw error
        }
        await platform.stop()
    }

    // MARK: Being cut off

    /// A gate is a table's name: who writes there waits while it is shut, once so many moves of merges are written down.
    private func layGates(_ platform: Platform) async throws {
        let triggers = ["account", "contact", "note", "merge_move"].map {
            "create trigger zz_gate before insert or update on crm.\($0) for each row execute function gate.hold();"
        }
        try await platform.psql(
            """
            create schema gate;
            grant usage on schema gate to martlet_crm;
            create table gate.shut (place text, moves bigint);
            grant select on gate.shut to martlet_crm;
            create function gate.hold() returns trigger language plpgsql as $$
            begin
                while exists (select from gate.shut where place = tg_table_name and moves <= (select count(*) from crm.merge_move)) loop
                    perform pg_sleep(0.05);
                end loop;
                return new;
            end
            $$;
            \(triggers.joined(separator: "\n"))
            """)
    }

    /// Kills the service when it stands at the gate, opens that, and waits until nothing of the dead one runs any more.
    private func kill(
        _ platform: Platform, at table: String, behind moves: String = "0", during request: @escaping @Sendable () async throws -> Void
    ) async throws {
        try await platform.psql("insert into gate.shut select '\(table)', \(moves)")
        async let cut: Void? = try? await request()
        var backend = ""
        try await eventually("somebody is at the gate of \(table)") {
            backend = try await platform.psql(
                "select pid from pg_stat_activity where datname = current_database() and usename = 'martlet_crm' and wait_event = 'PgSleep'"
            ).trimmingCharacters(in: .whitespacesAndNewlines)
            return !backend.isEmpty
        }
        try await platform.kill("crm")
        try await platform.psql("delete from gate.shut")
        _ = await cut
        try await eventually("its transaction has ended") {
            try await platform.psql("select count(*) from pg_stat_activity where pid = \(backend)") == "0\n"
        }
        try await platform.ready("crm")
    }

    /// The gateway may not have heard yet that the service is there again.
    private func answer(of request: () async throws -> APIAnswer) async throws -> APIAnswer {
        var answer: APIAnswer?
        try await eventually("an answer") {
            answer = try await request()
            return answer.map { $0.status < 500 } ?? false
        }
        return try #require(answer)
    }

    private func make(_ path: String, _ body: JSON, _ client: APIClient) async throws -> String {
        try #require(try await client.send(.post, path, body, expecting: 201).json["id"]?.string)
    }

    // MARK: What is cut off

    private func checkMerge(cutOffAt table: String, _ acme: Organization, _ platform: Platform) async throws {
        let admin = acme.admin
        let (kept, gone) = (
            try await make("/v1/accounts", ["name": "Kept"], admin), try await make("/v1/accounts", ["name": "Gone"], admin)
        )
        for name in ["A", "B"] { _ = try await make("/v1/contacts", ["last_name": .string(name), "account_id": .string(gone)], admin) }
        _ = try await make("/v1/notes", ["body": "N", "related": ["type": "account", "id": .string(gone)]], admin)
        let merge: @Sendable () async throws -> APIAnswer = {
            try await admin.send(
                .post, "/v1/accounts/\(kept)/merge", ["from": [.string(gone)]], headers: [("idempotency-key", "merge-\(kept)")])
        }
        func state() async throws -> String {
            let counts = [gone, kept].flatMap { account in
                ["contact where account_id = '\(account)'", "note where (related).id = '\(account)'"]
            }
            let parts = (counts + ["merge where survivor_id = '\(kept)'"]).map { "(select count(*) from crm.\($0))" }
            return try await platform.psql(
                "select merged_into_id is not null, \(parts.joined(separator: ", ")) from crm.account where id = '\(gone)'")
        }
        try await kill(platform, at: table) { _ = try await merge() }
        let cut = try await state()
        #expect(["f|2|1|0|0|0\n", "t|0|0|2|1|1\n"].contains(cut), "cut off at \(table): \(cut)")
        let again = try await answer(of: merge)
        #expect(again.status == 200, "\(again.text)")
        #expect(try await state() == "t|0|0|2|1|1\n")
    }

    private func checkConversion(cutOffAt table: String, _ acme: Organization, _ platform: Platform) async throws {
        let admin = acme.admin
        let name = "Of \(table)"
        let lead = try await make("/v1/leads", ["last_name": .string(name), "company": .string(name)], admin)
        _ = try await make("/v1/notes", ["body": "N", "related": ["type": "lead", "id": .string(lead)]], admin)
        let convert: @Sendable () async throws -> APIAnswer = {
            try await admin.send(
                .post, "/v1/leads/\(lead)/convert", ["deal": .object(JSONObject())], headers: [("idempotency-key", "convert-\(lead)")])
        }
        func state() async throws -> String {
            try await platform.psql(
                """
                select status, (select count(*) from crm.account where name = '\(name)'),
                    (select count(*) from crm.contact where last_name = '\(name)'), (select count(*) from crm.deal where name = '\(name)'),
                    (select count(*) from crm.note where (related).id = lead.id), (select count(*) from crm.note where (related).id = converted_contact_id),
                    (select count(*) from crm.lead_conversion where lead_id = lead.id)
                from crm.lead where id = '\(lead)'
                """)
        }
        try await kill(platform, at: table) { _ = try await convert() }
        let cut = try await state()
        #expect(["new|0|0|0|1|0|0\n", "converted|1|1|1|0|1|1\n"].contains(cut), "cut off at \(table): \(cut)")
        let again = try await answer(of: convert)
        #expect(again.status == 200, "\(again.text)")
        #expect(try await state() == "converted|1|1|1|0|1|1\n")
    }

    /// 1,600 contacts, of which the merge moves 500; the job is killed in the middle of its first step.
    private func checkMoving(_ acme: Organization, _ platform: Platform) async throws {
        let admin = acme.admin
        let (kept, gone) = (
            try await make("/v1/accounts", ["name": "Kept"], admin), try await make("/v1/accounts", ["name": "Gone"], admin)
        )
        try await platform.psql(
            """
            set search_path = crm, extensions;
            insert into contact (tenant_id, id, last_name, account_id, created_by, updated_by)
            select '\(acme.id)', gen_random_uuid(), 'C', '\(gone)', gen_random_uuid(), gen_random_uuid() from generate_series(1, 1600)
            """)
        try await kill(platform, at: "merge_move", behind: "1 + count(*) from crm.merge_move") {
            _ = try await admin.send(.post, "/v1/accounts/\(kept)/merge", ["from": [.string(gone)]])
        }
        // As when the time is up for which the dead process had it.
        try await platform.psql("update crm.job set lease_until = now() where kind = 'merge-references' and status = 'running'")
        try await eventually("all contacts have moved, each once", within: .seconds(60)) {
            try await platform.psql("select count(*), min(version), max(version) from crm.contact where account_id = '\(kept)'")
                == "1600|2|2\n"
        }
        let left = try await platform.psql(
            "select count(*) from crm.contact where account_id = '\(gone)'",
            "select sum(cardinality(ids)) from crm.merge_move join crm.merge on merge.id = merge_id where survivor_id = '\(kept)'")
        #expect(left == "0\n1600\n")
    }
}
