import Core
import TestSupport
import Testing

extension SystemTests {
    /// The bodies that are read by hand: what their published schemas allow is accepted, and what they forbid is refused.
    @Suite struct PublishedSchemas {
        /// A body, and the members that a rule no schema can say decides on: names that are taken, zones and roles that exist.
        struct Body: Sendable, CustomStringConvertible {
            var method: Core.Method
            var path: String
            var base: JSON
            var leaving: Set<String> = []
            var description: String { "\(method.rawValue) \(path)" }
        }

        static let bodies = [
            Body(method: .patch, path: "/v1/tenant", base: ["name": "Kestrel"], leaving: ["slug", "time_zone", "currency"]),
            Body(method: .patch, path: "/v1/me", base: ["name": "Anna"]),
            Body(method: .post, path: "/v1/invitations", base: ["email": "ben@kestrel.example", "role": "sales"], leaving: ["role"]),
            Body(method: .post, path: "/v1/teams", base: ["name": "Inside"], leaving: ["member_ids"]),
            Body(
                method: .post, path: "/v1/roles", base: ["name": "scout", "description": "Looks", "permissions": ["leads.read"]],
                leaving: ["scopes", "fields"]),
        ]

        @Test(arguments: bodies)
        func areHeldTo(_ body: Body) async throws {
            let world = try World.get()
            let tenant = try await Organization(
                name: "schema", plan: "enterprise", platform: world.platform, operatorClient: world.operatorClient)
            let document = try await world.platform.api.send(.get, "/openapi.json", expecting: 200).json
            let published = try #require(
                document["paths"]?[body.path]?[body.method.rawValue.lowercased()]?["requestBody"]?["content"]?["application/json"]?[
                    "schema"])
            let schema = JSONSchema(schemas: document["components"]?["schemas"] ?? .null)
            var values = SchemaValues(schema: schema, seed: 11)
            for value in values.bodies(body.base, of: published, leaving: body.leaving) {
                let isAllowed = try schema.accepts(value, published)
                let answer = try await tenant.admin.send(body.method, body.path, value)
                let isRefused = answer.status == 400 || answer.status == 422
                #expect(
                    isAllowed != isRefused && answer.status < 500 && answer.status != 429,
                    "\(body) \(value): \(answer.status) \(answer.text.prefix(300))")
            }
        }
    }
}
