import Core
import Foundation
import TestSupport
import Testing

extension SystemTests {
    /// What the README promises a newcomer.
    @Suite struct Journey {
        @Test func aLeadMakesItsWholeWayFromCreationToTheAuditTrail() async throws {
            let acme = try World.get().acme
            let created = try await acme.admin.send(
                .post, "/v1/leads", ["last_name": "Lovelace", "first_name": "Ada", "email": "ada@example.com"], expecting: 201)
            let id = try #require(created.json["id"]?.string)
            #expect(created.header("location") == "/v1/leads/\(id)")
            #expect(created.header("etag") == "\"1\"")

            let read = try await acme.admin.send(.get, "/v1/leads/\(id)", expecting: 200)
            #expect(read.json == created.json)
            let list = try await acme.admin.send(.get, "/v1/leads?q=lovelace", expecting: 200)
            #expect(list.json["data"]?.array?.contains { $0["id"]?.string == id } == true)

            try await acme.admin.send(.patch, "/v1/leads/\(id)", ["score": 10], headers: [("if-match", "\"1\"")], expecting: 200)
            let stale = try await acme.admin.send(
                .patch, "/v1/leads/\(id)", ["score": 11], headers: [("if-match", "\"1\"")], expecting: 412)
            #expect(stale.json["current_version"]?.integer == 2)
            try await acme.admin.send(.delete, "/v1/leads/\(id)", expecting: 204)
            try await acme.admin.send(.get, "/v1/leads/\(id)", expecting: 404)

            try await eventually("the trail has all three changes") {
                let trail = try await acme.admin.send(.get, "/v1/audit?resource=lead&id=\(id)&sort=sequence", expecting: 200)
                let actions = trail.json["data"]?.array?.compactMap { $0["action"]?.string }
                return actions == ["lead.created", "lead.updated", "lead.deleted"]
            }
            let trail = try await acme.admin.send(.get, "/v1/audit?resource=lead&id=\(id)&sort=sequence", expecting: 200)
            let update = try #require(trail.json["data"]?[1])
            #expect(update["before"]?["score"] == .null)
            #expect(update["after"]?["score"] == 10)
        }

        /// Where the tenant is reaches crm with the next request, by the token that is there.
        @Test func aTelephoneNumberIsReadAsTheTenantsCountryDialsIt() async throws {
            let globex = try World.get().globex
            try await globex.admin.send(.patch, "/v1/tenant", ["locale": "ja-JP"], expecting: 200)
            try await eventually("numbers are those of Japan", within: .seconds(10)) {
                let lead = try await globex.admin.send(
                    .post, "/v1/leads", ["last_name": "Nakamura", "phone": "03-1234-5678"], expecting: 201)
                return lead.json["phone_e164"] == "+81312345678"
            }
            try await globex.admin.send(.patch, "/v1/tenant", ["country": "AT"], expecting: 200)
            try await eventually("numbers are those of Austria", within: .seconds(10)) {
                let list = try await globex.admin.send(.get, "/v1/leads?phone=0081-3-1234-5678&fields=phone", expecting: 200)
                return list.json["data"]?[0]?["phone"] == "03-1234-5678"
            }
            try await globex.admin.send(.patch, "/v1/tenant", ["country": nil, "locale": "en"], expecting: 200)
        }

        @Test func theAuditTrailIsAnUnbrokenChainThatACommandChecksWithoutAServer() async throws {
            let world = try World.get()
            for name in ["a", "b", "c"] { _ = try await world.globex.create("/v1/leads", ["last_name": .string(name)]) }
            try await eventually("the leads are in the trail") {
                try await world.globex.admin.send(.get, "/v1/audit?action=lead.created").json["data"]?.array?.count ?? 0 >= 3
            }
            let export = try await world.globex.admin.send(.get, "/v1/audit/export", expecting: 200)
            let file = "\(world.platform.folder)/audit.ndjson"
            try export.text.write(toFile: file, atomically: true, encoding: .utf8)
            let verdict = try await world.platform.run("activity", ["verify", file])
            #expect(verdict.contains("the chain holds"))

            func fault(_ text: String) async throws -> String {
                try text.write(toFile: file, atomically: true, encoding: .utf8)
                let failure = await #expect(throws: ChildProcess.CommandFailed.self) {
                    try await world.platform.run("activity", ["verify", file])
                }
                return failure?.output ?? ""
            }
            let changed = export.text.replacing("lead.created", with: "lead.deleted", maxReplacements: 1)
            #expect(try await fault(changed).contains(" was changed"))
            let lines = export.text.split(separator: "\n")
            let cut = try await fault(lines.dropLast(2).joined(separator: "\n") + "\n")
            #expect(cut == "the chain is broken: line \(lines.count - 1): the end is missing, so entries may be\n")

