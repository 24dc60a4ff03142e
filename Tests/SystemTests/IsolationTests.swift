import Core
import Foundation
import TestSupport
import Testing

extension SystemTests {
    /// Threats A1 to A7: nothing tells a foreign id from one that never was.
    @Suite struct Isolation {
        /// Takes every operation with an id from the platform's own OpenAPI document, so a new route is covered by being there.
        /// Sends each with ids of globex and with ids that never were, as an administrator of acme; the answers must be the same but
        /// for the request id.
        @Test func everyRouteAnswersAForeignIdLikeOneThatNeverWas() async throws {
            let world = try World.get()
            var foreign = [
                "/v1/members": try #require(await world.globex.admin.send(.get, "/v1/me").json["user"]?["id"]?.string),
                "/v1/invitations": try await world.globex.create("/v1/invitations", ["email": "x@globex.test", "role": "sales"]),
                "/v1/teams": try await world.globex.create("/v1/teams", ["name": "Foreign"]),
                "/v1/roles": try await world.globex.create("/v1/roles", ["name": "foreign", "permissions": ["leads.read"]]),
                "/v1/sessions": try #require(await world.globex.admin.send(.get, "/v1/sessions").json["data"]?[0]?["id"]?.string),
            ]
            for sample in SampleRecord.all { foreign[sample.path] = try await world.globex.create(sample.path, sample.body) }
            var checked = 0
            for operation in try await DocumentedOperation.all(of: world)
            where operation.path.contains("{") && !operation.path.contains("{external_id}") && !operation.path.hasPrefix("/v1/platform") {
                let id = try #require(
                    foreign.first { operation.path.hasPrefix($0.key + "/") }?.value, "no foreign id for \(operation.path): add one")
                let body: JSON? = operation.method == .patch ? .object(JSONObject()) : operation.body
                for headers in [[], [("if-match", "\"1\"")], [("idempotency-key", "k-\(checked)")]] {
                    let mine = try await world.acme.admin.send(operation.method, operation.target(id: id), body, headers: headers)
                    let never = try await world.acme.admin.send(operation.method, operation.target(), body, headers: headers)
                    #expect(Self.withoutRequestID(mine) == Self.withoutRequestID(never), "\(operation)")
                    #expect(mine.status == 404, "\(operation)")
                }
                checked += 1
            }
            #expect(checked >= 12)
            // Nothing of it changed the other tenant's records.
            let lead = try await world.globex.admin.send(.get, "/v1/leads/\(foreign["/v1/leads"] ?? "")", expecting: 200)
            #expect(lead.json["version"]?.integer == 1)
        }

