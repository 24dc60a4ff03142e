import Core
import Testing

@Suite struct IsolationTests {
    /// Goal: an id of another tenant is answered exactly as one that never was, wherever an id can stand.
    /// Method: every route and place with both, compared byte for byte.
    @Test func anotherTenantsIdsAreAnsweredLikeIdsThatNeverWere() async throws {
        try await ResourceAPI.leads { api in
            let owner = api.member()
            let stranger = api.member(tenant: TenantID())
            let foreign = try await api.create(#"{"last_name":"Secret","email":"secret@example.com"}"#, as: owner)
            let removed = try await api.create(#"{"last_name":"Secret"}"#, as: owner)
            #expect(try await api.send(.delete, "/v1/leads/\(removed.id)", as: owner).status == 204)

            func answers(_ id: String, user: String) async throws -> [Reply] {
                var replies: [Reply] = []
                let path = "/v1/leads/\(id)"
                let key = ["Idempotency-Key": "k-\(id)"]
                replies.append(try await api.send(.get, path, as: stranger))
                replies.append(try await api.send(.get, path, as: stranger, headers: ["If-None-Match": "\"1\""]))
                replies.append(try await api.send(.patch, path, #"{"title":"x"}"#, as: stranger))
                replies.append(try await api.send(.patch, path, #"{"title":"x"}"#, as: stranger, headers: key))
                replies.append(try await api.send(.patch, path, "{}", as: stranger, headers: ["If-Match": "\"9\""]))
                replies.append(try await api.send(.delete, path, as: stranger))
                replies.append(try await api.send(.delete, path, as: stranger, headers: ["If-Match": "\"9\""]))
                replies.append(try await api.send(.post, "\(path)/restore", as: stranger))
                replies.append(try await api.send(.get, "/v1/leads?owner_id=\(user)&count=exact", as: stranger))
                replies.append(try await api.send(.get, "/v1/leads?owner_id=\(user)&deleted=only", as: stranger))
                for isAtomic in [true, false] {
                    replies.append(
                        try await api.send(
                            .post, "/v1/leads/batch",
                            #"{"atomic":\#(isAtomic),"operations":[{"op":"update","id":"\#(id)","version":1,"body":{"title":"x"}}]}"#,
                            as: stranger))
                    replies.append(
                        try await api.send(
                            .post, "/v1/leads/batch", #"{"atomic":\#(isAtomic),"operations":[{"op":"delete","id":"\#(id)"}]}"#, as: stranger
                        ))
                }
                replies.append(try await api.send(.post, "/v1/leads", #"{"last_name":"x","owner_id":"\#(user)"}"#, as: stranger))
                return replies
            }
            let unknown = try await answers(RecordID().description, user: UserID().description)
            #expect(unknown.map(\.status) == [404, 404, 404, 404, 404, 404, 404, 404, 200, 200, 404, 404, 200, 200, 422])
            for id in [foreign.id, removed.id] {
                let known = try await answers(id, user: owner.user.description)
                #expect(known.map(\.status) == unknown.map(\.status))
                #expect(known.map(\.body) == unknown.map(\.body))
            }
            #expect(try await api.send(.get, "/v1/leads?q=secret", as: stranger).column("id") == [])
            #expect(try await api.send(.get, "/v1/leads/\(foreign.id)", as: owner).json["version"] == 1)
            #expect(try await api.events() == ["lead.created", "lead.created", "lead.deleted"])
        }
    }

    @Test func aMemberWithARowScopeMeetsOnlyTheirOwn() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let sales = api.member(.sales)
            let own = try await api.create(#"{"last_name":"Mine"}"#, as: sales)
            let other = try await api.create(#"{"last_name":"Theirs"}"#, as: admin)
            #expect(try await api.send(.get, "/v1/leads?count=exact", as: sales).column("id") == [.string(own.id)])
            #expect(try await api.send(.get, "/v1/leads?q=theirs", as: sales).column("id") == [])
            #expect(try await api.send(.get, "/v1/leads", as: admin).column("id").count == 2)
            for (method, body) in [(Core.Method.get, nil), (.patch, #"{"title":"x"}"#)] {
                #expect(try await api.send(method, "/v1/leads/\(own.id)", body, as: sales).status == 200)
                let hidden = try await api.send(method, "/v1/leads/\(other.id)", body, as: sales)
                let never = try await api.send(method, "/v1/leads/\(RecordID())", body, as: sales)
                #expect(hidden.status == 404)
                #expect(hidden.body == never.body)
            }
            // A permission without rows: a custom role may be so.
            var empty = admin
            empty.scopes = RowScopes()
            #expect(try await api.send(.get, "/v1/leads", as: empty).column("id") == [])
            #expect(try await api.send(.get, "/v1/leads/\(own.id)", as: empty).status == 404)
            #expect(try await api.send(.post, "/v1/leads", #"{"last_name":"x"}"#, as: empty).status == 403)
        }
    }

    @Test func eachRouteRefusesARoleWithoutItsPermission() async throws {
        try await ResourceAPI.leads { api in
            let lead = try await api.create(#"{"last_name":"A"}"#, as: api.member())
            let path = "/v1/leads/\(lead.id)"
            let viewer = api.member(.readOnly)
            let support = api.member(.support)
            let sales = api.member(.sales)
            for (caller, method, target, permission) in [
                (viewer, Core.Method.post, "/v1/leads", "leads.create"), (viewer, .patch, path, "leads.update"),
                (viewer, .delete, path, "leads.delete"), (viewer, .post, "\(path)/restore", "leads.delete"),
                (sales, .delete, path, "leads.delete"),
                (support, .get, "/v1/leads", "leads.read"), (support, .get, path, "leads.read"),
                (support, .post, "/v1/leads/batch", "leads.read"),
            ] {
                let reply = try await api.send(method, target, "{}", as: caller)
                #expect(reply.status == 403)
                #expect(reply.text.contains(permission))
            }
            #expect(try await api.send(.get, path, as: viewer).status == 200)
            #expect(try await api.events() == ["lead.created"])
        }
    }
}
