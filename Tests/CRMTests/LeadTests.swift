import CRM
import Core
import TestSupport
import Testing

/// What is special about leads; what every resource has is tested with the engine.
@Suite struct LeadTests {
    @Test func aLeadCannotBeSetToConverted() async throws {
        try await TestDatabase.run([CRM.definition]) { database in
            try await RunningService.run(CRM.definition, on: database) { service in
                let member = Caller.member(
                    RequestContext(
                        tenant: TenantID(), user: UserID(), role: "sales", permissions: BuiltInRole.sales.permissions,
                        scopes: BuiltInRole.sales.scopes, plan: "pro", edge: .test()))
                let answer = try await service.send(
                    .post, "/v1/leads", ["last_name": "A", "status": "converted"], as: member, expecting: 422)
                #expect(answer.json["errors"]?[0]?["pointer"]?.string == "/status")
            }
        }
    }
}
