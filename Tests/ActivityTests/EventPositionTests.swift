import Contracts
import Core
import Operations
import Postgres
import TestSupport
import Testing

@testable import Activity

/// The one order over all tenants, as services that follow the log read it.
@Suite struct EventPositionTests {
    private func event(_ tenant: TenantID, _ number: Int, of aggregate: String, padding: String = "") -> Event {
        Event(
            id: EventID(), tenant: tenant, source: "tenant", aggregate: aggregate, aggregateID: "record-\(number)",
            kind: "\(aggregate).updated", actor: "system", requestID: "", occurredAt: .now,
            payload: #"{"after":{"n":\#(number),"text":"\#(padding)"}}"#)
    }

    private func deliver(_ events: [Event], to service: RunningService) async throws {
        let bytes = Event.encode(events)
        let context = service.signed(.service(SystemContext(service: "tenant", edge: .test())), "POST", "/internal/events", bytes: bytes)
        try await APIClient(url: service.url).send(
            "POST", "/internal/events", bytes: bytes, headers: [(ContextSigner.headerName, context)], expecting: 204)
    }

    private func read(_ service: RunningService, after position: Int64, _ aggregates: String, limit: Int = 500) async throws -> LogPage {
        let target = "/internal/log?after=\(position)&aggregates=\(aggregates)&limit=\(limit)"
        return try LogPage(json: try await service.send(.get, target, as: .anotherService, expecting: 200).json)
    }

    /// Reads from the position to the end of the log, checking that each page goes on where the one before ended.
    private func readAll(_ service: RunningService, _ aggregates: String, limit: Int) async throws -> [LogPage.Entry] {
        var entries: [LogPage.Entry] = []
        var position: Int64 = 0
        while true {
            let page = try await read(service, after: position, aggregates, limit: limit)
            #expect(page.events.count <= limit)
            entries += page.events
            if page.position == page.head, page.events.isEmpty { return entries }
            try #require(page.position > position, "no way forward")
            position = page.position
        }
    }

    /// Goal: whoever reads behind his position while others deliver misses nothing and sees nothing twice.
    /// Method: four writers with deliveries of several tenants and kinds at once; a reader that keeps on reading until it has all.
    @Test func aReaderBehindItsPositionMissesNothingWhileOthersDeliver() async throws {
        try await TestDatabase.run([Activity.definition]) { database in
            try await RunningService.run(Activity.definition, on: database) { service in
                let tenants = (0..<5).map { _ in TenantID() }
                let deliveries = (0..<60).map { number in
                    (0..<(1 + number % 7)).map { place in
                        event(tenants[(number + place) % 5], number, of: (number + place) % 3 == 0 ? "member" : "lead")
                    }
                }
                let members = Set(deliveries.joined().filter { $0.aggregate == "member" }.map(\.id))
                let seen = try await withThrowingTaskGroup(of: Void.self, returning: [LogPage.Entry].self) { group in
                    for writer in 0..<4 {
                        group.addTask {
                            for (number, events) in deliveries.enumerated() where number % 4 == writer {
                                try await deliver(events, to: service)
                            }
                        }
                    }
                    var seen: [LogPage.Entry] = []
                    var position: Int64 = 0
                    while seen.count < members.count {
                        let page = try await read(service, after: position, "member")
                        seen += page.events
                        position = page.position
                        try Task.checkCancellation()
                    }
                    try await group.waitForAll()
                    return seen
                }
                #expect(seen.map(\.position) == seen.map(\.position).sorted())
                #expect(seen.count == members.count)
                #expect(Set(seen.map(\.event.id)) == members)

                // Positions are 1, 2, 3, … over all events, and each tenant's are in the order of its own log.
                let all = try await readAll(service, "lead,member", limit: 7)
                #expect(all.map(\.position) == Array(1...Int64(deliveries.joined().count)))
                #expect(Set(all.map(\.event.id)) == Set(deliveries.joined().map(\.id)))
                let log = try await database.query([
                    "select id from activity.event where tenant_id = \(tenants[0]) order by sequence"
                ])[0]
                #expect(all.filter { $0.event.tenant == tenants[0] }.map(\.event.id) == (try log.map { try $0.decode(0) }))
                #expect(try await read(service, after: 0, "ticket").events.isEmpty)
            }
        }
    }

    /// A delivery that comes again has its positions already.
    @Test func aRepeatedDeliveryTakesNoPosition() async throws {
        try await TestDatabase.run([Activity.definition]) { database in
            try await RunningService.run(Activity.definition, on: database) { service in
                let tenant = TenantID()
                let events = (0..<4).map { event(tenant, $0, of: "member") }
                try await deliver(Array(events.prefix(2)), to: service)
                try await deliver(events, to: service)
                try await deliver(events, to: service)
                let page = try await read(service, after: 0, "member")
                #expect(page.events.map(\.position) == [1, 2, 3, 4])
                #expect(page.events.map(\.event.id) == events.map(\.id))
                #expect(page.head == 4)
                let last = try #require(page.events.last?.event)
                #expect(last.payload == #"{"after":{"n":3,"text":""}}"#)
                #expect(last.aggregateID == "record-3")
                #expect(try await read(service, after: 3, "member").events.map(\.event.id) == [events[3].id])
            }
        }
    }

    /// An answer has a bound in bytes, and an erased payload is told as none.
    @Test func pagesOfLargeEventsEndEarly() async throws {
        try await TestDatabase.run([Activity.definition]) { database in
            try await RunningService.run(Activity.definition, on: database) { service in
                let tenant = TenantID()
                let padding = String(repeating: "x", count: 900_000)
                let events = (0..<5).map { event(tenant, $0, of: "member", padding: padding) }
                for event in events { try await deliver([event], to: service) }
                let page = try await read(service, after: 0, "member")
                #expect(page.events.count == 3)
                #expect(page.position == 3)
                #expect(page.head == 5)
                #expect(try await readAll(service, "member", limit: 1000).map(\.event.id) == events.map(\.id))

                _ = try await database.query(["update activity.event set payload = null, salt = null where sequence = 2"])
                #expect(try await read(service, after: 1, "member").events.first?.event.payload == "null")
            }
        }
    }

    @Test func onlyServicesReadTheLogAndFaultsAreNamed() async throws {
        try await TestDatabase.run([Activity.definition]) { database in
            try await RunningService.run(Activity.definition, on: database) { service in
                let role = BuiltInRole.superAdmin
                let member = Caller.member(
                    RequestContext(
                        tenant: TenantID(), user: UserID(), role: role.rawValue, permissions: role.permissions, scopes: role.scopes,
                        plan: "pro", edge: .test()))
                try await service.send(.get, "/internal/log?after=0&aggregates=member", as: member, expecting: 404)
                try await service.send(.get, "/internal/log?after=0&aggregates=member", as: .anybody(), expecting: 404)
                for (query, code) in [
                    ("after=x&aggregates=member", "invalid_parameter"), ("after=-1&aggregates=member", "invalid_parameter"),
                    ("after=0", "invalid_parameter"), ("after=0&aggregates=member&limit=0", "invalid_parameter"),
                    ("after=0&aggregates=member&limit=1001", "invalid_parameter"), ("aggregate=member", "unknown_parameter"),
                ] {
                    let answer = try await service.send(.get, "/internal/log?\(query)", as: .anotherService, expecting: 400)
                    #expect(answer.code == code, "\(query)")
                }
            }
        }
    }
}
