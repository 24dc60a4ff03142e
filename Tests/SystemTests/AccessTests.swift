import Contracts
import Core
import Foundation
import TestSupport
import Testing

extension SystemTests {
    /// Who may call what, held for every route there is: a new one is found by being in the document.
    @Suite struct Access {
        /// Reviewed when it changes: method, path, and the permission that the caller's role must have.
        private static let table = """
            GET /.well-known/jwks.json anybody
            GET /v1/accounts accounts.read
            POST /v1/accounts accounts.create
            POST /v1/accounts/batch accounts.read
            POST /v1/accounts/bulk accounts.read
            GET /v1/accounts/bulk/{id} accounts.read
            POST /v1/accounts/bulk/{id}/cancel accounts.read
            POST /v1/accounts/bulk/{id}/revert accounts.read
            DELETE /v1/accounts/by-external-id/{external_id} accounts.delete
            GET /v1/accounts/by-external-id/{external_id} accounts.read
            PATCH /v1/accounts/by-external-id/{external_id} accounts.update
            PUT /v1/accounts/by-external-id/{external_id} accounts.read
            DELETE /v1/accounts/{id} accounts.delete
            GET /v1/accounts/{id} accounts.read
            PATCH /v1/accounts/{id} accounts.update
            GET /v1/accounts/{id}/contacts contacts.read
            GET /v1/accounts/{id}/duplicates accounts.read
            POST /v1/accounts/{id}/merge accounts.delete
            GET /v1/accounts/{id}/merges accounts.read
            POST /v1/accounts/{id}/restore accounts.delete
            POST /v1/accounts/{id}/unmerge accounts.delete
            GET /v1/audit audit.read
            GET /v1/audit/export audit.export
            POST /v1/auth/login anybody
            POST /v1/auth/logout a member
            POST /v1/auth/password/change a member
            POST /v1/auth/refresh anybody
            POST /v1/auth/register anybody
            POST /v1/auth/switch a member
            POST /v1/authorize/explain a member
            GET /v1/contacts contacts.read
            POST /v1/contacts contacts.create
            POST /v1/contacts/batch contacts.read
            POST /v1/contacts/bulk contacts.read
            GET /v1/contacts/bulk/{id} contacts.read
            POST /v1/contacts/bulk/{id}/cancel contacts.read
            POST /v1/contacts/bulk/{id}/revert contacts.read
            DELETE /v1/contacts/by-external-id/{external_id} contacts.delete
            GET /v1/contacts/by-external-id/{external_id} contacts.read
            PATCH /v1/contacts/by-external-id/{external_id} contacts.update
            PUT /v1/contacts/by-external-id/{external_id} contacts.read
            DELETE /v1/contacts/{id} contacts.delete
            GET /v1/contacts/{id} contacts.read
            PATCH /v1/contacts/{id} contacts.update
            GET /v1/contacts/{id}/deals deals.read
            GET /v1/contacts/{id}/duplicates contacts.read
            POST /v1/contacts/{id}/merge contacts.delete
            GET /v1/contacts/{id}/merges contacts.read
            POST /v1/contacts/{id}/restore contacts.delete
            POST /v1/contacts/{id}/unmerge contacts.delete
            GET /v1/exchange-rates exchange_rates.read
            POST /v1/exchange-rates exchange_rates.create
            POST /v1/exchange-rates/batch exchange_rates.read
            DELETE /v1/exchange-rates/by-external-id/{external_id} exchange_rates.delete
            GET /v1/exchange-rates/by-external-id/{external_id} exchange_rates.read
            PATCH /v1/exchange-rates/by-external-id/{external_id} exchange_rates.update
            PUT /v1/exchange-rates/by-external-id/{external_id} exchange_rates.read
            DELETE /v1/exchange-rates/{id} exchange_rates.delete
            GET /v1/exchange-rates/{id} exchange_rates.read
            PATCH /v1/exchange-rates/{id} exchange_rates.update
            POST /v1/exchange-rates/{id}/restore exchange_rates.delete
            GET /v1/deals deals.read
            POST /v1/deals deals.create
            POST /v1/deals/batch deals.read
            POST /v1/deals/bulk deals.read
            GET /v1/deals/bulk/{id} deals.read
            POST /v1/deals/bulk/{id}/cancel deals.read
            POST /v1/deals/bulk/{id}/revert deals.read
            DELETE /v1/deals/by-external-id/{external_id} deals.delete
            GET /v1/deals/by-external-id/{external_id} deals.read
            PATCH /v1/deals/by-external-id/{external_id} deals.update
            PUT /v1/deals/by-external-id/{external_id} deals.read
            DELETE /v1/deals/{id} deals.delete
            GET /v1/deals/{id} deals.read
            PATCH /v1/deals/{id} deals.update
            POST /v1/deals/{id}/move deals.update
            POST /v1/deals/{id}/restore deals.delete
            GET /v1/deals/{id}/contacts deals.read
            DELETE /v1/deals/{id}/contacts/{contact_id} deals.update
            PUT /v1/deals/{id}/contacts/{contact_id} deals.update
            GET /v1/deals/{id}/line-items deals.read
            GET /v1/deals/{id}/stages deals.read
            GET /v1/invitations members.read
            POST /v1/invitations members.create
            POST /v1/invitations/accept a member
            DELETE /v1/invitations/{id} members.delete
            GET /v1/invitations/{id} members.read
            GET /v1/leads leads.read
            POST /v1/leads leads.create
            POST /v1/leads/batch leads.read
            POST /v1/leads/bulk leads.read
            GET /v1/leads/bulk/{id} leads.read
            POST /v1/leads/bulk/{id}/cancel leads.read
            POST /v1/leads/bulk/{id}/revert leads.read
            DELETE /v1/leads/by-external-id/{external_id} leads.delete
            GET /v1/leads/by-external-id/{external_id} leads.read
            PATCH /v1/leads/by-external-id/{external_id} leads.update
            PUT /v1/leads/by-external-id/{external_id} leads.read
            DELETE /v1/leads/{id} leads.delete
            GET /v1/leads/{id} leads.read
            PATCH /v1/leads/{id} leads.update
            DELETE /v1/leads/{id}/conversion leads.update
            GET /v1/leads/{id}/conversion leads.read
            POST /v1/leads/{id}/convert leads.update
            GET /v1/leads/{id}/duplicates leads.read
            POST /v1/leads/{id}/merge leads.delete
            GET /v1/leads/{id}/merges leads.read
            POST /v1/leads/{id}/restore leads.delete
            POST /v1/leads/{id}/unmerge leads.delete
            GET /v1/me a member
            PATCH /v1/me a member
            GET /v1/me/today a member
            GET /v1/members members.read
            DELETE /v1/members/{id} members.delete
            GET /v1/members/{id} members.read
            PATCH /v1/members/{id} members.update
            GET /v1/notes notes.read
            POST /v1/notes notes.create
            POST /v1/notes/batch notes.read
            DELETE /v1/notes/by-external-id/{external_id} notes.delete
            GET /v1/notes/by-external-id/{external_id} notes.read
            PATCH /v1/notes/by-external-id/{external_id} notes.update
            PUT /v1/notes/by-external-id/{external_id} notes.read
            DELETE /v1/notes/{id} notes.delete
            GET /v1/notes/{id} notes.read
            PATCH /v1/notes/{id} notes.update
            POST /v1/notes/{id}/restore notes.delete
            GET /v1/permissions a member
            GET /v1/pipelines pipelines.read
            POST /v1/pipelines pipelines.create
            POST /v1/pipelines/batch pipelines.read
            DELETE /v1/pipelines/by-external-id/{external_id} pipelines.delete
            GET /v1/pipelines/by-external-id/{external_id} pipelines.read
            PATCH /v1/pipelines/by-external-id/{external_id} pipelines.update
            PUT /v1/pipelines/by-external-id/{external_id} pipelines.read
            DELETE /v1/pipelines/{id} pipelines.delete
            GET /v1/pipelines/{id} pipelines.read
            PATCH /v1/pipelines/{id} pipelines.update
            POST /v1/pipelines/{id}/restore pipelines.delete
            GET /v1/plan a member
            GET /v1/plans anybody
            GET /v1/platform/tenants platform.read
            GET /v1/platform/tenants/{id} platform.read
            PATCH /v1/platform/tenants/{id} platform.update
            GET /v1/products products.read
            POST /v1/products products.create
            POST /v1/products/batch products.read
            DELETE /v1/products/by-external-id/{external_id} products.delete
            GET /v1/products/by-external-id/{external_id} products.read
            PATCH /v1/products/by-external-id/{external_id} products.update
            PUT /v1/products/by-external-id/{external_id} products.read
            DELETE /v1/products/{id} products.delete
            GET /v1/products/{id} products.read
            PATCH /v1/products/{id} products.update
            POST /v1/products/{id}/restore products.delete
            GET /v1/reports/forecast reports.read
            GET /v1/roles roles.read
            POST /v1/roles roles.create
            DELETE /v1/roles/{name} roles.delete
            GET /v1/roles/{name} roles.read
            PATCH /v1/roles/{name} roles.update
            GET /v1/sessions a member
            DELETE /v1/sessions/{id} a member
            GET /v1/tasks tasks.read
            POST /v1/tasks tasks.create
            GET /v1/tasks/bulk/{id} tasks.read
            POST /v1/tasks/bulk tasks.read
            POST /v1/tasks/bulk/{id}/cancel tasks.read
            POST /v1/tasks/bulk/{id}/revert tasks.read
            POST /v1/tasks/batch tasks.read
            DELETE /v1/tasks/by-external-id/{external_id} tasks.delete
            GET /v1/tasks/by-external-id/{external_id} tasks.read
            PATCH /v1/tasks/by-external-id/{external_id} tasks.update
            PUT /v1/tasks/by-external-id/{external_id} tasks.read
            DELETE /v1/tasks/{id} tasks.delete
            GET /v1/tasks/{id} tasks.read
            PATCH /v1/tasks/{id} tasks.update
            POST /v1/tasks/{id}/restore tasks.delete
            GET /v1/teams teams.read
            POST /v1/teams teams.create
            DELETE /v1/teams/{id} teams.delete
            GET /v1/teams/{id} teams.read
            PATCH /v1/teams/{id} teams.update
            GET /v1/tenant tenant.read
            PATCH /v1/tenant tenant.update
            GET /v1/tickets tickets.read
            POST /v1/tickets tickets.create
            POST /v1/tickets/batch tickets.read
            POST /v1/tickets/bulk tickets.read
            GET /v1/tickets/bulk/{id} tickets.read
            POST /v1/tickets/bulk/{id}/cancel tickets.read
            POST /v1/tickets/bulk/{id}/revert tickets.read
            DELETE /v1/tickets/by-external-id/{external_id} tickets.delete
            GET /v1/tickets/by-external-id/{external_id} tickets.read
            PATCH /v1/tickets/by-external-id/{external_id} tickets.update
            PUT /v1/tickets/by-external-id/{external_id} tickets.read
            DELETE /v1/tickets/{id} tickets.delete
            GET /v1/tickets/{id} tickets.read
            PATCH /v1/tickets/{id} tickets.update
            POST /v1/tickets/{id}/restore tickets.delete
            GET /v1/usage a member
            """

