import Core
import Support
import TestSupport
import Testing

/// What is special about tickets; what every resource has is tested with the engine.
@Suite struct TicketTests {
    /// Numbers have no gap and none is given twice, though forty tickets of two tenants come at once.
    @Test func ticketsAreNumberedFromOneInEachTenant() async throws {
        try await TestDatabase.run([Support.definition]) { database in
            try await RunningService.run(Support.definition, on: database) { service in
                let members = (0..<2).map { _ in
                    Caller.member(
                        RequestContext(
                            tenant: TenantID(), user: UserID(), role: "support", permissions: BuiltInRole.support.permissions,
                            scopes: BuiltInRole.support.scopes, plan: "pro", edge: .test()))
                }
                let numbers = try await withThrowingTaskGroup(of: (Int, Int64).self) { group in
                    for index in 0..<40 {
                        group.addTask {
                            let answer = try await service.send(
                                .post, "/v1/tickets", ["subject": "Help"], as: members[index % 2], expecting: 201)
                            return (index % 2, answer.json["number"]?.integer ?? 0)
                        }
                    }
                    return try await group.reduce(into: [[Int64]](repeating: [], count: 2)) { $0[$1.0].append($1.1) }
                }
                for own in numbers { #expect(own.sorted() == Array(1...20)) }
            }
        }
    }

    @Test func theNumberCannotBeChosen() async throws {
        try await TestDatabase.run([Support.definition]) { database in
            try await RunningService.run(Support.definition, on: database) { service in
                let member = Caller.member(
                    RequestContext(
                        tenant: TenantID(), user: UserID(), role: "support", permissions: BuiltInRole.support.permissions,
                        scopes: BuiltInRole.support.scopes, plan: "pro", edge: .test()))
                let answer = try await service.send(.post, "/v1/tickets", ["subject": "Help", "number": 7], as: member)
                #expect([400, 422].contains(answer.status))
                #expect(answer.json["errors"]?[0]?["pointer"]?.string == "/number")
            }
        }
    }
}