            // From where that check ended.
            let position = try #require(verdict.split(separator: " ").last).trimmingCharacters(in: .whitespacesAndNewlines)
            _ = try await world.globex.create("/v1/leads", ["last_name": "d"])
            let sequence = position.prefix { $0 != ":" }
            var rest = ""
            try await eventually("the trail has gone on") {
                rest = try await world.globex.admin.send(.get, "/v1/audit/export?after_sequence=\(sequence)", expecting: 200).text
                return rest.contains("lead.created")
            }
            try rest.write(toFile: file, atomically: true, encoding: .utf8)
            #expect(try await world.platform.run("activity", ["verify", file, "--from", position]).contains("the chain holds"))
        }

        /// Fault F7: an event that activity cannot take, nested deeper than it reads.
        @Test func verifyTellsOfAnEventThatCouldNotBeTakenIn() async throws {
            let world = try World.get()
            let tenant = TenantID()
            try await world.platform.psql(
                """
                insert into crm.outbox (tenant_id, aggregatetype, aggregateid, type, payload, actor, request_id, lane)
                select '\(tenant)', 'lead', n::text, 'lead.updated',
                    case n when 2 then (repeat('[', 40) || repeat(']', 40))::jsonb else '{}' end, 'system', '', crm.outbox_lane('\(tenant)')
                from generate_series(1, 3) as n
                """)
            try await eventually("the others are there") {
                try await world.platform.psql("select count(*) from activity.event where tenant_id = '\(tenant)'") == "3\n"
            }
            let context = RequestContext(
                tenant: tenant, user: UserID(), role: BuiltInRole.tenantAdmin.rawValue, permissions: BuiltInRole.tenantAdmin.permissions,
                scopes: BuiltInRole.tenantAdmin.scopes, plan: "pro", edge: .test())
            let signed = TestContextKeys.signer(to: "activity").sign(.member(context), method: "GET", target: "/v1/audit/export")
            let activity = APIClient(url: try #require(world.platform.serviceURLs["activity"]))
            let export = try await activity.send(.get, "/v1/audit/export", headers: [(ContextSigner.headerName, signed)], expecting: 200)
            let file = "\(world.platform.folder)/gap.ndjson"
            try export.text.write(toFile: file, atomically: true, encoding: .utf8)
            let told = await #expect(throws: ChildProcess.CommandFailed.self) {
                try await world.platform.run("activity", ["verify", file])
            }
            #expect(told?.output.hasPrefix("the chain holds: 3 entries, up to 3:") == true)
            #expect(told?.output.contains("entry 2 stands for a missing one: event ") == true)
            #expect(told?.output.contains("lead.updated of lead 2 by system at ") == true)
            #expect(told?.output.hasSuffix("was refused: 400 invalid_json\n") == true)
        }

        @Test func aRepeatedKeyGivesTheFirstAnswerAndOneRow() async throws {
            let acme = try World.get().acme
            let key = [("idempotency-key", UUID().uuidString)]
            let body: JSON = ["last_name": "Once", "company": "Key Ltd"]
            let first = try await acme.admin.send(.post, "/v1/leads", body, headers: key, expecting: 201)
            let second = try await acme.admin.send(.post, "/v1/leads", body, headers: key, expecting: 201)
            #expect(second.body == first.body)
            #expect(second.header("idempotent-replayed") == "true")
            let other = try await acme.admin.send(.post, "/v1/leads", ["last_name": "Other"], headers: key, expecting: 422)
            #expect(other.code == "idempotency_key_reused")
        }

        @Test func ticketsAreServedByTheSameEngine() async throws {
            let acme = try World.get().acme
            let first = try await acme.admin.send(.post, "/v1/tickets", ["subject": "Printer on fire"], expecting: 201)
            let second = try await acme.admin.send(
                .post, "/v1/tickets", ["subject": "Still on fire", "priority": "urgent"], expecting: 201)
            let number = try #require(first.json["number"]?.integer)
            #expect(second.json["number"]?.integer == number + 1)
        }

        @Test func signingOutEndsTheSessionAtTheGateway() async throws {
            let world = try World.get()
            let client = try await World.signIn("manager@acme.test", world.platform.api)
            try await client.send(.get, "/v1/leads", expecting: 200)
            try await client.send(.post, "/v1/auth/logout", expecting: 204)
            try await eventually("the gateway refuses the token") {
                try await client.send(.get, "/v1/leads").code == "token_stale"
            }
        }

        @Test func suspendingATenantActsAtOnceAndLiftingItToo() async throws {
            let world = try World.get()
            let other = try await Organization(
                name: "initech", plan: "pro", platform: world.platform, operatorClient: world.operatorClient)
            try await world.operatorClient.send(.patch, "/v1/platform/tenants/\(other.id)", ["status": "suspended"], expecting: 200)
            try await eventually("the gateway refuses the tenant") {
                try await other.admin.send(.get, "/v1/leads").code == "tenant_suspended"
            }
            try await world.operatorClient.send(.patch, "/v1/platform/tenants/\(other.id)", ["status": "active"], expecting: 200)
            let admin = try await World.signIn("admin@\(other.slug).test", world.platform.api)
            try await eventually("the gateway serves the tenant") { try await admin.send(.get, "/v1/leads").status == 200 }
        }
    }
}
