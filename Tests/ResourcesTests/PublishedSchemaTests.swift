import Core
import Resources
import TestSupport
import Testing

/// What the published schema of a body allows is accepted, and what it forbids is refused.
@Suite struct PublishedSchemaTests {
    /// Goal: neither the schema nor the check says more than the other.
    /// Method: values at and beyond every limit, one member at a time, from a seed; the schema says what the service must answer.
    @Test(arguments: ["leads", "tickets", "accounts", "contacts", "notes", "products", "tasks"])
    func theServiceAnswersAsTheSchemaSays(resource: String) async throws {
        typealias Run = ((ResourceAPI) async throws -> Void) async throws -> Void
        // That what recurs has an instant, the schema says in words only; so it does of rules and zones.
        let (run, base): (Run, JSON) =
            switch resource {
            case "leads": ({ try await ResourceAPI.leads($0) }, ["last_name": "A"])
            case "tickets": ({ try await ResourceAPI.tickets($0) }, ["subject": "A"])
            case "tasks": ({ try await ResourceAPI.tasks($0) }, ["subject": "A", "due_at": "2026-01-31T09:30:00.000Z"])
            case "notes": ({ try await ResourceAPI.notes($0) }, ["body": "A"])
            case "accounts": ({ try await ResourceAPI.accounts($0) }, ["name": "A"])
            case "products": ({ try await ResourceAPI.products($0) }, ["name": "A"])
            default: ({ try await ResourceAPI.contacts($0) }, ["last_name": "A"])
            }
        try await run { api in
            let admin = api.member()
            let schemas = Dictionary(uniqueKeysWithValues: api.resource.schemas.map { ($0.name, $0.schema) })
            let type = api.resource.definition.schemaName
            for purpose in ["Create", "Patch"] {
                let published = try #require(schemas[type + purpose])
                let schema = JSONSchema()
                var values = SchemaValues(schema: schema, seed: 7)
                var verdicts: [Bool: Int] = [:]
                for body in values.bodies(base, of: published, leaving: ["recurrence", "time_zone"]) {
                    let isAllowed = try schema.accepts(body, published)
                    // A new record for each patch, as custom fields add up.
                    // A request's time is its own, and there are many.
                    let admin = api.member(user: admin.user)
                    let reply =
                        purpose == "Create"
                        ? try await api.send(.post, "/v1/\(resource)", body.description, as: admin)
                        : try await api.send(
                            .patch, "/v1/\(resource)/\(try await api.create(base.description, as: admin).id)", body.description, as: admin)
                    // Whether a member is there, a value is another record's, or a state follows on the one that is, no schema can say.
                    let isAccepted = try reply.status < 300 || ["reference_not_found", "already_exists", "conflict"].contains(reply.code)
                    #expect(
                        isAllowed ? isAccepted : !isAccepted && [400, 422].contains(reply.status),
                        "\(type)\(purpose) \(body): \(reply.status) \(reply.text.prefix(300))")
                    verdicts[isAllowed, default: 0] += 1
                }
                #expect(verdicts[true, default: 0] > 100 && verdicts[false, default: 0] > 100, "\(verdicts)")
            }
        }
    }
}
