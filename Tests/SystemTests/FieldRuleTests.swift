import Core
import Foundation
import TestSupport
import Testing

extension SystemTests {
    /// What a role hides of a record leaves by no exit.
    @Suite struct HiddenFields {
        /// The fields that roles can name are those that the resources have.
        @Test func everyFieldOfEveryResourceCanBeHidden() async throws {
            let world = try World.get()
            let document = try await world.platform.api.send(.get, "/openapi.json", expecting: 200).json
            let schemas = try #require(document["components"]?["schemas"])
            let role = document["paths"]?["/v1/roles"]?["post"]?["requestBody"]?["content"]?["application/json"]?["schema"]
            let published = try #require(role?["properties"]?["fields"]?["properties"]?.object)
            var resources: Set<String> = []
            for operation in try await DocumentedOperation.all(of: world) where operation.path.hasSuffix("/batch") {
                let name = String(operation.path.split(separator: "/")[1]).replacing("-", with: "_")
                resources.insert(name)
                let reference = document["paths"]?[operation.path]?["post"]?["requestBody"]?["content"]?["application/json"]?["schema"]
                let type = String((reference?["$ref"]?.string?.split(separator: "/").last ?? "").dropLast("Batch".count))
                let record = try #require(schemas[type]?["properties"]?.object)
                let required = (schemas[type]?["required"]?.array ?? []).compactMap(\.string)
                let common: Set = ["id", "version", "external_id", "created_at", "updated_at", "created_by", "updated_by"]
                // What is only expanded is not in every record, and a number in E.164 goes with the number.
                let fields = Set(record.names).intersection(required).subtracting(common).filter { !$0.hasSuffix("_e164") }
                #expect(Set(published[name]?["properties"]?.object?.names ?? []) == fields, "\(name)")
            }
            #expect(Set(published.names) == resources)
        }