        /// The same by the ids of another system: globex knows its records by them too, and acme makes its own.
        @Test func anExternalIDIsItsTenantsOwn() async throws {
            let world = try World.get()
            var checked = 0
            for operation in try await DocumentedOperation.all(of: world) where operation.path.contains("{external_id}") {
                let whole = try #require(operation.sample?.body, "no sample of \(operation.path): add one")
                let id = "isolation/\(operation.method.rawValue.lowercased())".replacing("/", with: "%2F")
                try await world.globex.admin.send(.put, operation.target(id: id), whole, expecting: 201)
                func body() -> JSON? { operation.hasBody ? operation.sample?.body : nil }
                let mine = try await world.acme.admin.send(operation.method, operation.target(id: id), body())
                let never = try await world.acme.admin.send(operation.method, operation.target(), body())
                #expect(mine.status == (operation.method == .put ? 201 : 404), "\(operation): \(mine.text)")
                #expect(mine.status == never.status, "\(operation)")
                if mine.status == 404 { #expect(Self.withoutRequestID(mine) == Self.withoutRequestID(never), "\(operation)") }
                let kept = try await world.globex.admin.send(.get, operation.target(id: id), expecting: 200)
                #expect(kept.json["version"] == 1 && kept.json["external_id"]?.string == id.replacing("%2F", with: "/"))
                checked += 1
            }
            #expect(checked >= 16)
        }

        private static func withoutRequestID(_ answer: APIAnswer) -> String {
            var object = answer.json.object ?? JSONObject()
            object["request_id"] = nil
            return "\(answer.status) \(JSON.object(object))"
        }

        @Test func aForeignReferenceIsRefusedLikeOneThatNeverWas() async throws {
            let world = try World.get()
            let foreign = try #require(try await world.globex.admin.send(.get, "/v1/me").json["user"]?["id"])
            for owner in [foreign, .string(UserID().description)] {
                let answer = try await world.acme.admin.send(.post, "/v1/leads", ["last_name": "X", "owner_id": owner], expecting: 422)
                #expect(answer.code == "reference_not_found")
                #expect(answer.json["errors"]?[0]?["pointer"]?.string == "/owner_id")
            }
        }

        @Test func anAccountOfAnotherTenantIsNobodysAccountHere() async throws {
            let world = try World.get()
            let foreign = try await world.globex.create("/v1/accounts", ["name": "Foreign"])
            for account in [foreign, RecordID().description] {
                let bodies: [(path: String, body: JSON)] = [
                    ("/v1/contacts", ["last_name": "X", "account_id": .string(account)]),
                    ("/v1/accounts", ["name": "X", "parent_id": .string(account)]),
                ]
                for (path, body) in bodies {
                    let answer = try await world.acme.admin.send(.post, path, body, expecting: 422)
                    #expect(answer.code == "reference_not_found")
                }
            }
        }

        @Test func foreignIdsInFiltersAndBatchesFindNothing() async throws {
            let world = try World.get()
            let lead = try await world.globex.create("/v1/leads", ["last_name": "Hidden"])
            let owner = try #require(try await world.globex.admin.send(.get, "/v1/me").json["user"]?["id"]?.string)
            let filtered = try await world.acme.admin.send(.get, "/v1/leads?owner_id=\(owner)", expecting: 200)
            #expect(filtered.json["data"]?.array?.isEmpty == true)
            let search = try await world.acme.admin.send(.get, "/v1/leads?q=hidden", expecting: 200)
            #expect(search.json["data"]?.array?.isEmpty == true)
            for id in [lead, RecordID().description] {
                let batch = try await world.acme.admin.send(
                    .post, "/v1/leads/batch",
                    [
                        "atomic": false,
                        "operations": [["op": "update", "id": .string(id), "body": ["score": 1]], ["op": "delete", "id": .string(id)]],
                    ],
                    expecting: 200)
                #expect(batch.json["results"]?.array?.compactMap { $0["status"]?.integer } == [404, 404])
            }
        }

        @Test func aCursorOfAnotherTenantIsRefused() async throws {
            let world = try World.get()
            for name in ["p", "q"] { _ = try await world.globex.create("/v1/leads", ["last_name": .string(name)]) }
            let page = try await world.globex.admin.send(.get, "/v1/leads?limit=1", expecting: 200)
            let cursor = try #require(page.json["page"]?["next"]?.string)
            let answer = try await world.acme.admin.send(.get, "/v1/leads?limit=1&after=\(cursor)", expecting: 400)
            #expect(answer.code == "invalid_cursor")
        }

        @Test func aTenantHeaderThatDisagreesIsRefusedAndWrittenIntoTheTrail() async throws {
            let world = try World.get()
            try await world.acme.admin.send(.get, "/v1/leads", headers: [("x-tenant", world.acme.slug)], expecting: 200)
            let answer = try await world.acme.admin.send(.get, "/v1/leads", headers: [("x-tenant", world.globex.slug)], expecting: 403)
            #expect(answer.code == "tenant_mismatch")
            try await eventually("the mismatch is in the trail of the token's tenant") {
                let trail = try await world.acme.admin.send(.get, "/v1/audit?action=security.tenant_mismatch", expecting: 200)
                return trail.json["data"]?.array?.isEmpty == false
            }
        }

        /// Class A6: every route of every service, called past the gateway without a context, with a forged one, with one for another service or
        /// from one that may not speak for members, and with one of another request.
        @Test func aServiceCalledPastTheGatewayRefuses() async throws {
            let world = try World.get()
            let member = Caller.member(
                RequestContext(
                    tenant: TenantID(), user: UserID(), role: "tenant_admin", permissions: BuiltInRole.tenantAdmin.permissions,
                    scopes: BuiltInRole.tenantAdmin.scopes, plan: "enterprise",
                    edge: EdgeContext(requestID: "r", deadline: Timestamp.now.advanced(by: .seconds(30)))))
            for (service, url) in world.platform.serviceURLs where service != "gateway" {
                let signer = TestContextKeys.signer(to: service)
                let forger = TestContextKeys.signer(to: service, id: "forged")
                let other = TestContextKeys.signer(to: service == "crm" ? "support" : "crm")
                let own = TestContextKeys.signer(from: service, to: "activity")
                let direct = APIClient(url: url)
                let paths = try #require(try await direct.send(.get, "/openapi.json", expecting: 200).json["paths"]?.object)
                for path in paths.members {
                    let target = path.name.replacing(/\{[a-z_]+\}/) { _ in RecordID().description }
                    for operation in path.value.object?.members ?? [] {
                        let method = operation.name.uppercased()
                        for context in [
                            nil, "v2;x", forger.sign(member, method: method, target: target),
                            other.sign(member, method: method, target: target), own.sign(member, method: method, target: target),
                            signer.sign(member, method: "TRACE", target: target),
                            signer.sign(member, method: method, target: target + "x"),
                            signer.sign(member, method: method, target: target, body: .streamed),
                        ] {
                            let answer = try await direct.send(
                                method, target, bytes: nil, headers: context.map { [(ContextSigner.headerName, $0)] } ?? [])
                            #expect(answer.status == 401, "\(service) \(method) \(target) took \(context ?? "no context")")
                        }
                        // Allowed everything, but a second ago.
                        let late = member.with(deadline: Timestamp.now.advanced(by: .seconds(-1)))
                        let answer = try await direct.send(
                            method, target, bytes: nil,
                            headers: [(ContextSigner.headerName, signer.sign(late, method: method, target: target))])
                        #expect(answer.status == 504, "\(service) \(method) \(target)")
                    }
                }
            }
        }

        @Test func internalRoutesAreNotReachedThroughTheGateway() async throws {
            let world = try World.get()
            for path in [
                "/internal/events", "/internal/tenants", "/internal/gateway-state", "/v1/../internal/events", "/v1/%2e%2e/internal/events",
            ] {
                for method in [Core.Method.get, .post] {
                    let status = try await world.acme.admin.send(method, path, method == .post ? [] : nil).status
                    #expect([400, 404].contains(status), "\(path)")
                }
            }
        }
    }

