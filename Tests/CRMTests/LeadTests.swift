import CRM
import Core
import TestSupport
import Testing

/// What is special about leads; what every resource has is tested with the engine.
@Suite struct LeadTests {
    /// What a gateway signs for a token of a newer identity and tenant, when it is newer itself.
    @Test func aCallerOfANewerReleaseIsServed() async throws {
        try await TestDatabase.run([CRM.definition]) { database in
            try await RunningService.run(CRM.definition, on: database) { service in
                let edge = EdgeContext.test()
                let context = RequestContext(
                    tenant: TenantID(), user: UserID(), role: "auditor", permissions: BuiltInRole.sales.permissions,
                    scopes: BuiltInRole.sales.scopes, plan: "pro", edge: edge)
                var claims = ContextSigner.claims(of: context).split(separator: ",", omittingEmptySubsequences: false).map(String.init)
                claims[5] += "ff"
                claims[6] += "3"
                claims += ["newer", ""]
                let body: JSON = ["last_name": "A"]
                let header = TestContextKeys.signer(to: "crm").sign(
                    claims: claims.joined(separator: ","), edge: edge, method: "POST", target: "/v1/leads", body: .whole(body.bytes))
                try await APIClient(url: service.url).send(
                    .post, "/v1/leads", body, headers: [(ContextSigner.headerName, header)], expecting: 201)
            }
        }
    }

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

    /// Over HTTP, as the field has to come through.
    @Test func aCreationMayBeRefusedForALeadThatIsThere() async throws {
        try await TestDatabase.run([CRM.definition]) { database in
            try await RunningService.run(CRM.definition, on: database) { service in
                let (admin, lead) = (AccountTests.member(.tenantAdmin), ["last_name": "A", "email": "a@kestrel.example"] as JSON)
                try await service.send(.post, "/v1/leads", lead, as: admin, expecting: 201)
                for fields in [["duplicates=refuse"], ["respond-async", "duplicates=refuse"]] {
                    let answer = try await service.send(
                        .post, "/v1/leads", lead, as: admin, headers: fields.map { ("prefer", $0) }, expecting: 409)
                    #expect(answer.code == "duplicate")
                }
            }
        }
    }
}
