import Core
import Operations
import Postgres
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

    /// Case 10: people call a ticket by its number; that one comes first, and the others that have the number somewhere follow, once each.
    @Test(arguments: ["3", "%233"], [("-created_at", 1), ("number", 1), ("-created_at", 2), ("number", 10)])
    func aTicketIsFoundByItsNumberFirst(query: String, list: (sort: String, limit: Int)) async throws {
        let (sort, limit) = list
        try await TestDatabase.run([Support.definition]) { database in
            try await RunningService.run(Support.definition, on: database) { service in
                let member = Caller.member(
                    RequestContext(
                        tenant: TenantID(), user: UserID(), role: "manager", permissions: BuiltInRole.manager.permissions,
                        scopes: BuiltInRole.manager.scopes, plan: "pro", edge: .test()))
                for subject in ["Row 3 is missing", "Help", "Long " + String(repeating: "text ", count: 40), "Page 3", "Step 3 fails"] {
                    let body: JSON = ["subject": .string(subject), "description": .string(String(repeating: "x ", count: 4_000))]
                    _ = try await service.send(.post, "/v1/tickets", body, as: member, expecting: 201)
                }
                var numbers: [Int64] = []
                var target = "/v1/tickets?q=\(query)&sort=\(sort)&limit=\(limit)&count=exact"
                for _ in 0..<9 {
                    let answer = try await service.send(.get, target, as: member, expecting: 200)
                    let page = answer.json["data"]?.array ?? []
                    #expect(page.count <= limit && answer.json["page"]?["total"] == 4)
                    #expect(page.allSatisfy { $0["description"]?.string?.isEmpty == false })
                    numbers += page.compactMap { $0["number"]?.integer }
                    guard let next = answer.json["page"]?["next"]?.string else { break }
                    target = "/v1/tickets?q=\(query)&sort=\(sort)&limit=\(limit)&count=exact&after=\(next)"
                }
                #expect(numbers == (sort == "number" ? [3, 1, 4, 5] : [3, 5, 4, 1]))
                let solved = try await service.send(.get, "/v1/tickets?q=\(query)&status=solved", as: member, expecting: 200)
                #expect(solved.json["data"] == [])
            }
        }
    }

    /// A row that is there already keeps its number and takes none; those beside it in the statement have no gap. The number of an erased
    /// ticket is not given again.
    @Test func onlyATicketThatIsInsertedTakesANumber() async throws {
        try await TestDatabase.run([Support.definition]) { database in
            let tenant = TenantID()
            let ids = (0..<6).map { _ in RecordID() }
            func upsert(_ ids: [RecordID]) async throws -> [Int] {
                let rows = ids.map { "(\(tenant), \($0), 'Help', \(tenant), \(tenant))" as SQL }
                return try await database.query(
                    in: .support,
                    [
                        """
                        insert into ticket (tenant_id, id, subject, created_by, updated_by) values \(SQL.joined(rows, separator: ", "))
                        on conflict on constraint ticket_pkey do update set subject = 'Help again' returning number
                        """
                    ])[0].map { try $0.decode(0) }
            }
            #expect(try await upsert([ids[0]]) == [1])
            #expect(try await upsert([ids[0]]) == [1])
            #expect(try await upsert([ids[1], ids[0], ids[2], ids[3]]) == [2, 1, 3, 4])
            try await database.query(in: .support, ["delete from ticket where id = \(ids[3])"])
            #expect(try await upsert([ids[4], ids[5]]) == [5, 6])
        }
    }
}