    @Suite struct Roles {
        @Test func rolesMayDoWhatTheTableSaysAndNoMore() async throws {
            let world = try World.get()
            let expected: [(role: String, method: Core.Method, path: String, body: JSON?, status: Int)] = [
                ("sales", .get, "/v1/audit", nil, 403), ("support", .get, "/v1/audit", nil, 403),
                ("read_only", .get, "/v1/audit", nil, 403),
                ("manager", .get, "/v1/audit", nil, 200), ("tenant_admin", .get, "/v1/audit", nil, 200),
                ("read_only", .get, "/v1/leads", nil, 200), ("read_only", .post, "/v1/leads", ["last_name": "X"], 403),
                ("read_only", .post, "/v1/tickets", ["subject": "X"], 403), ("support", .get, "/v1/leads", nil, 403),
                ("support", .post, "/v1/tickets", ["subject": "X"], 201), ("sales", .post, "/v1/leads", ["last_name": "X"], 201),
                ("sales", .post, "/v1/invitations", ["email": "n@acme.test", "role": "sales"], 403),
                ("manager", .post, "/v1/invitations", ["email": "n@acme.test", "role": "tenant_admin"], 403),
                ("tenant_admin", .get, "/v1/platform/tenants", nil, 403),
            ]
            for check in expected {
                let client = try #require(world.people[check.role])
                let answer = try await client.send(check.method, check.path, check.body)
                #expect(answer.status == check.status, "\(check.role) \(check.method.rawValue) \(check.path): \(answer.text)")
            }
        }

        @Test func salesSeesItsOwnLeadsOnly() async throws {
            let world = try World.get()
            let sales = try #require(world.people["sales"])
            let foreign = try await world.acme.create("/v1/leads", ["last_name": "Of the admin"])
            let own = try await sales.send(.post, "/v1/leads", ["last_name": "Of sales"], expecting: 201)
            try await sales.send(.get, "/v1/leads/\(foreign)", expecting: 404)
            try await sales.send(.patch, "/v1/leads/\(foreign)", ["score": 1], expecting: 404)
            try await sales.send(.get, "/v1/leads/\(own.json["id"]?.string ?? "")", expecting: 200)
            let list = try await sales.send(.get, "/v1/leads?limit=200", expecting: 200)
            #expect(list.json["data"]?.array?.contains { $0["id"]?.string == foreign } == false)
        }
    }
}

extension Caller {
    /// The same caller with another deadline.
    func with(deadline: Timestamp) -> Caller {
        switch self {
        case .anonymous(var edge):
            edge.deadline = deadline
            return .anonymous(edge)
        case .member(var context):
            context.edge.deadline = deadline
            return .member(context)
        case .service(var context):
            context.edge.deadline = deadline
            return .service(context)
        }
    }
}