        /// Every caller with access is refused for it, before anything happens.
        private static let query = "?nonsense=1"

        @Test func everyRouteAsksForWhatTheTableSays() async throws {
            let lines = try await DocumentedOperation.all(of: World.get()).map { "\($0) \($0.access)" }
            #expect(Set(lines) == Set(Self.table.split(separator: "\n").map(String.init)))
        }

        @Test func withoutATokenOnlyOpenRoutesAreReached() async throws {
            let world = try World.get()
            for operation in try await DocumentedOperation.all(of: world) {
                let answer = try await world.platform.api.send(operation.method, operation.target() + Self.query, operation.body)
                #expect(answer.status == (operation.access == "anybody" ? 400 : 401), "\(operation): \(answer.text)")
            }
        }

        /// And what a route does not know it refuses, whoever wrote the route.
        @Test(arguments: ["super_admin", "tenant_admin", "manager", "sales", "support", "read_only", "lead_reader"])
        func aRoleReachesTheRoutesOfItsPermissionsAndNoOthers(_ role: String) async throws {
            let world = try World.get()
            let client = role == "super_admin" ? world.operatorClient : try #require(world.people[role])
            let me = try await client.send(.get, "/v1/me", expecting: 200)
            #expect(me.json["role"]?.string == role)
            let permissions = Set(me.json["permissions"]?.array?.compactMap(\.string) ?? [])
            for operation in try await DocumentedOperation.all(of: world) {
                let answer = try await client.send(operation.method, operation.target() + Self.query, operation.body)
                let isReached = ["anybody", "a member"].contains(operation.access) || permissions.contains(operation.access)
                #expect(answer.status == (isReached ? 400 : 403), "\(role) \(operation): \(answer.text)")
                #expect(answer.code == (isReached ? "unknown_parameter" : "forbidden"), "\(role) \(operation)")
                if isReached { #expect(answer.json["errors"]?[0]?["pointer"]?.string == "?nonsense", "\(operation)") }
            }
        }

        /// What services tell each other is in no document, so it is read from the source.
        @Test func internalRoutesTakeNoMembersContext() async throws {
            let world = try World.get()
            let service = Caller.service(SystemContext(service: ContextPair.gateway))
            let member = Caller.member(
                RequestContext(
                    tenant: TenantID(), user: UserID(), role: "super_admin", permissions: BuiltInRole.superAdmin.permissions,
                    scopes: BuiltInRole.superAdmin.scopes, plan: "enterprise", edge: service.edge))
            let routes = try Self.internalRoutes()
            #expect(routes.count >= 9)
            for (name, method, path) in routes {
                let target = path.replacing(/\{[a-z]+\}/) { _ in RecordID().description }
                let direct = APIClient(url: try #require(world.platform.serviceURLs[name]))
                let late = service.with(deadline: Timestamp.now.advanced(by: .seconds(-1)))
                let (signer, forger) = (TestContextKeys.signer(to: name), TestContextKeys.signer(to: name, id: "forged"))
                for (context, statuses) in [
                    (nil, [401]), (forger.sign(service, method: method, target: target), [401]),
                    (signer.sign(late, method: method, target: target), [504]),
                    (signer.sign(member, method: method, target: target), [404]),
                ] {
                    let answer = try await direct.send(
                        method, target, bytes: nil, headers: context.map { [(ContextSigner.headerName, $0)] } ?? [])
                    #expect(statuses.contains(answer.status), "\(name) \(method) \(target): \(answer.status)")
                }
                let outside = try await world.acme.admin.send(
                    method, target, bytes: method == "POST" ? Array("{}".utf8) : nil, headers: [("content-type", "application/json")])
                #expect(outside.status == 404, "\(method) \(target) through the gateway")
            }
        }

        private static func internalRoutes() throws -> [(service: String, method: String, path: String)] {
            let services = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Services").standardized
            var routes: [(String, String, String)] = []
            for service in ["Identity", "Tenant", "CRM", "Activity", "Support"] {
                let folder = services.appending(path: service)
                for case let file as URL in FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil) ?? .init()
                where file.pathExtension == "swift" {
                    var text = try String(contentsOf: file, encoding: .utf8)
                    if let path = text.firstMatch(of: /static let path = ("[^"]+")/) { text.replace("Self.path", with: path.output.1) }
                    text.replace("Revocation.statePath", with: "\"\(Revocation.statePath)\"")
                    let all = text.matches(of: /\.service\(\s*\.(get|post|patch|delete|put),/)
                    let found = text.matches(of: /\.service\(\s*\.(get|post|patch|delete|put), "(\/internal[^"]+)"/)
                    #expect(all.count == found.count, "\(file.lastPathComponent): a route whose path is not in place would be missed here")
                    for route in found { routes.append((service.lowercased(), route.output.1.uppercased(), String(route.output.2))) }
                }
            }
            return routes
        }
    }
}