        /// A role that reads its own leads, of which score and email are hidden, through every route of the document: with each parameter
        /// that it has, and with what people would try. Nothing of what is hidden, nor of anybody else's lead, is in any answer.
        @Test func noRouteShowsWhatIsHidden() async throws {
            let world = try World.get()
            let tenant = try await Organization(
                name: "fields", plan: "enterprise", platform: world.platform, operatorClient: world.operatorClient)
            try await tenant.admin.send(
                .post, "/v1/roles",
                [
                    "name": "scout",
                    "permissions": [
                        "leads.read", "leads.create", "leads.update", "leads.delete", "contacts.read", "accounts.read", "audit.read",
                        "members.read", "roles.read", "tenant.read", "teams.read",
                    ], "scopes": ["leads": "own"], "fields": ["leads": ["score": "hidden", "email": "hidden"]],
                ], expecting: 201)
            let scout = try await tenant.invite("scout@\(tenant.slug).test", role: "scout")
            let me = try #require(try await scout.send(.get, "/v1/me", expecting: 200).json["user"]?["id"])
            let secret = "zqxsecret"
            let own = try await tenant.create(
                "/v1/leads",
                [
                    "last_name": "Ownlead", "email": .string("\(secret)@kestrel.example"), "score": 93, "owner_id": me,
                    "external_id": "own", "phone": "+49 40 5557713",
                ])
            _ = try await tenant.create("/v1/notes", ["body": "Rang twice", "related": ["type": "lead", "id": .string(own)]])
            // Another reads all leads, and by notes too.
            try await tenant.admin.send(
                .post, "/v1/roles",
                [
                    "name": "viewer", "permissions": ["leads.read", "leads.update", "notes.read", "audit.read"],
                    "fields": ["leads": ["score": "hidden", "email": "hidden", "phone": "hidden"]],
                ], expecting: 201)
            let viewer = try await tenant.invite("viewer@\(tenant.slug).test", role: "viewer")
            let foreign = try await tenant.create(
                "/v1/leads", ["last_name": "Zqxforeign", "email": .string("\(secret)2@kestrel.example"), "external_id": "foreign"])
            try await tenant.admin.send(.patch, "/v1/leads/\(own)", ["score": 94], expecting: 200)
            try await eventually("the trail has them") {
                let trail = try await tenant.admin.send(.get, "/v1/audit?resource=lead", expecting: 200)
                return (trail.json["data"]?.array?.count ?? 0) >= 3 && trail.text.contains(secret)
            }

            var answers = 0
            var shown = 0
            func check(_ method: Core.Method, _ target: String, _ body: JSON? = nil, headers: [(String, String)] = []) async throws {
                let answer = try await scout.send(method, target, body, headers: headers)
                #expect(answer.status < 500 && answer.status != 429, "\(method) \(target): \(answer.text)")
                answers += 1
                if answer.text.contains("Ownlead") { shown += 1 }
                // What the request said itself may be repeated.
                let text = answer.text.lowercased().replacing(target.lowercased(), with: "")
                for word in [secret, "zqxforeign", "\"score\":9"] {
                    #expect(!text.contains(word), "\(word) by \(method) \(target): \(answer.text.prefix(500))")
                }
            }
            @discardableResult
            func viewing(
                _ method: Core.Method, _ target: String, _ body: JSON? = nil, headers: [(String, String)] = []
            ) async throws -> APIAnswer {
                let answer = try await viewer.send(method, target, body, headers: headers)
                #expect(answer.status < 500 && answer.status != 429, "\(method) \(target): \(answer.text)")
                let names = Self.names(in: answer.json).intersection(["score", "email", "phone", "phone_e164"])
                #expect(names.isEmpty, "\(names) by \(method) \(target): \(answer.text.prefix(500))")
                for word in [secret, "5557713"] where !target.contains(word) {
                    #expect(!answer.text.contains(word), "\(word) by \(method) \(target): \(answer.text.prefix(500))")
                }
                return answer
            }
            let values = [
                "q": ["ownlead", secret, "-\(secret)", "kestrel", "zqxforeign"], "sort": ["score", "-score", "email", "created_at"],
                "fields": ["score", "id,email", "last_name"], "expand": ["account", "owner", "parent"], "count": ["exact", "estimate"],
                "deleted": ["include", "only"], "limit": ["1"], "resource": ["lead"], "id": [own, foreign], "action": ["lead.created"],
                "actor": [me.string ?? ""],
            ]
            for operation in try await DocumentedOperation.all(of: world) where operation.method == .get {
                // `/v1/roles` shows the rules themselves, and /v1/me those of the caller.
                if ["/v1/roles", "/v1/me", "/openapi.json", "/docs"].contains(where: { operation.path.hasPrefix($0) }) { continue }
                let targets =
                    operation.path.contains("{") ? [own, foreign, "own", "foreign"].map { operation.target(id: $0) } : [operation.path]
                for target in targets {
                    try await check(.get, target)
                    for name in operation.parameters {
                        for value in values[name] ?? ["93", "\(secret)@kestrel.example"] {
                            try await check(.get, "\(target)?\(name)=\(value)")
                        }
                    }
                    for query in ["score=93", "score[gte]=1", "score[null]=true", "email[prefix]=\(secret)", "email=x&fields=email"] {
                        try await check(.get, "\(target)?\(query)")
                    }
                }
            }
            for path in ["/v1/leads/\(own)", "/v1/leads/by-external-id/own", "/v1/leads/\(foreign)", "/v1/leads/by-external-id/foreign"] {
                for body in [["title": "Captain"], ["score": 5], ["email": "a@b.example"], ["scroe": 5]] as [JSON] {
                    try await check(.patch, path, body)
                    try await check(.patch, path, body, headers: [("if-match", "\"1\"")])
                    if path.contains("external") { try await check(.put, path, body) }
                    try await check(
                        .post, "/v1/leads/batch",
                        [
                            "operations": [
                                ["op": "update", "id": .string(own), "body": body], ["op": "update", "id": .string(foreign), "body": body],
                            ]
                        ])
                }
            }
            try await check(.post, "/v1/leads", ["last_name": "New", "external_id": "foreign"])
            try await check(.post, "/v1/authorize/explain", ["permission": "leads.read", "field": "last_name"])
            for path in [
                "/v1/leads", "/v1/leads/\(own)", "/v1/leads/by-external-id/own", "/v1/notes", "/v1/audit", "/v1/leads/\(own)/notes",
            ] {
                for query in [
                    "", "?q=\(secret)", "?q=okafor", "?expand=related", "?expand=related,created_by", "?expand=owner", "?fields=phone_e164",
                    "?count=exact", "?deleted=include", "?phone=%2B49405557713", "?resource=lead",
                ] {
                    try await viewing(.get, path + query)
                }
            }
            let related = try await viewing(.get, "/v1/notes?expand=related")
            #expect(related.text.contains("Ownlead"), "\(related.text)")
            let update: JSON = ["operations": [["op": "update", "id": .string(own), "body": ["company": "Pier"]]]]
            for (method, path, body) in [
                (.patch, "/v1/leads/\(own)", ["company": "Quay"]), (.post, "/v1/leads/batch", update),
            ] as [(Core.Method, String, JSON)] {
                let key = [("idempotency-key", RecordID().description)]
                let first = try await viewing(method, path, body, headers: key)
                let again = try await viewing(method, path, body, headers: key)
                #expect(first.status == 200 && again.text == first.text, "\(first.text) \(again.text)")
            }
            try await check(.delete, "/v1/leads/\(own)")
            try await check(.post, "/v1/leads/\(own)/restore")
            #expect(answers > 200 && shown > 20)
            // Nothing was changed that must not be.
            let kept = try await tenant.admin.send(.get, "/v1/leads/\(own)", expecting: 200)
            #expect(kept.json["score"] == 94 && kept.json["email"]?.string == "\(secret)@kestrel.example")
            #expect(kept.json["title"] == "Captain")
            try await scout.send(.get, "/v1/audit/export", expecting: 403)
        }

        /// The names of all members of all objects in it, but for a member of the tenant, whose e-mail is null.
        private static func names(in json: JSON) -> Set<String> {
            if let array = json.array { return array.reduce(into: []) { $0.formUnion(names(in: $1)) } }
            return (json.object?.members ?? []).reduce(into: []) { names, member in
                names.insert(member.name)
                guard member.value.object?.names != ["id", "name", "email", "status"] || member.value["email"] != .null else { return }
                names.formUnion(self.names(in: member.value))
            }
        }

        /// From the answer to the change of the role, through the gateway: the token of before opens nothing, one of now shows less.
        @Test func aFieldIsGoneWithinASecondOfBeingHidden() async throws {
            let world = try World.get()
            try await world.acme.admin.send(.post, "/v1/roles", ["name": "watcher", "permissions": ["leads.read"]], expecting: 201)
            let email = "watcher@\(world.acme.slug).test"
            let watcher = try await world.acme.invite(email, role: "watcher")
            let id = try await world.acme.create("/v1/leads", ["last_name": "Watched", "score": 12])
            #expect(try await watcher.send(.get, "/v1/leads/\(id)", expecting: 200).json["score"] == 12)
            let changed = try await world.acme.admin.send(
                .patch, "/v1/roles/watcher", ["fields": ["leads": ["score": "hidden"]]], expecting: 200)
            #expect(changed.json["fields"] == ["leads": ["score": "hidden"]])
            try await eventually("it is gone", within: .seconds(1)) {
                try await watcher.send(.get, "/v1/leads/\(id)").json["score"] == nil
            }
            let fresh = try await World.signIn(email, world.platform.api)
            let seen = try await fresh.send(.get, "/v1/leads/\(id)", expecting: 200).json
            #expect(seen["score"] == nil && seen["last_name"] == "Watched")
            #expect(try await fresh.send(.get, "/v1/me", expecting: 200).json["fields"] == ["leads": ["score": "hidden"]])
            let why = try await fresh.send(
                .post, "/v1/authorize/explain", ["permission": "leads.read", "field": "score"], expecting: 200)
            #expect(why.json["allowed"] == false && why.json["field_access"] == "hidden")
            // And taken back it is there again.
            try await world.acme.admin.send(.patch, "/v1/roles/watcher", ["fields": ["leads": nil]], expecting: 200)
            let again = try await World.signIn(email, world.platform.api)
            #expect(try await again.send(.get, "/v1/leads/\(id)", expecting: 200).json["score"] == 12)
        }
    }
}
